from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.transport.header_fields import (
    LINE_BYTES,
    TOKEN_BYTES,
    MalformedHead,
    encode_fields,
    lower_client_name,
    parse_fields,
    parse_length,
    split_lines,
)


@pytest.mark.claim("A22")
@pytest.mark.parametrize("byte", [b for b in range(256) if b not in LINE_BYTES])
def test_a22_no_control_character_may_stand_in_a_line(byte: int) -> None:
    with pytest.raises(MalformedHead):
        split_lines(b"a: b" + bytes([byte]) + b"c\r\nd: e")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\n", b"\r\n\r"])
def test_only_cr_lf_ends_a_line(end: bytes) -> None:
    with pytest.raises(MalformedHead):
        split_lines(b"a: b" + end + b"c: d")


@given(st.lists(st.binary(max_size=20).filter(lambda line: not line.translate(None, LINE_BYTES))))
def test_legal_lines_come_apart_as_they_were_joined(lines: list[bytes]) -> None:
    assert split_lines(b"\r\n".join(lines)) == (lines or [b""])


@pytest.mark.claim("A22")
@pytest.mark.parametrize("byte", [b for b in range(256) if b not in TOKEN_BYTES and b != ord(":")])
def test_a22_names_are_tokens(byte: int) -> None:
    with pytest.raises(MalformedHead):
        parse_fields([b"x" + bytes([byte]) + b"y: z"])


@pytest.mark.parametrize("line", [b"", b": v", b"name", b" folded: v", b"\tfolded", b"name : v"])
def test_lines_that_are_no_fields(line: bytes) -> None:
    with pytest.raises(MalformedHead):
        parse_fields([line])


def test_names_are_lowered_and_values_stripped() -> None:
    assert parse_fields([b"Content-Type:  a b\t ", b"X-ODD:", b"x:y:z"]) == [
        (b"content-type", b"a b"),
        (b"x-odd", b""),
        (b"x", b"y:z"),
    ]


def test_underscores_collide_with_hyphens_and_clients_may_not_send_them() -> None:
    with pytest.raises(MalformedHead):
        parse_fields([b"x_key: 1"], lower_client_name)
    assert parse_fields([b"x_key: 1"]) == [(b"x_key", b"1")]


@pytest.mark.parametrize("value", [b"", b"+5", b"-1", b"0x5", b"5 ", b"1_0", b"5,5", b"9" * 25, b"\xb2"])
def test_lengths_are_decimal_digits(value: bytes) -> None:
    with pytest.raises(MalformedHead):
        parse_length(value)


@given(st.integers(0, 10**15 - 1))
def test_every_length_is_read(number: int) -> None:
    assert parse_length(b"%d" % number) == number


@pytest.mark.claim("A56")
@pytest.mark.parametrize(
    "field",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"\0"),
        (b"x: y", b""),
        (b"", b""),
        (b"x\r\n", b""),
        (b"Content-Length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"Connection", b"x"),
        (b"host", b"x"),
    ],
)
def test_a56_headers_that_would_break_out_are_not_written(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        encode_fields([(b"fine", b"1"), field])
    with pytest.raises(ValueError, match="header"):
        encode_fields([field])


def test_fields_survive_a_round_trip() -> None:
    fields = [(b"x-a", b"1"), (b"x-b", b""), (b"x-a", b"caf\xc3\xa9")]
    assert parse_fields(split_lines(encode_fields(fields))[:-1]) == fields


def test_the_memory_of_written_names_is_bounded() -> None:
    for number in range(2000):
        encode_fields([(b"x-%d" % number, b"")])
