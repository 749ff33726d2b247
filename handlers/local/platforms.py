"""How a region's cloud calls a function, played on this machine: what reaches a handler comes through the same code as there.

region    cloud               a request is                             a schedule is
global    Lambda              a load balancer's event                  its constant input, which is the event itself
china     Function Compute    read by the container's own server       a timer's event in bytes, read by the adapter
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from types import SimpleNamespace

import msgspec

from handlers.clouds.function_compute import Handler, adapt
from handlers.clouds.function_server import make_server

Scheduled = Callable[[Mapping[str, object]], object]
_NO_CREDENTIALS = SimpleNamespace(access_key_id="", access_key_secret="", security_token="")


def make_front(region: str, handler: Handler, port: int) -> ThreadingHTTPServer:
    """A loopback server in front of a handler, bound and not yet serving."""
    return make_server(handler, ("127.0.0.1", port), invocations=region == "china")


def scheduled(region: str, handler: Handler) -> Scheduled:
    """What the region's scheduler does: takes a payload, returns what the handler returned, raises what it raised."""
    if region != "china":
        return lambda payload: handler(dict(payload), None)
    invoke = adapt(handler)
    return lambda payload: invoke(_timer(payload), _context(handler))


def _timer(payload: Mapping[str, object]) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = msgspec.json.encode(payload).decode()
    return msgspec.json.encode({"triggerTime": at, "triggerName": "schedule", "payload": text})


def _context(handler: Handler) -> SimpleNamespace:
    """The platform's context object, for a function without an identity of its own."""
    return SimpleNamespace(
        request_id="",
        region="cn-hangzhou",
        account_id="",
        credentials=_NO_CREDENTIALS,
        function=SimpleNamespace(name=handler.__module__, memory=512, timeout=840),
    )
