"""From an ALB event to an answer: route, authenticate, check the scope, read, run, write. The order is the same for all.

Before all of it the room asks whether its database may be served from (handlers.store.restoration).
The scope is checked twice: here, before anything of the request is read, and by the database function that does the work.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from handlers.admin import accounts, byok, doors, keys, people, scanning, spending, usage
from handlers.admin.calls import ANYBODY, SIGNED_IN, Call, Redirect, Route, Text
from handlers.admin.doors import session_of
from handlers.admin.openapi import document
from handlers.admin.room import Room
from handlers.clouds.alb import misshapen, read_body, read_headers
from handlers.clouds.resolver import IsolatedResolver
from handlers.errors import (
    ClientError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    TheRouterError,
    Unauthenticated,
    Unavailable,
)
from handlers.keys.addresses import inside, told_address
from handlers.messages import told
from handlers.settings import EDGE_HEADERS
from handlers.store.control import Caller, Standing
from handlers.telemetry.logs import Log
from handlers.telemetry.logs import Room as Speaker

BODY_BYTES_MAX = 32 * 1024
QUERY_VALUE_CHARS_MAX = 1024
ROUTES = (
    *people.ROUTES,
    *keys.ROUTES,
    *byok.ROUTES,
    *usage.ROUTES,
    *spending.ROUTES,
    *accounts.ROUTES,
    *doors.ROUTES,
    *scanning.ROUTES,
)
DOCUMENT_PATH = "/admin/openapi.json"
_JSON = "application/json"
_HEADERS: dict[str, str | list[str]] = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
CSRF_HEADER = "x-therouter-csrf"
"""What a page of another site cannot make a browser send."""
_NOBODY = Standing("", "", "", frozenset())
_REASON = re.compile(r"[^\x00-\x1f\x7f]{0,200}")


def open_resolver(room: Room) -> IsolatedResolver:
    """The resolver with all routes."""
    resolver = IsolatedResolver()
    for route in ROUTES:
        resolver.route(_rule(route), method=[route.method])(_endpoint(room, resolver, route))

    @resolver.get(DOCUMENT_PATH)
    def show_document() -> Response[str]:
        return Response(200, _JSON, document(ROUTES, room.public_url), headers=dict(_HEADERS))

    _add_errors(resolver, room.log)
    return resolver


def _rule(route: Route) -> str:
    return route.path


def _endpoint(room: Room, resolver: IsolatedResolver, route: Route) -> Callable[..., Response[str]]:
    def endpoint(**path: str) -> Response[str]:
        room.gate.check()
        event: Mapping[str, Any] = resolver.current_event.raw_event
        headers = read_headers(event)
        caller = Caller("", str(uuid.uuid4())) if route.scope == ANYBODY else authenticate(room, event, headers)
        standing = _NOBODY if route.scope == ANYBODY else _authorize(room, caller, route)
        call = Call(
            room=room,
            caller=caller,
            standing=standing,
            path=path,
            query=None if route.query is None else read_query(event, route.query),
            body=None if route.body is None else read_json(read_body(event, BODY_BYTES_MAX), route.body),
            headers=headers,
            event=event,
        )
        return _write(route, route.run(call), caller.request)

    endpoint.__name__ = route.operation
    return endpoint


def authenticate(room: Room, event: Mapping[str, Any], headers: Mapping[str, str]) -> Caller:
    """Who asks: a management key, or a person's session.

    Raises:
        Unauthenticated: nobody we know.
        PermissionDenied: a key for inference, a key of another address, or a request that another site may have made the browser send.
    """
    reason = headers.get("x-audit-reason", "")
    if _REASON.fullmatch(reason) is None:
        raise InvalidRequest("x-audit-reason is one line of at most 200 characters.", param="x-audit-reason")
    request = str(uuid.uuid4())
    token = room.cookies.read_session(headers)
    if token and "authorization" not in headers:
        if event.get("httpMethod") != "GET" and headers.get(CSRF_HEADER) != "1":
            raise PermissionDenied(f"Send the header {CSRF_HEADER}: 1 with what changes something.", code="csrf")
        return Caller(f"session:{session_of(token)}", request, reason)
    principal = room.verifier.authenticate(headers.get("authorization", ""))
    if not principal.limits.management:
        raise PermissionDenied(
            "This key is for inference; the admin API takes management keys.", code="management_key_required"
        )
    if principal.limits.ip_ranges and not inside(_address_of(room, headers), principal.limits.ip_ranges):
        raise PermissionDenied("This key may not be used from this address.", code="ip_not_allowed")
    return Caller(f"key:{principal.key_id}", request, reason)


def _address_of(room: Room, headers: Mapping[str, str]) -> str:
    if room.behind_edge:
        return told_address(room.region, headers.get(EDGE_HEADERS[room.region], ""))
    return headers.get("x-forwarded-for", "").rpartition(",")[2].strip()


def _authorize(room: Room, caller: Caller, route: Route) -> Standing:
    standing = room.store.standing(caller)
    if standing is None:
        raise Unauthenticated("The management key or session is not valid (any more); sign in again.")
    if route.scope != SIGNED_IN and route.scope not in standing.scopes:
        raise PermissionDenied("Your role does not allow this; ask an owner or admin.", code="scope_missing")
    return standing


def read_json(body: bytes, shape: type[Any]) -> Any:
    """A request's body as `shape`; InvalidRequest when it is not JSON, or not of that shape."""
    try:
        return msgspec.json.decode(body or b"{}", type=shape)
    except msgspec.ValidationError as error:
        raise misshapen(str(error), shape) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body must be one JSON object.") from None


