"""The law of assembled answers: a whole answer put together from a stream lacks nothing that the stream said.

Judged by others' work where there is some: the official SDKs put streams together, too. For Gemini, which has no such
thing, and for Responses, whose last event is the answer, the judges are the few lines below.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from anthropic._models import construct_type
from anthropic.lib.streaming._beta_messages import accumulate_event
from anthropic.types.beta import BetaRawMessageStreamEvent
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from handlers.errors import FailureClass
from handlers.local.replay_reading import carries_error
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.kept_whole import LOST_FIELDS
from handlers.translation.registry import RELAYS
from tests.handlers.translation.driving import attempt, play
from tests.laws.recordings import FULL, Recording, recorded
from tests.upstreams.answers import Answer, body_pieces

FORMATS = {wire_format: dialect for dialect, wire_format in RELAYS}
TARGET = "/v1beta/models/m:generateContent"
MODEL = "recorded-model"
EACH_FRAME = -1
"""Instead of a number of bytes: a read is a frame, as it mostly is."""


def assembled(wire_format: str, body: bytes, provider: str = "openai", splits: int = 0) -> Any:
    """The whole answer for a client, from a stream of a provider."""
    dialect = FORMATS[wire_format]
    provider = "gemini" if wire_format == "gemini" else provider  # a stream of Vertex is of the same format
    upstream = UpstreamTarget(wire_format, "model-1", provider)
    translation = attempt(
        dialect=dialect, upstream=upstream, stream=False, upstream_stream=True, target=TARGET, public_model=MODEL
    )
    assert translation.upstream.streams
    step = splits or len(body)
    reads = [body[at : at + step] for at in range(0, len(body), step)]
    outputs = play(translation, *(re.findall(rb"(?s).+?(?:\n\n|\r\n\r\n|$)", body) if splits == EACH_FRAME else reads))
    assert translation.outcome.failure is None
    assert not b"".join(output.data for output in outputs)
    return msgspec.json.decode(b"".join(output.final for output in outputs))


def stream_of(events: Iterable[object]) -> bytes:
    return b"".join(b"data: %b\n\n" % msgspec.json.encode(event) for event in events)


def payloads(body: bytes) -> list[Any]:
    """The frames of a stream, read by other means than ours."""
    lines = body.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [msgspec.json.decode(one) for one in data if one and one != "[DONE]"]


def streams(wire_format: str) -> list[Recording]:
    found = recorded(wire_format, streams=True)
    return [one for one in found if not carries_error(wire_format, one.body)]


def missing(expected: Any, told: Any, path: str = "") -> Iterator[str]:
    """Paths at which something expected is not told, or told otherwise."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            inside = told.get(name) if isinstance(told, dict) else None
            yield from missing(value, inside, f"{path}.{name}")
    elif isinstance(expected, list):
        if len(expected) != len(told or ()):
            yield f"{path}[] {len(expected)} {len(told or ())}"
            return
        for index, value in enumerate(expected):
            yield from missing(value, told[index], f"{path}[{index}]")
    elif expected is not None and expected != told:
        yield path


def chat_by_openai(one: Recording) -> dict[str, Any]:
    state: Any = ChatCompletionStreamState()
    for payload in payloads(one.body):
        chunk = ChatCompletionChunk.model_validate(payload | {"object": "chat.completion.chunk"})
        for choice in chunk.choices:
            choice.index = choice.index or 0
        state.handle_chunk(chunk)
    snapshot: dict[str, Any] = state.current_completion_snapshot.model_dump(mode="json", exclude_unset=True)
    return snapshot


NO_HEADERS: Any = {}


def message_by_anthropic(one: Recording) -> dict[str, Any]:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for payload in payloads(one.body):
        if payload["type"] != "ping":
            event: Any = construct_type(value=payload, type_=BetaRawMessageStreamEvent)
            snapshot = accumulate_event(
                event=event, current_snapshot=snapshot, json_bufs=buffers, request_headers=NO_HEADERS
            )
    told: dict[str, Any] = snapshot.model_dump(mode="json", exclude_unset=True)
    return told


PADDING = ("obfuscation", "p", "object", "model")


