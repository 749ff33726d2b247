"""A76: the sizes of a stream's events say little, where the client asks for it; where nobody asks, nothing is changed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.conversation import Conversation
from handlers.translation.padding import FIELD_DIALECTS, STEP, PaddedStream, pad_frame
from handlers.translation.registry import DIALECTS
from tests.handlers.translation.driving import attempt, play, sent
from tests.upstreams.answers import Answer, body_pieces

UPSTREAM = UpstreamTarget("openai_chat", "model-1", "openai")
RESPONSES = UpstreamTarget("openai_responses", "model-1", "openai")
ASKED: dict[str, Any] = {"client_headers": {"x-therouter-padding": "on"}}
TARGET = "/v1beta/models/m:streamGenerateContent?alt=sse"
RELAYED = {"openai_chat", "anthropic_messages", "openai_responses"}
WORDS = ("I", " think", " unquestionably", ", so", ".")
OPTIONS: dict[str, Any] = {"stream": True, "stream_options": {"include_obfuscation": True, "include_usage": True}}


def answer(wire_format: str) -> list[bytes]:
    return body_pieces(Answer(wire_format, stream=True, model="model-1", words=WORDS))


def outputs(dialect: str, wire_format: str, body: dict[str, Any] | None = None, **changes: Any) -> list[bytes]:
    translation = attempt(body, dialect=dialect, wire_format=wire_format, target=TARGET, **changes)
    found = [one.data + one.final for one in play(translation, *answer(wire_format))]
    assert translation.outcome.failure is None
    return [one for one in found if one]


def meaning(told: bytes) -> list[Any]:
    """The events as a client reads them, without what pads them."""
    payloads = [line[6:] for line in told.split(b"\n") if line.startswith(b"data: ")]
    read = [payload if payload == b"[DONE]" else msgspec.json.decode(payload) for payload in payloads]
    for one in read:
        if isinstance(one, dict):
            one.pop("obfuscation", None)
    return read


@pytest.mark.claim("A76")
@pytest.mark.parametrize("wire_format", sorted(RELAYED))
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a76_every_event_is_padded_and_says_what_it_said(dialect: str, wire_format: str) -> None:
    bare = b"".join(outputs(dialect, wire_format))
    padded = outputs(dialect, wire_format, **ASKED)
    assert all(len(one) % STEP == 0 for one in padded)
    assert meaning(b"".join(padded)) == meaning(bare)
    sizes = {len(one) for one in outputs(dialect, wire_format)}
    assert len({len(one) for one in padded}) < len(sizes)


@pytest.mark.claim("A76")
@pytest.mark.parametrize("dialect", sorted(FIELD_DIALECTS | {"openai_completions"}))
@pytest.mark.parametrize("wire_format", sorted(RELAYED))
def test_a76_openai_s_own_option_asks_for_it(dialect: str, wire_format: str) -> None:
    padded = outputs(dialect, wire_format, OPTIONS)
    assert all(len(one) % STEP == 0 for one in padded)
    if dialect in FIELD_DIALECTS:
        content = [one for one in padded if b'"delta":' in one and b"unquestionably" in one]
        assert content
        assert all(b'"obfuscation":"x' in one for one in content)


@pytest.mark.claim("A76")
def test_a76_words_of_any_usual_length_make_events_of_one_size() -> None:
    sizes = set()
    for word in ("I", " am", " unquestionably", "\n\n"):
        pieces = body_pieces(Answer("openai_chat", stream=True, model="model-1", words=(word,)))
        translation = attempt(wire_format="openai_chat", **ASKED)
        told = [one.data for one in play(translation, *pieces) if msgspec.json.encode(word)[1:-1] in one.data]
        sizes |= {len(one) for one in told}
    assert len(sizes) == 1


@pytest.mark.claim("A76")
def test_a76_an_array_of_chunks_is_padded_with_blanks_and_stays_an_array() -> None:
    target = "/v1beta/models/m:streamGenerateContent"
    translation = attempt(dialect="google_generate", wire_format="openai_chat", target=target, **ASKED)
    found = [one.data + one.final for one in play(translation, *answer("openai_chat"))]
    assert translation.content_type == "application/json"
    assert all(len(one) % STEP == 0 for one in found)
    chunks = msgspec.json.decode(b"".join(found))
    assert "".join(part["text"] for one in chunks for part in one["candidates"][0]["content"]["parts"]) == "".join(
        WORDS
    )


@pytest.mark.claim("A76")
@pytest.mark.parametrize(
    "changes", [{}, {"client_headers": {"x-therouter-padding": "off"}}, {**ASKED, "stream": False}]
)
def test_a76_who_does_not_ask_gets_the_plain_translation(changes: dict[str, Any]) -> None:
    assert type(attempt(**changes)) is Conversation
    assert type(attempt({"stream_options": {"include_obfuscation": False}}, **changes)) is Conversation
    assert type(attempt(**ASKED)) is PaddedStream


@pytest.mark.claim("A76")
def test_a76_a_provider_that_pads_is_told_the_client_s_wish_and_its_padding_is_kept() -> None:
    frame = b'data: {"choices":[{"delta":{"content":"a"}}],"obfuscation":"q"}'
    assert pad_frame(frame, has_field=True) == frame + b"\n\n"
    said = b'data: {"choices":[{"delta":{"content":"say \\"obfuscation\\": 1"}}]}'
    assert len(pad_frame(said, has_field=True)) % STEP == 0
    assert wish_sent({"include_obfuscation": False}) == {"include_usage": True, "include_obfuscation": False}
    assert wish_sent({"include_obfuscation": True}) == {"include_usage": True, "include_obfuscation": True}
    assert wish_sent({}) == {"include_usage": True}
    assert wish_sent({"include_obfuscation": False}, provider="deepinfra") == {"include_usage": True}
    whole = attempt(dialect="openai_responses", upstream=RESPONSES, stream=False, upstream_stream=True)
    assert sent(whole)["stream_options"] == {"include_obfuscation": False}  # nobody watches what is put together here


def wish_sent(options: dict[str, Any], provider: str = "openai") -> Any:
    upstream = msgspec.structs.replace(UPSTREAM, provider=provider)
    body = {"stream_options": options} if options else {}
    return sent(attempt(body, upstream=upstream, upstream_stream=True))["stream_options"]
