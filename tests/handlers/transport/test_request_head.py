from __future__ import annotations

from collections.abc import Callable

import pytest

from handlers.errors import (
    HeadersTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    TargetTooLong,
    TheRouterError,
    UnsupportedMediaType,
)
from handlers.transport.limits import ServerLimits
from handlers.transport.request_head import RepeatedHead, RequestHead, check_partial_head, parse_request_head

LIMITS = ServerLimits()


def parse(request_line: bytes = b"POST /v1/x HTTP/1.1", *lines: bytes, host: bytes | None = b"Host: h") -> RequestHead:
    all_lines = [request_line, *([host] if host is not None else []), *lines]
    return parse_request_head(b"\r\n".join(all_lines), LIMITS, "192.0.2.7")


def refused(error: type[TheRouterError], request_line: bytes, *lines: bytes, host: bytes | None = b"Host: h") -> None:
    with pytest.raises(TheRouterError) as caught:
        parse(request_line, *lines, host=host)
    assert type(caught.value) is error


def test_a_request_is_read() -> None:
    head = parse(b"POST /v1/x?a=b?c HTTP/1.1", b"Content-Length: 12", b"X-List: a", b"x-list: b", host=b"HOST: h:80")
    assert (head.method, head.target, head.path, head.query) == (b"POST", b"/v1/x?a=b?c", b"/v1/x", b"a=b?c")
    assert head.headers == [(b"host", b"h:80"), (b"content-length", b"12"), (b"x-list", b"a"), (b"x-list", b"b")]
    assert head.get(b"x-list") == b"a, b"
    assert head.get_all(b"x-list") == [b"a", b"b"]
    assert head.get(b"absent") is None
    assert head.get_all(b"absent") == []
    assert (head.body_length, head.keep_alive, head.expects_continue, head.peer) == (12, True, False, "192.0.2.7")


def test_a_head_built_by_hand_is_like_a_parsed_one() -> None:
    head = RequestHead(b"GET", b"/a?b", [(b"cookie", b"x=1"), (b"cookie", b"y=2")])
    assert (head.path, head.query, head.get(b"cookie"), head.keep_alive) == (b"/a", b"b", b"x=1; y=2", True)


def test_a_head_does_not_show_what_may_be_a_key() -> None:
    head = parse(b"GET /v1/x?key=hidden HTTP/1.1", b"Authorization: Bearer hidden")
    assert "hidden" not in repr(head)


@pytest.mark.claim("A01")
@pytest.mark.parametrize(
    "host",
    [b"", b"a/b", b"a?b", b"a#b", b"a@b", b"a b", b"a\tb", b"x" * 8192, b"[::1", b"[::1]x", b"::1", b"h:", b"h:999999", b"h:x",
     b"a,b", b"\xc3\xa9", b"http://h"],
)  # fmt: skip
def test_a01_odd_hosts(host: bytes) -> None:
    refused(InvalidRequest, b"GET / HTTP/1.1", host=b"Host: " + host)


@pytest.mark.claim("A01")
def test_a01_missing_and_doubled_hosts() -> None:
    refused(InvalidRequest, b"GET / HTTP/1.1", host=None)
    refused(InvalidRequest, b"GET / HTTP/1.1", b"Host: h")
    refused(InvalidRequest, b"GET / HTTP/1.1", b"hOST: other")
    assert parse(b"GET / HTTP/1.0", host=None).get(b"host") is None


@pytest.mark.claim("A01")
@pytest.mark.parametrize("host", [b"h", b"api.example.com:443", b"[::1]:8080", b"127.0.0.1", b"a_b"])
def test_a01_good_hosts_never_change_the_path(host: bytes) -> None:
    assert parse(b"GET /p HTTP/1.1", host=b"Host: " + host).path == b"/p"