def test_chat_completions_are_what_openai_s_own_sdk_makes_of_the_stream() -> None:
    judged = 0
    for one in streams("openai_chat"):
        if one.provider not in {"openai", "deepseek"}:
            continue  # the SDK adds up what others repeat
        expected = {name: value for name, value in chat_by_openai(one).items() if name not in PADDING}
        told = assembled("openai_chat", one.body, one.provider)
        for choice in expected["choices"]:
            choice.get("message", {}).pop("parsed", None)
            for call in choice["message"].get("tool_calls") or ():
                call.pop("index", None)
                call.get("function", {}).pop("parsed_arguments", None)
        assert not list(missing(expected, told)), one.id
        assert told["object"] == "chat.completion"
        assert told["model"] == MODEL
        judged += 1
    assert judged


def test_messages_are_what_anthropic_s_own_sdk_makes_of_the_stream() -> None:
    found = streams("anthropic_messages")
    for one in found:
        told = assembled("anthropic_messages", one.body, "anthropic")
        expected = message_by_anthropic(one) | {"model": MODEL}
        assert not list(missing(expected, told)), one.id
    assert found


def test_what_an_event_says_by_null_takes_nothing_from_a_message() -> None:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": None,
    }
    block, cited = {"type": "text", "text": "", "citations": None}, {"type": "page_location", "cited_text": "x"}
    deltas = [
        {"type": "text_delta", "text": "a", "partial_json": None, "citation": None},
        {"type": "text_delta", "text": "b", "partial_json": None, "citation": None},
        {"type": "citations_delta", "text": None, "partial_json": None, "citation": cited},
    ]
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    told = assembled("anthropic_messages", stream_of(events), "anthropic", splits=EACH_FRAME)
    assert told["content"] == [{"type": "text", "text": "ab", "citations": [cited]}]
    assert told["usage"] == {"output_tokens": 2}
    assert told["stop_reason"] == "end_turn"


def test_responses_are_what_the_last_event_says_field_by_field() -> None:
    judged = 0
    for one in streams("openai_responses"):
        last = next(payload["response"] for payload in reversed(payloads(one.body)) if "response" in payload)
        if not last["output"]:
            continue
        told = assembled("openai_responses", one.body, one.provider)
        assert told.keys() == last.keys()
        assert not list(missing(last | {"model": MODEL}, told)), one.id
        judged += 1
    assert judged


