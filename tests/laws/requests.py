"""Canonical requests that exercise every part of the vocabulary."""

from __future__ import annotations

import msgspec

from handlers.translation.canonical.request import (
    CacheControl,
    CanonicalRequest,
    Media,
    Message,
    Reasoning,
    ReasoningControl,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
HELLO = Message("user", (Text("hello"),), "messages[0]")
WEATHER = Tool("get_weather", "Says the weather.", SCHEMA, at="tools[0]")

REQUESTS: dict[str, CanonicalRequest] = {
    "plain": CanonicalRequest(messages=(HELLO,), stream=True),
    "system": CanonicalRequest(
        messages=(
            Message("system", (Text("Be brief.", CacheControl("1h")),), "messages[0]"),
            Message("developer", (Text("In verse."),), "messages[1]"),
            HELLO,
        ),
        stream=False,
        output_tokens_max=100,
    ),
    "tools": CanonicalRequest(
        messages=(
            HELLO,
            Message(
                "assistant",
                (
                    Text("Looking."),
                    ToolCall("call_1", "get_weather", '{"city":"Paris"}', "messages[1].tool_calls[0]"),
                    ToolCall("call_2", "get_weather", "", "messages[1].tool_calls[1]"),
                ),
                "messages[1]",
            ),
            Message("tool", (ToolResult("call_1", (Text("sun"),), "messages[2]"),), "messages[2]"),
            Message("tool", (ToolResult("call_2", (Text("rain"),), "messages[3]"),), "messages[3]"),
        ),
        stream=True,
        tools=(WEATHER,),
        tool_choice=ToolChoice("auto"),
        parallel_tool_calls=False,
    ),
    "image": CanonicalRequest(
        messages=(
            Message(
                "user",
                (
                    Text("What is this?"),
                    Media("image", "messages[0].content[1].image_url.url", data=PIXEL, media_type="image/png"),
                ),
                "messages[0]",
            ),
        ),
        stream=True,
    ),
    "shaped": CanonicalRequest(
        messages=(HELLO,), stream=False, response_format=ResponseFormat("json_schema", "place", SCHEMA, strict=True)
    ),
    "thinking": CanonicalRequest(
        messages=(
            HELLO,
            Message("assistant", (Reasoning("hm", "c2lnbmVk"), Text("Hi.")), "messages[1]"),
            Message("user", (Text("more"),), "messages[2]"),
        ),
        stream=True,
        reasoning=ReasoningControl("high"),
        output_tokens_max=20_000,
    ),
    "sampled": CanonicalRequest(
        messages=(HELLO,),
        stream=True,
        sampling=Sampling(temperature=0.5, top_p=0.9, seed=7, frequency_penalty=0.1),
        stop=("END",),
        user="someone",
    ),
}

TWO_CHOICES = CanonicalRequest(messages=(HELLO,), stream=True, choices=2)
SPOKEN = CanonicalRequest(
    messages=(
        Message(
            "user", (Media("audio", "messages[0].content[0].input_audio", data="AAAA", media_type="audio/flac"),), ""
        ),
    ),
    stream=True,
)
SPEAKING = CanonicalRequest(messages=(HELLO,), stream=True, modalities=("text", "audio"))