@pytest.mark.claim("A02")
@pytest.mark.parametrize("target", [b"http://evil/v1/x", b"https://evil", b"evil:80", b"//", b"*", b"", b"v1/x", b"?a"])
def test_a02_only_origin_form_names_a_route(target: bytes) -> None:
    if target == b"//":
        assert parse(b"GET // HTTP/1.1").path == b"//", "kept raw: it equals no route"
    else:
        refused(InvalidRequest, b"GET " + target + b" HTTP/1.1")


def test_the_asterisk_is_for_options() -> None:
    assert parse(b"OPTIONS * HTTP/1.1").path == b"*"


@pytest.mark.claim("A03")
@pytest.mark.parametrize(
    "path", [b"//v1", b"/./", b"/../", b"/%2e%2e/v1", b"/v1%2fx", b"/v1;x", b"/v1/", b"/V1", b"/%c0%ae", b"/%00", b"/%"]
)
def test_a03_paths_are_kept_raw(path: bytes) -> None:
    assert parse(b"GET " + path + b" HTTP/1.1").path == path


@pytest.mark.claim("A03")
@pytest.mark.parametrize(
    "path", [b"/a\0b", b"/a\\b", b"/a#b", b"/\xc3\xa9", b"/\xc0\xae", b"/a\tb", b'/"', b"/<", b"/a b"]
)
def test_a03_what_no_url_holds_is_refused(path: bytes) -> None:
    refused(InvalidRequest, b"GET " + path + b" HTTP/1.1")


@pytest.mark.claim("A04")
@pytest.mark.parametrize(
    "name",
    [b"X-Original-URL", b"X-Rewrite-URL", b"X-Forwarded-Path", b"X-Forwarded-Host", b"Forwarded", b"X-HTTP-Method-Override",
     b"X-Method-Override", b"CloudFront-Viewer-Address"],
)  # fmt: skip
def test_a04_steering_headers_change_nothing(name: bytes) -> None:
    head = parse(b"GET /p HTTP/1.1", name + b": /admin/DELETE")
    assert (head.method, head.path, head.peer) == (b"GET", b"/p", "192.0.2.7")


@pytest.mark.claim("A05")
@pytest.mark.parametrize(
    "method", [b"CONNECT", b"TRACE", b"get", b"Post", b"FOO", b"PROPFIND", b"PRI", b"X!#$%&'*+-.^_`|~"]
)
def test_a05_methods_not_offered(method: bytes) -> None:
    refused(MethodNotAllowed, method + b" / HTTP/1.1")


@pytest.mark.claim("A05")
@pytest.mark.parametrize("method", [b"M" * 1024, b"", b"G\xc3\xa9T", b"GE(T", b'"GET"', b"GET\t"])
def test_a05_malformed_methods(method: bytes) -> None:
    refused(InvalidRequest, method + b" / HTTP/1.1")


@pytest.mark.claim("A06")
@pytest.mark.parametrize(
    "name", [b"Authorization", b"x-api-key", b"X-Goog-Api-Key", b"Idempotency-Key", b"Content-Type"]
)
def test_a06_credentials_and_other_singletons_come_once(name: bytes) -> None:
    refused(InvalidRequest, b"GET / HTTP/1.1", name + b": a", name.lower() + b": a")


@pytest.mark.claim("A06")
def test_a06_a_megabyte_of_authorization() -> None:
    refused(HeadersTooLarge, b"GET / HTTP/1.1", b"Authorization: Bearer " + b"x" * 1_000_000)


