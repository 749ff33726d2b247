"""Request heads for upstreams: one well-formed request, or none."""

from __future__ import annotations

import pytest

from handlers.transport.requests import RequestHead, split_origin


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "ftp://h",
        "http://",
        "http://h/path",
        "http://u@h",
        "http://h:x",
        "http://h:123456",
        "http://a b",
        "h:80",
        "http://h\r\n",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        split_origin(origin)


def test_origins() -> None:
    assert split_origin("https://api.x.com") == ("https", "api.x.com", 443, b"api.x.com")
    assert split_origin("http://h:8080") == ("http", "h", 8080, b"h:8080")
    assert split_origin("https://[::1]:443") == ("https", "::1", 443, b"[::1]")


def test_a_head_is_written_once_and_sent_with_any_length() -> None:
    head = RequestHead("http://h:8080", b"POST", b"/v1/x?y=z", [(b"x-a", b"1")])
    for length in (0, 7):
        expected = b"POST /v1/x?y=z HTTP/1.1\r\nhost: h:8080\r\nx-a: 1\r\ncontent-length: %d\r\n\r\n" % length
        assert head.encode(length) == expected
    bodiless = RequestHead("https://h", b"GET", b"/", [])
    assert bodiless.encode(0) == b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"
    assert bodiless.encode(2) == b"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        (b"TRACE", b"/", []),
        (b"POST", b"x", []),
        (b"POST", b"/a b", []),
        (b"POST", b"/a\r\nX: y", []),
        (b"POST", b"/", [(b"x", b"a\r\nb: c")]),
        (b"POST", b"/", [(b"Host", b"evil")]),
        (b"POST", b"/", [(b"content-length", b"1")]),
    ],
)
def test_requests_that_would_be_split_are_not_sent(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(ValueError, match=r"malformed|header"):
        RequestHead("http://127.0.0.1:1", method, target, headers)


def test_a_request_does_not_show_its_headers() -> None:
    assert "hidden" not in repr(RequestHead("http://h", b"GET", b"/hidden", [(b"authorization", b"hidden")]))