def test_a_response_whose_last_event_leaves_out_the_items_has_them() -> None:
    item = {"id": "msg_1", "type": "message", "content": [{"type": "output_text", "text": "hi", "annotations": []}]}
    response: dict[str, Any] = {"id": "resp_1", "model": "m", "status": "completed", "output": [], "error": None}
    events = [
        {"type": "response.created", "response": response | {"status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item | {"content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    told = assembled("openai_responses", stream_of(events))
    assert told["output"] == [item]


def parts_of(payload: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for candidate in payload.get("candidates") or ():
        for part in (candidate.get("content") or {}).get("parts") or ():
            yield candidate.get("index", 0), part


def shown(found: list[tuple[int, dict[str, Any]]]) -> dict[Any, Any]:
    """Text by candidate and kind, and all that is no plain text in order."""
    said: dict[Any, Any] = defaultdict(str)
    others: dict[int, list[Any]] = defaultdict(list)
    for index, part in found:
        said[index, bool(part.get("thought"))] += part.get("text", "")
        if part.keys() - {"text", "thought"}:
            others[index].append(part)
    return {**said, **others}


def test_gemini_s_answers_have_all_text_all_parts_and_the_last_word_of_every_field() -> None:
    found = streams("gemini")
    for one in found:
        told = assembled("gemini", one.body, "gemini")
        chunks = [
            chunk for payload in payloads(one.body) for chunk in (payload if isinstance(payload, list) else [payload])
        ]
        spoken = [part for chunk in chunks for part in parts_of(chunk)]
        assert shown(list(parts_of(told))) == shown(spoken), one.id
        fields = {name for chunk in chunks for name, value in chunk.items() if value is not None}
        assert fields <= told.keys()
        ends = {name for chunk in chunks for cand in chunk.get("candidates") or () for name in cand}
        assert ends <= {name for candidate in told.get("candidates") or () for name in candidate}
        usage = [chunk["usageMetadata"] for chunk in chunks if "usageMetadata" in chunk]
        assert told.get("usageMetadata") == (usage[-1] if usage else None)
    assert found


@pytest.mark.parametrize("wire_format", sorted(FORMATS))
def test_however_a_stream_is_cut_into_reads_the_answer_is_the_same(wire_format: str) -> None:
    for one in streams(wire_format)[: None if FULL else 4]:
        whole = assembled(wire_format, one.body, one.provider)
        assert assembled(wire_format, one.body, one.provider, splits=997) == whole
        assert assembled(wire_format, one.body, one.provider, splits=EACH_FRAME) == whole
        if len(one.body) < 20_000:
            assert assembled(wire_format, one.body, one.provider, splits=1) == whole


def levels(wire_format: str, answer: Any) -> set[str]:
    """The fields of an answer whose presence does not depend on what was said."""
    inner = {"openai_chat": "choices", "gemini": "candidates"}.get(wire_format)
    fields = {name for name, value in answer.items() if value not in (None, [], {})}
    for choice in answer.get(inner or "") or ():
        fields |= {f"{inner}.{name}" for name, value in choice.items() if value not in (None, [], {})}
    for name in ("usage", "usageMetadata"):
        if isinstance(answer.get(name), dict):
            fields |= {f"usage.{field}" for field, value in answer[name].items() if value}
    return fields


SELDOM = {
    "openai_chat": {"moderation", "choices.finish_details", "usage.audio_prompt_tokens"},
    "anthropic_messages": {"container", "context_management", "stop_details", "stop_sequence", "usage.cache_creation",
        "usage.iterations", "usage.speed", "diagnostics"},
    "openai_responses": {"access_programs", "conversation", "previous_response_id", "prompt", "total_tokens", "user", "usage.num_server_side_tools_used",
        "usage.server_side_tool_usage_details", "billing"},
    "gemini": {"promptFeedback", "candidates.finishMessage", "candidates.safetyRatings", "candidates.citationMetadata",
        "candidates.groundingMetadata", "candidates.urlContextMetadata", "candidates.logprobsResult",
        "candidates.avgLogprobs", "usage.cacheTokensDetails", "usage.cachedContentTokenCount"},
}  # fmt: skip
"""Fields that answers have for what was asked or said: recorded whole, and by chance in no stream of that provider.

`billing` is in all whole responses of OpenAI and in none of its streams: what the provider did not say is not made up.
Of the others, `avgLogprobs` and `logprobsResult` are rows of what is asked for whole (canonical/kept_whole.py).
"""
RELAYED = {"openai", "deepseek", "anthropic", "google", "xai"}
"""Providers whose answers pass through, as far as there are recordings."""


@pytest.mark.skipif(not FULL, reason="takes all recordings: THEROUTER_LAWS_FULL=1")
@pytest.mark.parametrize("wire_format", sorted(FORMATS))
def test_what_whole_answers_of_a_provider_say_assembled_ones_say_too(wire_format: str) -> None:
    wholes: dict[str, set[str]] = defaultdict(set)
    made: dict[str, set[str]] = defaultdict(set)
    for one in recorded(wire_format, streams=False):
        if not carries_error(wire_format, one.body) and one.body.lstrip()[:1] == b"{":
            wholes[one.provider] |= levels(wire_format, msgspec.json.decode(one.body))
    for one in streams(wire_format):
        made[one.provider] |= levels(wire_format, assembled(wire_format, one.body, one.provider))
    for provider in RELAYED & wholes.keys() & made.keys():
        assert wholes[provider] - made[provider] - SELDOM[wire_format] == set(), provider


def test_a_field_that_streams_lack_is_a_row() -> None:
    rows = {(row.field, row.provider) for rows in LOST_FIELDS.values() for row in rows}
    assert ("candidates.avgLogprobs", "vertex") in rows
    for one in recorded("gemini", streams=True):
        assert b"avgLogprobs" not in one.body


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "odd",
    [],
    ["odd"],
    [None],
    {},
    {"index": 3},
    {"odd": {"odd": []}},
)


def bent(value: Any, generator: random.Random) -> Any:
    """The same with one value, somewhere, replaced by something odd or left out."""
    if isinstance(value, dict) and value and generator.random() < 0.85:
        name = generator.choice(list(value))
        if generator.random() < 0.1:
            return {other: inner for other, inner in value.items() if other != name}
        return value | {name: bent(value[name], generator)}
    if isinstance(value, list) and value and generator.random() < 0.85:
        at = generator.randrange(len(value))
        return [bent(inner, generator) if number == at else inner for number, inner in enumerate(value)]
    return generator.choice(ODD)


def frames_of(wire_format: str, tool: str) -> list[bytes]:
    return body_pieces(Answer(wire_format, True, "model-1", tool_arguments=tool, thought="" if tool else "sig"))


@pytest.mark.parametrize("wire_format", sorted(FORMATS))
@pytest.mark.parametrize("tool", ["", '{"city":"Lyon"}'])
def test_no_bent_stream_makes_an_assembler_stumble(wire_format: str, tool: str) -> None:
    frames = frames_of(wire_format, tool)
    generator = random.Random(1)
    outcomes = set()
    for _ in range(4_000 if FULL else 600):
        at = generator.randrange(len(frames))
        payload = payloads(frames[at])
        if not payload:
            continue
        line = b"data: " + msgspec.json.encode(bent(payload[0], generator)) + b"\n\n"
        translation = attempt(
            dialect=FORMATS[wire_format], wire_format=wire_format, stream=False, upstream_stream=True, target=TARGET
        )
        outputs = play(translation, *frames[:at], line, *frames[at + 1 :])
        final = b"".join(output.final for output in outputs)
        assert outputs[-1].ended
        outcomes.add(translation.outcome.failure)
        if translation.outcome.failure is None:
            assert isinstance(msgspec.json.decode(final), dict)
        else:
            assert not final
    assert None in outcomes
    assert FailureClass.MALFORMED in outcomes


def chunk(choice: int, text: str, **fields: Any) -> bytes:
    delta = {"index": choice, "delta": {"content": text}, "finish_reason": None, **fields}
    return b"data: " + msgspec.json.encode({"id": "c-1", "model": "m", "choices": [delta]}) + b"\n\n"


ENDS = b"".join(chunk(choice, "", finish_reason="stop") for choice in (0, 1)) + b"data: [DONE]\n\n"
READS = {
    "between them another choice, in a read of two frames": [
        chunk(0, "a"),
        chunk(1, "b") + chunk(1, "c"),
        chunk(0, "d"),
    ],
    "each in its turn": [chunk(0, "a"), chunk(1, "b"), chunk(1, "c"), chunk(0, "d")],
    "a frame in two reads": [chunk(0, "a"), chunk(1, "b")[:30], chunk(1, "b")[30:], chunk(1, "c"), chunk(0, "d")],
    "with what is no text": [chunk(1, "b"), chunk(1, "c"), chunk(0, "a", matched=1), chunk(0, "d", matched=1)],
}


@pytest.mark.parametrize("reads", READS)
def test_a_frame_that_comes_again_is_more_of_its_own_text(reads: str) -> None:
    translation = attempt(stream=False, upstream_stream=True)
    told = b"".join(output.final for output in play(translation, *READS[reads], ENDS))
    choices = msgspec.json.decode(told)["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["ad", "bc"]


def test_likelihoods_grow_with_each_frame_though_their_text_alone_differs() -> None:
    likely = {"logprobs": {"content": [{"token": "t", "logprob": -1.5, "bytes": [116], "top_logprobs": []}]}}
    reads = [chunk(0, text, **likely) for text in "abc"]
    translation = attempt(stream=False, upstream_stream=True)
    ends = chunk(0, "", finish_reason="stop") + b"data: [DONE]\n\n"
    told = b"".join(output.final for output in play(translation, *reads, ends))
    choice = msgspec.json.decode(told)["choices"][0]
    assert choice["message"]["content"] == "abc"
    assert len(choice["logprobs"]["content"]) == 3
