"""The façade of translation: one call makes the upstream request and the machine that turns its answer around.

    translation = begin(Asked(dialect="openai_chat", operation="chat", upstream=UpstreamTarget(...), body=..., ...))
    send(translation.upstream)
    translation.start(status, headers)
    output = translation.receive_data(data)        # as often as bytes arrive, until output.ended
    output = translation.receive_eof()             # or fail(FailureClass.TIMEOUT)
    translation.outcome                            # usage, failure, finish reason

Two ways through it
    pass-through  the dialect is the upstream's own format: bytes are forwarded frame by frame, a decoder only observes
    re-encode     parse -> build_request -> decoder -> events -> encoder

Base addresses end where the path begins: OpenAI-compatible `https://host/v1`, Anthropic `https://host/v1`, Gemini
`https://host/v1beta`, Vertex `https://host/v1/projects/P/locations/L/publishers/google`, Bedrock `https://host`,
Cohere `https://host/v2`.
"""

from __future__ import annotations

import msgspec

from handlers.translation.calls import Call, Estimate, counts_here
from handlers.translation.canonical.attempt import Asked, Translation
from handlers.translation.canonical.bound_material import leave_out
from handlers.translation.conversation import Conversation
from handlers.translation.padding import PaddedStream
from handlers.translation.passthrough.base import Draft
from handlers.translation.registry import ADAPTERS, DIALECTS
from handlers.translation.streamed_audio import StreamedAudio, streams_audio


def begin(asked: Asked) -> Translation:
    """Begin one attempt.

    Raises:
        InvalidRequest: a field is wrong (400); `param` names it.
        Unprocessable: understood, but this endpoint's format cannot express it (422); `param` names it.
    """
    if asked.kept is not None:
        body, left_out = leave_out(asked.body, asked.kept)
        asked = msgspec.structs.replace(asked, body=body, left_out=left_out, kept=None)
    if asked.operation == "chat" and asked.dialect in DIALECTS and asked.upstream.wire_format in ADAPTERS:
        return converse(asked)
    if counts_here(asked):
        return Estimate(asked)
    return StreamedAudio(asked) if streams_audio(asked) else Call(asked)


def converse(asked: Asked, draft: Draft | None = None) -> Translation:
    """Begin an attempt at a conversation; `draft`: of its request, where that is under way already. Raises as `begin`."""
    conversation = Conversation(asked, draft)
    return PaddedStream(conversation, asked.dialect) if conversation.padded else conversation
