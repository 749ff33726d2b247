"""The container's server: who may send events, what a handler sees, and what comes back."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.clouds import aliyun_api
from handlers.clouds.function_server import load_handler, make_server

PLATFORM = {
    "x-fc-request-id": "1-64f6cd87",
    "x-fc-function-name": "therouter-production-admin",
    "x-fc-function-timeout": "29",
    "x-fc-function-memory": "512",
    "x-fc-region": "cn-hangzhou",
    "x-fc-account-id": "1234",
    "x-fc-access-key-id": "STS.k",
    "x-fc-access-key-secret": "made-up",
    "x-fc-security-token": "session",
}
EVENT = {**PLATFORM, "x-fc-control-path": "/invoke"}


class Room:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.contexts: list[Any] = []
        self.answer: dict[str, Any] = {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "hello"}

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        self.events.append(event)
        self.contexts.append(context)
        if event.get("path") == "/admin/broken":
            raise RuntimeError("canary")
        return self.answer


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def connection(room: Room) -> Iterator[http.client.HTTPConnection]:
    server = make_server(room, ("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    client = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    yield client
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()
    aliyun_api._provided.clear()


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection.request(method, path, body, {**PLATFORM, **(headers or {})})
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def test_a_request_reaches_the_handler_as_an_alb_would_send_it(
    connection: http.client.HTTPConnection, room: Room
) -> None:
    status, headers, body = ask(connection, "POST", "/admin/keys?limit=1%30", b'{"a":1}', {"Authorization": "Bearer x"})
    assert (status, headers["content-type"], body) == (200, "text/plain", b"hello")
    (event,) = room.events
    assert (event["httpMethod"], event["path"]) == ("POST", "/admin/keys")
    assert event["queryStringParameters"] == {"limit": "1%30"}
    assert (event["body"], event["isBase64Encoded"]) == ('{"a":1}', False)
    assert event["headers"]["authorization"] == "Bearer x"


def test_the_platforms_headers_stay_out_of_the_event(connection: http.client.HTTPConnection, room: Room) -> None:
    ask(connection, "GET", "/admin/keys")
    assert "made-up" not in repr(room.events)
    assert not any(name.startswith("x-fc-") for name in room.events[0]["headers"])
    assert aliyun_api._provided[-1].access_key_id == "STS.k"


def test_the_context_is_filled_from_the_platforms_headers(connection: http.client.HTTPConnection, room: Room) -> None:
    ask(connection, "GET", "/admin/keys")
    (context,) = room.contexts
    assert context.aws_request_id == "1-64f6cd87"
    assert context.invoked_function_arn == "acs:fc:cn-hangzhou:1234:functions/therouter-production-admin"
    assert 28_000 < context.get_remaining_time_in_millis() <= 29_000


def test_a_timer_reaches_the_handler_as_its_payload(connection: http.client.HTTPConnection, room: Room) -> None:
    room.answer = {"purged": 3}
    timer = msgspec.json.encode({"triggerTime": "t", "triggerName": "purge", "payload": '{"task":"repair"}'})
    status, _, body = ask(connection, "POST", "/invoke", timer, EVENT)
    assert (status, body) == (200, b'{"purged":3}')
    assert room.events == [{"task": "repair"}]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/invoke", {**EVENT, "x-forwarded-for": "192.0.2.1"}),
        ("/admin/x", EVENT),
        ("/invoke?x=1", EVENT),
        ("/invoke", PLATFORM),
    ],
)
def test_nobody_behind_the_load_balancer_speaks_as_the_platform(
    connection: http.client.HTTPConnection, room: Room, path: str, headers: dict[str, str]
) -> None:
    ask(connection, "POST", path, b'{"task":"repair"}', headers)
    (event,) = room.events
    assert "task" not in event
    assert event["body"] == '{"task":"repair"}'


def test_a_failing_handler_is_a_500_without_its_words(connection: http.client.HTTPConnection) -> None:
    status, headers, body = ask(connection, "GET", "/admin/broken")
    assert status == 500
    assert headers["x-fc-status"] == "500"
    assert b"canary" not in body
    assert b"internal_error" in body


def test_a_broken_event_is_a_500(connection: http.client.HTTPConnection, room: Room) -> None:
    assert ask(connection, "POST", "/invoke", b"[", EVENT)[0] == 500
    assert room.events == []


def test_a_head_request_has_no_body(connection: http.client.HTTPConnection) -> None:
    status, headers, body = ask(connection, "HEAD", "/")
    assert (status, headers["content-length"], body) == (200, "5", b"")


def test_several_requests_share_a_connection(connection: http.client.HTTPConnection, room: Room) -> None:
    for number in range(3):
        ask(connection, "POST", "/admin/x", str(number).encode())
    assert [event["body"] for event in room.events] == ["0", "1", "2"]


@pytest.mark.parametrize(
    "headers", [{"transfer-encoding": "chunked"}, {"content-length": "99999999999"}, {"content-length": "x"}]
)
def test_a_body_without_an_honest_length_is_not_read(
    connection: http.client.HTTPConnection, room: Room, headers: dict[str, str]
) -> None:
    connection.putrequest("POST", "/admin/x")
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 400
    response.read()
    assert room.events == []


@pytest.mark.parametrize(
    "line", [b"GET /canary HTTP/9.9 x", b"CANARY / HTTP/1.1", b"GET /canary HTTP/1.1\r\n" + b"x: y\r\n" * 200]
)
def test_what_is_no_request_is_refused_without_its_words(connection: http.client.HTTPConnection, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", connection.port), timeout=5) as raw:
        raw.sendall(line + b"\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b'{"error"'))
    assert b"canary" not in answer.lower()


def test_the_answer_does_not_name_the_server(connection: http.client.HTTPConnection) -> None:
    assert "server" not in ask(connection, "GET", "/")[1]


def test_an_entry_is_loaded_by_its_name() -> None:
    assert load_handler("handlers.clouds.function_compute.read_event") is not None


@pytest.mark.parametrize("entry", ["os.system", "handlers", "handlers.clouds.function_compute.x-y", ""])
def test_only_our_handlers_are_loaded(entry: str) -> None:
    with pytest.raises(ValueError, match="no handler of ours"):
        load_handler(entry)
