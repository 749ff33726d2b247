"""Each region's own way to a handler, on one machine."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from handlers.clouds.function_compute import Context
from handlers.clouds.function_server import INVOKE
from handlers.local.platforms import make_front, scheduled

REGIONS = pytest.mark.parametrize("region", ["global", "china"])
TIMER = b'{"triggerTime": "t", "triggerName": "x", "payload": "{\\"task\\": \\"repair\\"}"}'


class Remembering:
    """A handler that keeps its events."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.contexts: list[Any] = []

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        self.events.append(event)
        self.contexts.append(context)
        return {"statusCode": 200, "body": "ok"} if "httpMethod" in event else {"done": 1}


@contextmanager
def serving(region: str, handler: Remembering) -> Iterator[http.client.HTTPConnection]:
    server = make_front(region, handler, 0)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    try:
        yield client
    finally:
        client.close()
        server.shutdown()
        server.server_close()


@REGIONS
def test_a_request_is_the_same_event_in_both_regions(region: str) -> None:
    handler = Remembering()
    with serving(region, handler) as client:
        client.request("POST", "/admin/keys?a=1", b"{}", {"Authorization": "Bearer x"})
        assert client.getresponse().read() == b"ok"
    (event,) = handler.events
    assert (event["httpMethod"], event["path"], event["body"]) == ("POST", "/admin/keys", "{}")
    assert event["headers"]["authorization"] == "Bearer x"


@REGIONS
def test_a_schedule_is_its_payload_in_both_regions(region: str) -> None:
    handler = Remembering()
    payload = {"task": "repair", "passes": 1}
    assert scheduled(region, _function(handler))(payload) == {"done": 1}
    assert handler.events == [payload]
    assert isinstance(handler.contexts[0], Context) == (region == "china")


@REGIONS
def test_what_a_handler_raises_reaches_the_clock(region: str) -> None:
    def fails(_event: Any, _context: Any) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        scheduled(region, fails)({})


@REGIONS
def test_only_function_compute_sends_events_to_a_server(region: str) -> None:
    handler = Remembering()
    with serving(region, handler) as client:
        client.request("POST", INVOKE, TIMER, {"x-fc-control-path": INVOKE})
        client.getresponse().read()
    (event,) = handler.events
    assert (event == {"task": "repair"}) == (region == "china")
    assert ("httpMethod" in event) == (region == "global")


def _function(handler: Remembering) -> Any:
    def function(event: Any, context: Any) -> Any:
        return handler(event, context)

    return function
