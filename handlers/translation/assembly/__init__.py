"""Whole answers put together from the streams that providers sent: same format in, same format out, no field lost.

A client that wants one JSON answer is served by a stream all the same (handlers/gateway/dispatch.py says when), so that a
provider's silence is noticed and a cancelled answer stops costing money. An assembler hears each frame of that stream and
writes the body that the provider would have sent had it been asked for one. What it does not know it keeps: unknown fields
are carried under their own names. What a stream cannot carry is told by rows (canonical/kept_whole.py), and asked for whole.

    growing     values that come in pieces
    chat        OpenAI chat completions
    messages    Anthropic Messages
    responses   OpenAI Responses
    generate    Gemini
"""