def read_query(event: Mapping[str, Any], shape: type[Any]) -> Any:
    """The query as `shape`; InvalidRequest when it is not of that shape, or a name comes twice."""
    multiple = event.get("multiValueQueryStringParameters") or {}
    if any(len(values) != 1 for values in multiple.values()):
        raise InvalidRequest("A query parameter may be sent once only.")
    given = event.get("queryStringParameters") or {name: values[0] for name, values in multiple.items()}
    values = {unquote_plus(str(name)): unquote_plus(str(value)) for name, value in given.items() if value != ""}
    if any(len(value) > QUERY_VALUE_CHARS_MAX for value in values.values()):
        raise InvalidRequest("A query parameter is too long.")
    try:
        return msgspec.convert(values, type=shape, strict=False)
    except msgspec.ValidationError as error:
        raise misshapen(str(error), shape) from None


def _write(route: Route, answer: Any, request: str) -> Response[str]:
    headers = {**_HEADERS, "x-request-id": request}
    if isinstance(answer, Redirect):
        return Response(
            route.status, _JSON, "{}", headers={**headers, "location": answer.location, "set-cookie": answer.cookie}
        )
    if isinstance(answer, Text):
        return Response(route.status, answer.media_type, answer.content, headers=headers)
    return Response(route.status, _JSON, msgspec.json.encode(answer).decode(), headers=headers)


def refusal(error: TheRouterError) -> Response[str]:
    """An error in our own words."""
    facts = {"code": error.code, "message": told(error), "param": error.param, **error.detail}
    body = msgspec.json.encode({"error": {name: value for name, value in facts.items() if value is not None}})
    headers = dict(_HEADERS)
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    return Response(error.http_status, _JSON, body.decode(), headers=headers)


def _add_errors(resolver: IsolatedResolver, log: Log) -> None:
    def no_route(_: NotFoundError) -> Response[str]:
        return refusal(NotFound(f"There is no such route; see {DOCUMENT_PATH} for those that there are."))

    def refuse(error: TheRouterError) -> Response[str]:
        if not isinstance(error, ClientError | Unavailable):
            log.fault(Speaker.ADMIN, error)
        return refusal(error)

    def confess(error: Exception) -> Response[str]:
        log.fault(Speaker.ADMIN, error)
        return refusal(TheRouterError("The request could not be served; the fault is ours and has been noted."))

    resolver.exception_handler(NotFoundError)(no_route)
    resolver.exception_handler(TheRouterError)(refuse)
    resolver.exception_handler(Exception)(confess)
