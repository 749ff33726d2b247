"""The payments room's own tests, unchanged, with Function Compute in front of the room in place of an ALB: once as our image runs
there (a request to the container's server), once as a built-in runtime calls it (an event in bytes). Of the tests of top-ups
those of the China region."""

from __future__ import annotations

import base64
import http.client
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from handlers.clouds.function_compute import adapt
from handlers.clouds.function_server import make_server
from handlers.payments.composition import Room
from tests.handlers.payments import test_routes, test_topups
from tests.handlers.payments.conftest import stripe_room, wechat_room
from tests.handlers.payments.rooms import Answer, PaymentsRoom

__all__ = ["stripe_room", "wechat_room"]

Send = Callable[[Room, Mapping[str, Any]], tuple[int, dict[str, str], bytes]]

globals().update(
    {
        f"{name}_through_function_compute": test
        for module in (test_routes, test_topups)
        for name, test in vars(module).items()
        if name.startswith("test_") and (module is test_routes or "wechat_room" in inspect.signature(test).parameters)
    }
)


def headers_of(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    several = event.get("multiValueHeaders") or {name: [value] for name, value in event["headers"].items()}
    return [(name, value) for name, values in several.items() for value in values]


def body_of(event: Mapping[str, Any]) -> bytes:
    body = event["body"] or ""
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode()


class Container:
    """The rooms behind the container's server."""

    def __init__(self) -> None:
        self._servers: dict[int, ThreadingHTTPServer] = {}
        self._lock = threading.Lock()

    def send(self, room: Room, event: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port(room), timeout=30)
        try:
            connection.putrequest(event["httpMethod"], event["path"], skip_host=True, skip_accept_encoding=True)
            body = body_of(event)
            given = {name.lower() for name, _ in headers_of(event)}
            extra = [] if "host" in given else [("host", "api.example.cn")]
            for name, value in [*headers_of(event), *extra, ("content-length", str(len(body)))]:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def _port(self, room: Room) -> int:
        with self._lock:
            if id(room) not in self._servers:
                server = make_server(room.answer, ("127.0.0.1", 0))
                threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
                self._servers[id(room)] = server
            return int(self._servers[id(room)].server_address[1])

    def close(self) -> None:
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


def send_to_runtime(room: Room, event: Mapping[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """As a built-in runtime does: the HTTP trigger's event in bytes, and the platform's context."""
    context = SimpleNamespace(
        request_id="1-64f6cd87",
        region="cn-hangzhou",
        account_id="1234",
        credentials=SimpleNamespace(access_key_id="", access_key_secret="", security_token=""),
        function=SimpleNamespace(name="payments", memory=512, timeout=29),
    )
    trigger = {
        "version": "v1",
        "rawPath": event["path"],
        "headers": dict(headers_of(event)),
        "queryParameters": {},
        "body": event["body"],
        "isBase64Encoded": event["isBase64Encoded"],
        "requestContext": {"requestId": "1-64f6cd87", "http": {"method": event["httpMethod"]}},
    }
    answer = adapt(room.answer)(msgspec.json.encode(trigger), context)
    return answer["statusCode"], answer.get("headers", {}), (answer["body"] or "").encode()


@pytest.fixture(autouse=True, params=["container", "runtime"])
def _function_compute(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    container = Container()
    send: Send = container.send if request.param == "container" else send_to_runtime

    def through(self: PaymentsRoom, event: Mapping[str, Any]) -> Answer:
        status, headers, body = send(self.room, event)
        return Answer(status, msgspec.json.decode(body) if body else {}, headers)

    monkeypatch.setattr(PaymentsRoom, "send", through)
    yield
    container.close()


def test_the_rooms_tests_run_here() -> None:
    names = [name for name in globals() if name.startswith("test_") and name.endswith("_through_function_compute")]
    assert len(names) >= 10