@pytest.mark.parametrize(
    "version", [b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.2", b"HTTP/1.10", b"http/1.1", b"HTTP/1.1 ", b"", b"X"]
)
def test_other_versions(version: bytes) -> None:
    refused(InvalidRequest, b"GET / " + version)


@pytest.mark.parametrize("line", [b"", b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b" GET / HTTP/1.1"])
def test_malformed_request_lines(line: bytes) -> None:
    refused(InvalidRequest, line)


@pytest.mark.claim("A20")
@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length: +5",),
        (b"Content-Length: 5 ",),
        (b"Content-Length:  5",),
        (b"Content-Length:\t5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: -5",),
        (b"Content-Length: " + b"9" * 25,),
        (b"Content-Length: \xd9\xa5",),
        (b"Content-Length:",),
        (b"Content-Length : 5",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: chunked, identity",),
        (b"Transfer-Encoding: identity",),
        (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding: chunked;q=1",),
        (b"Transfer-Encoding:\x0bchunked",),
        (b"Transfer-Encoding: 'chunked'",),
        (b"Transfer-Encoding:",),
        (b"Transfer_Encoding: chunked",),
    ],
)
def test_a20_doubtful_framing(lines: tuple[bytes, ...]) -> None:
    refused(InvalidRequest, b"POST / HTTP/1.1", *lines)


@pytest.mark.claim("A20")
def test_a20_a_transfer_coding_over_http_10() -> None:
    refused(InvalidRequest, b"POST / HTTP/1.0", b"Transfer-Encoding: chunked")


def test_good_framing() -> None:
    assert parse(b"POST / HTTP/1.1", b"Content-Length: 5").body_length == 5
    assert parse(b"POST / HTTP/1.1", b"Content-Length:0").body_length == 0
    assert parse(b"POST / HTTP/1.1", b"content-LENGTH: 00012").body_length == 12
    assert parse(b"POST / HTTP/1.1", b"Transfer-Encoding:  Chunked ").body_length is None
    assert parse(b"POST / HTTP/1.1").body_length == 0


@pytest.mark.claim("A22")
@pytest.mark.parametrize(
    "line",
    [b" folded", b"\tfolded", b"bad name: v", b"bad_name: v", b"bad\0name: v", b"b\xc3\xa9: v", b"x: a\rb", b"x: a\nb", b"x: \0",
     b"x : v", b": v", b"novalue", b"x: \x7f", b"(x): v"],
)  # fmt: skip
def test_a22_malformed_headers(line: bytes) -> None:
    refused(InvalidRequest, b"GET / HTTP/1.1", b"x-before: 1", line)


@pytest.mark.claim("A22")
def test_a22_too_many_or_too_long_headers() -> None:
    assert len(parse(b"GET / HTTP/1.1", *[b"x-%d: 1" % n for n in range(99)]).headers) == 100
    refused(HeadersTooLarge, b"GET / HTTP/1.1", *[b"x-%d: 1" % n for n in range(100)])
    refused(HeadersTooLarge, b"GET / HTTP/1.1", *[b"x: 1"] * 1000)
    refused(HeadersTooLarge, b"GET / HTTP/1.1", b"x: " + b"v" * 65_536)
    parse(b"GET / HTTP/1.1", b"x: " + b"v" * (LIMITS.header_section_bytes - 20))


@pytest.mark.claim("A23")
def test_a23_a_long_request_line() -> None:
    refused(TargetTooLong, b"GET /" + b"x" * 65_536 + b" HTTP/1.1")
    refused(TargetTooLong, b"GET /" + b"x" * (8192 - 13) + b" HTTP/1.1")
    parse(b"GET /" + b"x" * (8192 - 14) + b" HTTP/1.1")


@pytest.mark.claim("A27")
@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x"),
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: x"),
    ],
)
def test_a27_upgrades_are_ignored(lines: tuple[bytes, ...]) -> None:
    head = parse(b"GET / HTTP/1.1", *lines)
    assert (head.body_length, head.keep_alive) == (0, True)


@pytest.mark.claim("A27")
def test_a27_the_http2_preface_is_refused() -> None:
    refused(InvalidRequest, b"PRI * HTTP/2.0", host=None)


@pytest.mark.claim("A31")
@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"deflate", b"gzip, gzip", b"identity, gzip", b"x"])
def test_a31_compressed_bodies(coding: bytes) -> None:
    refused(UnsupportedMediaType, b"POST / HTTP/1.1", b"Content-Encoding: " + coding)


