from __future__ import annotations

import itertools
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.transport.bodies import ChunkedDecoder, MalformedChunks, Pieces

SAMPLE = b"5\r\nhello\r\nA;ext=1\r\n0123456789\r\n1\r\n!\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\nREST"


def decode(reads: list[bytes]) -> tuple[bytes, bool, bytes]:
    decoder = ChunkedDecoder()
    body, rest = b"", b""
    for read in reads:
        if decoder.done:
            rest += read
        else:
            body += decoder.feed(read)
            rest = decoder.rest
    return body, decoder.done, rest


def cuts(data: bytes, positions: list[int]) -> list[bytes]:
    edges = [0, *sorted(position % (len(data) + 1) for position in positions), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def test_law_every_single_cut_decodes_alike() -> None:
    for position in range(len(SAMPLE) + 1):
        assert decode(cuts(SAMPLE, [position])) == (b"hello0123456789!", True, b"REST")


def test_law_byte_by_byte() -> None:
    assert decode([SAMPLE[i : i + 1] for i in range(len(SAMPLE))]) == (b"hello0123456789!", True, b"REST")


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.lists(st.integers(0, 10**6), max_size=12))
def test_law_random_chunks_at_random_cuts(chunks: list[bytes], positions: list[int]) -> None:
    data = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert decode(cuts(data, positions)) == (b"".join(chunks), True, b"")


@pytest.mark.claim("A21")
@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\n",
        b"5\nhello\n0\n\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0",
        b"5\r\nhelloX",
        b"FFFFFFFFFFFFFFFFF\r\n",
        b"1" * 20,
        b"5;" + b"x" * 300 + b"\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;\x00\r\nhello\r\n",
        b"g\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\nx: a\nb\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\n" + b"x: y\r\n" * 3000 + b"\r\n",
    ],
)
def test_a21_malformed_chunks_are_refused_at_every_cut(data: bytes) -> None:
    with pytest.raises(MalformedChunks):
        decode([data])
    for position in range(1, min(len(data), 40)):
        with pytest.raises(MalformedChunks):
            decode(cuts(data, [position]))


@pytest.mark.claim("A21")
def test_a21_a_megabyte_of_extensions_is_refused() -> None:
    with pytest.raises(MalformedChunks, match="extensions"):
        decode([b"1;" + b"e" * 200 + b"\r\nx\r\n"] * 5000)


@pytest.mark.claim("A21")
def test_a21_an_incomplete_body_is_never_done() -> None:
    whole = b"5\r\nhello\r\n0\r\nT: v\r\n\r\n"
    for size in range(len(whole)):
        assert not decode([whole[:size]])[1]


@pytest.mark.claim("A21")
def test_a21_a_million_tiny_chunks_cost_linear_time() -> None:
    data = b"1\r\nx\r\n" * 10_000
    decoder = ChunkedDecoder()
    started = time.process_time()
    for _ in range(100):
        decoder.feed(data)
    assert time.process_time() - started < 5, "6 MB; the reference asks for 1 s per 10 MB on an idle machine"


def test_a_drip_of_bytes_costs_no_memory() -> None:
    pieces = Pieces()
    tracemalloc.start()
    for _ in range(200_000):
        pieces.add(bytes([1, 2]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 400_000
    assert pieces.length == len(pieces.join()) == 400_000


@given(st.lists(st.sampled_from([1, 100, 4095, 4096, 70_000]), max_size=12))
def test_pieces_join_in_order(sizes: list[int]) -> None:
    pieces = Pieces()
    expected = b""
    for index, size in enumerate(sizes):
        piece = bytes([index]) * size
        pieces.add(piece)
        expected += piece
    assert pieces.join() == expected
    assert pieces.length == len(expected)


def test_one_piece_is_not_copied() -> None:
    body = b"x" * 100_000
    pieces = Pieces()
    pieces.add(body)
    assert pieces.join() is body
