"""A stream read frame by frame, where alike frames are recognised, is the stream read at once, where all are decoded."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.translation.adapters.event_writer import EventWriter
from handlers.translation.canonical.attempt import Output
from handlers.translation.canonical.events import BlockDelta, BlockKind
from handlers.translation.framing.frame import SseFrame
from handlers.translation.framing.sse import SseReader
from handlers.translation.repeated_delta import LESSONS_MAX, RepeatedDelta
from tests.handlers.translation.driving import SSE_HEAD, attempt
from tests.laws.recordings import recorded

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
PIECES = st.one_of(
    st.sampled_from(
        ['"', "\\", "\\u0041", "a\nb", "\x7f", "\u2028", "你好", "", "model", "m-1", '","x":"', "stop", "\x00"]
    ),
    st.text(max_size=12),
)


def chat_frame(piece: str, *, raw: bool) -> bytes:
    """One chunk; `raw`: the text as it is, where JSON allows that."""
    chunk = {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
    text = msgspec.json.encode(chunk)
    return b"data: %b\n\n" % (
        text if raw else text.decode().encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
    )


def chat_stream(pieces: list[str]) -> list[bytes]:
    end = {"id": "c", "model": "m-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"id": "c", "model": "m-1", "choices": [], "usage": USAGE}
    closing = [b"data: %b\n\n" % msgspec.json.encode(frame) for frame in (end, usage)]
    return [*(chat_frame(piece, raw=True) for piece in pieces), *closing, b"data: [DONE]\n\n"]


def run(reads: list[bytes], dialect: str = "openai_chat") -> tuple[bytes, object]:
    """All that the client gets, and how the attempt ended."""
    translation = attempt(dialect=dialect, wire_format=dialect)
    translation.start(200, SSE_HEAD)
    outputs = [translation.receive_data(read) for read in reads]
    outputs.append(translation.receive_eof())
    return b"".join(output.data + output.final for output in outputs), translation.outcome


@given(st.lists(PIECES, max_size=30))
@settings(max_examples=300)
def test_frame_by_frame_and_at_once_are_the_same(pieces: list[str]) -> None:
    frames = chat_stream(pieces)
    assert run(frames) == run([b"".join(frames)])


@pytest.mark.parametrize("wire_format", ["openai_chat", "anthropic_messages", "openai_responses", "gemini"])
def test_recorded_streams_too(wire_format: str) -> None:
    recordings = recorded(wire_format, streams=True)
    if not recordings:
        pytest.skip("no recordings beside the project (THEROUTER_RECORDINGS)")
    dialect = "google_generate" if wire_format == "gemini" else wire_format
    for recording in recordings[:40]:
        frames = [frame.raw for frame in SseReader().receive_data(recording.body + b"\n\n")]
        translations = [attempt(dialect=dialect, wire_format=wire_format) for _ in range(2)]
        answers = []
        for translation, reads in zip(translations, (frames, [b"".join(frames)]), strict=True):
            translation.start(200, SSE_HEAD)
            outputs = [*map(translation.receive_data, reads), translation.receive_eof()]
            answers.append((b"".join(output.data + output.final for output in outputs), translation.outcome))
        assert answers[0] == answers[1]


def taught(text: str = "one") -> tuple[RepeatedDelta, EventWriter]:
    writer = EventWriter(0)
    index = writer.open(BlockKind.TEXT)
    repeated = RepeatedDelta()
    data = chat_frame(text, raw=True)
    frame = SseFrame(b"", data[6:-2], data)
    repeated.learn(data, [frame], [BlockDelta(index, text)], data.replace(b"m-1", b"author/model"))
    return repeated, writer


def test_a_frame_that_comes_again_is_counted_and_forwarded_with_the_public_name() -> None:
    repeated, writer = taught()
    output = repeated.recognise(chat_frame("twice as long", raw=True), writer)
    assert output == Output(chat_frame("twice as long", raw=True).replace(b"m-1", b"author/model"), semantic=True)
    assert writer.characters(0) == len("twice as long")
    assert writer.take()[-1] != BlockDelta(0, "twice as long")


@pytest.mark.parametrize(
    "data",
    [
        chat_frame("", raw=True),
        chat_frame('a"b', raw=True),
        chat_frame("a\\b", raw=True),
        chat_frame("one", raw=True) * 2,
        chat_frame("one", raw=True)[:-1],
        chat_frame("one", raw=True).replace(b'"c"', b'"d"'),
        chat_frame("one", raw=True).replace(b"one", b"o\x1fe"),
        chat_frame("one", raw=True).replace(b"one", b"o\xffe"),
        chat_frame("one", raw=True).replace(b'"}', b'","choices":[]}'),
    ],
)
def test_whatever_is_not_the_same_around_plain_text_is_decoded(data: bytes) -> None:
    repeated, writer = taught()
    assert repeated.recognise(data, writer) is None


@pytest.mark.parametrize("text", ["m-1", "c", "content"])
def test_a_text_that_stands_elsewhere_too_teaches_nothing(text: str) -> None:
    repeated, writer = taught(text)
    assert repeated.recognise(chat_frame("more", raw=True), writer) is None


def test_frames_that_always_differ_are_no_longer_learned_from() -> None:
    repeated, writer = taught()
    for number in range(LESSONS_MAX + 1):
        data = chat_frame("one", raw=True).replace(b'"c"', b'"c%d"' % number)
        repeated.learn(data, [SseFrame(b"", data[6:-2], data)], [BlockDelta(0, "one")], data)
    assert repeated.recognise(data, writer) is None