def test_identity_is_no_compression() -> None:
    assert parse(b"POST / HTTP/1.1", b"Content-Encoding: Identity").body_length == 0


@pytest.mark.parametrize(
    ("line", "keep_alive"),
    [
        (b"Connection: close", False),
        (b"Connection: x , Close", False),
        (b"Connection: keep-alive", True),
        (b"X: close", True),
    ],
)
def test_connection_close(line: bytes, keep_alive: bool) -> None:
    assert parse(b"GET / HTTP/1.1", line).keep_alive is keep_alive


def test_http_10_is_never_kept_alive() -> None:
    assert not parse(b"GET / HTTP/1.0", b"Connection: keep-alive").keep_alive


def test_expectations() -> None:
    assert parse(b"POST / HTTP/1.1", b"Expect: 100-Continue").expects_continue
    assert not parse(b"POST / HTTP/1.0", b"Expect: 100-continue").expects_continue
    refused(InvalidRequest, b"POST / HTTP/1.1", b"Expect: 200-ok")


def test_no_refusal_quotes_the_request() -> None:
    for lines in ((b"hidden",), (b"Expect: hidden",), (b"hid_den: hidden",), (b"Content-Length: hidden",)):
        with pytest.raises(TheRouterError) as caught:
            parse(b"POST /hidden HTTP/1.1", *lines)
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "received", [b"GET / HTTP/1.1\n", b"GET\0", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\nx: y\n", b"a\rb"]
)
def test_an_incomplete_head_that_cannot_become_good(received: bytes) -> None:
    with pytest.raises(InvalidRequest):
        check_partial_head(bytearray(received), 0, LIMITS)


def test_an_incomplete_head_that_can() -> None:
    for size in range(30):
        check_partial_head(bytearray(b"GET / HTTP/1.1\r\nHost: h\r\nx: \xc3\xa9"[:size]), 0, LIMITS)
    with pytest.raises(TargetTooLong):
        check_partial_head(bytearray(b"x" * 8194), 0, LIMITS)
    with pytest.raises(HeadersTooLarge):
        check_partial_head(bytearray(b"GET / HTTP/1.1\r\n" + b"x" * 40_000), 0, LIMITS)


def outcome(read: Callable[[bytes, ServerLimits], RequestHead], section: bytes) -> tuple[object, ...]:
    try:
        head = read(section, ServerLimits())
    except TheRouterError as error:
        return type(error), error.message
    framing = head.keep_alive, head.body_length, head.expects_continue, head.get(b"content-length")
    return head.method, head.target, head.headers, framing


REPEATED = [
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n%s%s: %s\r\nAccept: */*" % (extra, name, length)
    for name in (b"Content-Length", b"content-length", b"X-Length")
    for extra in (b"", b"Authorization: Bearer a\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Content-Length: 1\r\n")
    for length in (b"1", b"12", b"0", b"007", b"1_0", b"+1", b"1 ", b" 1", b"", b"9" * 16, b"1\r\nContent-Length: 2", b"1\r\nX: y", b"\xb2")
] + [b"GET / HTTP/1.1\r\nHost: h", b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked", b"GET / HTTP/1.1\r\nHost: hh"]  # fmt: skip


@pytest.mark.claim("A20", "A28")
@pytest.mark.parametrize("first", REPEATED[::4])
def test_a28_after_any_head_each_other_is_read_as_if_it_came_alone(first: bytes) -> None:
    for second in REPEATED:
        repeated = RepeatedHead()
        for section in (first, second, second, first):
            assert outcome(repeated.read, section) == outcome(parse_request_head, section), section


def test_a_head_that_comes_again_is_not_parsed_again() -> None:
    repeated, section = RepeatedHead(), b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nAccept: */*"
    head = repeated.read(section % 5, ServerLimits())
    assert repeated.read(section % 5, ServerLimits()) is head
    assert repeated.read(section % 123, ServerLimits()).body_length == 123
