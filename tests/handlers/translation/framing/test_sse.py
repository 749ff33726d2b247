from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.translation.framing.frame import SseFrame
from handlers.translation.framing.sse import FRAME_BYTES_MAX, FramingError, SseReader, frame_bytes

ENDINGS = (b"\n", b"\r", b"\r\n")


def read(*pieces: bytes) -> list[tuple[bytes, bytes]]:
    reader = SseReader()
    frames: list[SseFrame] = []
    for piece in pieces:
        frames += reader.receive_data(piece)
    return [(frame.event, frame.data) for frame in frames + reader.receive_eof()]


def test_one_frame() -> None:
    assert read(b'data: {"a":1}\n\n') == [(b"", b'{"a":1}')]
    assert SseReader().receive_data(b"data: x\n\n")[0].raw == b"data: x\n\n"


def test_names_joined_lines_comments_and_other_fields() -> None:
    stream = b": hello\n\nid: 7\nevent: e\ndata: a\ndata:b\nretry: 5\n\nevent: empty\n\ndata\n\ndata:\n\n"
    assert read(stream) == [(b"e", b"a\nb")]


def test_a_frame_without_its_blank_line_is_handed_out_at_the_end() -> None:
    assert read(b"data: a\n\ndata: b") == [(b"", b"a"), (b"", b"b")]


def test_separators_of_lines_in_unicode_are_text() -> None:
    for separator in ("\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"):
        data = f"a{separator}b".encode()
        assert read(b"data: " + data + b"\n\n") == [(b"", data)]


def test_raw_is_framed_the_same_way_whatever_the_line_ends() -> None:
    for ending in ENDINGS:
        stream = b"event: e" + ending + b"data: x" + ending + ending
        assert SseReader().receive_data(stream)[0].raw.rstrip(b"\r") == b"event: e\ndata: x\n\n"


@pytest.mark.claim("A51")
def test_a51_a_frame_without_end_is_refused() -> None:
    reader = SseReader()
    for _ in range(FRAME_BYTES_MAX // 1_000_000):
        assert reader.receive_data(b"x" * 1_000_000) == []
    with pytest.raises(FramingError):
        reader.receive_data(b"x" * 1_000_000)


@settings(max_examples=150)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=30).filter(lambda b: not set(b) & {10, 13}), max_size=5),
    ending=st.sampled_from(ENDINGS),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    bom=st.booleans(),
)
def test_any_splitting_reads_the_same(payloads: list[bytes], ending: bytes, cuts: list[int], bom: bool) -> None:
    stream = b"".join(b"data: " + payload + ending + ending for payload in payloads)
    stream = b"\xef\xbb\xbf" * bom + stream
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert read(*pieces) == [(b"", payload) for payload in payloads]


def test_frames_of_ours() -> None:
    assert frame_bytes(b"{}") == b"data: {}\n\n"
    assert frame_bytes(b"{}", "ping") == b"event: ping\ndata: {}\n\n"
