from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import FailureClass
from handlers.transport.frames import (
    Frame,
    FrameReader,
    MalformedFrame,
    decode_answer,
    decode_end,
    encode_answer,
    encode_end,
    encode_frame,
    encode_frame_header,
    encode_json,
)
from handlers.transport.wire import FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameKind, WireEnd, WireHead

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([kind.value for kind in FrameKind]),
        st.integers(0, 1),
        st.one_of(st.binary(max_size=40), st.just(b"x" * 5000)),
    ),
    max_size=8,
)


def read(data: bytes, positions: list[int]) -> tuple[list[Frame], bool]:
    reader = FrameReader()
    edges = [0, *sorted(position % (len(data) + 1) for position in positions), len(data)]
    frames = [frame for a, b in itertools.pairwise(edges) for frame in reader.feed(data[a:b])]
    return frames, reader.clean


@given(FRAMES, st.lists(st.integers(0, 10**6), max_size=12))
def test_law_frames_survive_any_cutting(frames: list[Frame], positions: list[int]) -> None:
    data = b"".join(encode_frame(*frame) for frame in frames)
    assert read(data, positions) == (frames, True)


def test_law_byte_by_byte() -> None:
    frames: list[Frame] = [(4, 1, b"hello"), (5, 0, b""), (6, 0, b"x" * 300)]
    data = b"".join(encode_frame(*frame) for frame in frames)
    assert read(data, list(range(len(data)))) == (frames, True)


@given(FRAMES.filter(bool), st.integers(1, 10**6))
def test_law_a_prefix_yields_only_whole_frames_and_is_not_clean(frames: list[Frame], missing: int) -> None:
    last = encode_frame(*frames[-1])
    data = b"".join(encode_frame(*frame) for frame in frames)[: -(1 + missing % (len(last) - 1))]
    assert read(data, []) == (frames[:-1], False)


def test_a_header_alone_precedes_its_payload() -> None:
    assert encode_frame_header(4, 1, 3) + b"abc" == encode_frame(4, 1, b"abc")
    assert len(encode_frame_header(4, 0, 0)) == FRAME_HEADER_BYTES


@pytest.mark.parametrize(
    "header",
    [
        encode_frame_header(0, 0, 0),
        encode_frame_header(8, 0, 0),
        encode_frame_header(255, 0, 0),
        encode_frame_header(4, 2, 0),
        encode_frame_header(4, 0x80, 0),
        encode_frame_header(4, 0, FRAME_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_frame_is_refused_at_its_header(header: bytes) -> None:
    with pytest.raises(MalformedFrame):
        FrameReader().feed(header)
    with pytest.raises(MalformedFrame):
        read(header, list(range(len(header))))


def test_an_oversized_frame_is_refused_before_its_payload() -> None:
    reader = FrameReader(payload_max=10)
    assert reader.feed(encode_frame(4, 0, b"x" * 10)) == [(4, 0, b"x" * 10)]
    with pytest.raises(MalformedFrame):
        reader.feed(encode_frame_header(4, 0, 11))


@given(st.binary(max_size=50), st.sampled_from([None, *FailureClass]), st.booleans())
def test_an_end_survives_a_round_trip(final: bytes, failure: FailureClass | None, semantic: bool) -> None:
    end = WireEnd(failure=failure, semantic=semantic, upstream_status=529)
    ((kind, flags, payload),) = FrameReader().feed(encode_end(end, final))
    assert (kind, flags) == (FrameKind.END, 0)
    assert decode_end(payload) == (end, final)


@given(st.binary(max_size=50), st.sampled_from([None, *FailureClass]), st.sampled_from(["a/b", "text/event-stream"]))
def test_an_answer_is_a_head_and_an_end(final: bytes, failure: FailureClass | None, content_type: str) -> None:
    head, end = WireHead(200, content_type, {"x-therouter-warnings": "w"}), WireEnd(failure=failure, semantic=True)
    ((kind, flags, payload),) = FrameReader().feed(encode_answer(encode_json(head), end, final))
    assert (kind, flags) == (FrameKind.ANSWER, 0)
    assert decode_answer(payload) == (head, end, final)


@pytest.mark.parametrize("payload", [b"", b"\0\0\0", b"\0\0\0\x05{}", b"\0\0\0\x02{}", b"\0\0\0\x02{}\0\0\0\x03{}"])
def test_a_broken_answer_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_answer(payload)


@pytest.mark.parametrize(
    "payload", [b"", b"\0\0\0", b"\0\0\0\x05{}", b"\xff\xff\xff\xff{}", b"\0\0\0\x02[]", b"\0\0\0\0"]
)
def test_a_broken_end_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedFrame):
        decode_end(payload)
