"""The platforms in front of a function: the same test sends its event as Lambda does, or through Function Compute.

lambda       the event as an ALB or a schedule makes it, handed to the handler
container    a request to the container's server, as our image runs in Function Compute; schedules through the adapter
runtime      an event in bytes to the adapter, as a built-in runtime of Function Compute calls it
"""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from handlers.clouds.function_compute import Handler, adapt
from handlers.clouds.function_server import make_server
from handlers.clouds.resolver import IsolatedResolver
from handlers.local.platforms import scheduled

QUERY = "%!$'()*+,;:@/?"
PLATFORMS = ("lambda", "container", "runtime")
CONTEXT = SimpleNamespace(
    request_id="1-64f6cd87",
    region="cn-hangzhou",
    account_id="1234",
    credentials=SimpleNamespace(access_key_id="", access_key_secret="", security_token=""),
    function=SimpleNamespace(name="function", memory=512, timeout=29),
)
_resolve = IsolatedResolver.resolve


def through_container(self: IsolatedResolver, event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """As a client's request arrives at the container, and as its answer leaves."""
    with make_server(lambda told, given: _resolve(self, told, given), ("127.0.0.1", 0)) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
        try:
            return _exchange(connection, event)
        finally:
            connection.close()


def _exchange(connection: http.client.HTTPConnection, event: Mapping[str, Any]) -> dict[str, Any]:
    # No client can send a control character in a request line; what is percent-encoded already stays as it is.
    pairs = (event.get("queryStringParameters") or {}).items()
    query = "&".join(f"{name}={quote(str(value), safe=QUERY)}" for name, value in pairs)
    target = event["path"] + (f"?{query}" if query else "")
    connection.putrequest(event["httpMethod"], target, skip_host=True, skip_accept_encoding=True)
    body = _body_of(event)
    fields = _headers_of(event)
    given = {name.lower() for name, _ in fields}
    extra = [] if "host" in given else [("host", "api.example.cn")]
    for name, value in [*fields, *extra, ("content-length", str(len(body)))]:
        # What stands in front hands on a line break in a value as a space (RFC 9110, 5.5).
        connection.putheader(name, value.replace("\n", " ").encode())
    connection.endheaders(body)
    response = connection.getresponse()
    fields = [(name, value) for name, value in response.getheaders() if name.lower() != "content-length"]
    return _answer(response.status, fields, response.read())


def through_runtime(self: IsolatedResolver, event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """As a built-in runtime hands over the HTTP trigger's event, and takes the answer."""
    trigger = {
        "version": "v1",
        "rawPath": event["path"],
        "headers": dict(_headers_of(event)),
        "queryParameters": {n: unquote(str(v)) for n, v in (event.get("queryStringParameters") or {}).items()},
        "body": event["body"],
        "isBase64Encoded": event["isBase64Encoded"],
        "requestContext": {"requestId": "1-64f6cd87", "http": {"method": event["httpMethod"]}},
    }
    invoke = adapt(lambda told, given: _resolve(self, told, given))
    told = invoke(msgspec.json.encode(trigger), CONTEXT)
    body = base64.b64decode(told["body"]) if told["isBase64Encoded"] else told["body"].encode()
    return _answer(told["statusCode"], list(told["headers"].items()), body)


def _headers_of(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    several = event.get("multiValueHeaders") or {name: [value] for name, value in event["headers"].items()}
    return [(name, value) for name, values in several.items() for value in values]


def _body_of(event: Mapping[str, Any]) -> bytes:
    body = event["body"] or ""
    return base64.b64decode(body) if event["isBase64Encoded"] else str(body).encode("utf-8", "surrogateescape")


def _answer(status: int, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    return {"statusCode": status, "headers": dict(headers), "body": body.decode(), "isBase64Encoded": False}


def through_timer(handler: Handler) -> Handler:
    """The handler as a timer of Function Compute reaches it."""
    invoke = scheduled("china", handler)
    return lambda event, _context: invoke(event)


def handlers_in(module: ModuleType) -> list[tuple[ModuleType, str, Handler]]:
    """The deployed handlers that a test module calls, by a name of its own or as a module's attribute."""
    modules = [module, *(value for value in vars(module).values() if isinstance(value, ModuleType))]
    return [
        (owner, name, value)
        for owner in modules
        for name, value in vars(owner).items()
        if getattr(value, "__name__", "") == "handler" and str(getattr(value, "__module__", "")).startswith("handlers.")
    ]
