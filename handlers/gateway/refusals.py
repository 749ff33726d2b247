"""Errors in the client's dialect. Our own words only: a code, a sentence with the remedy, and machine-readable detail.

The gateway renders what it refuses itself, and what no pod is left to render: a pod that died in the middle of a stream. All
other answers are rendered by the pod's dialect.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from handlers.errors import TheRouterError
from handlers.messages import told

Headers = list[tuple[bytes, bytes]]

JSON_HEADERS: Headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _openai(error: TheRouterError, request_id: str) -> dict[str, object]:
    fallback = "invalid_request_error" if error.http_status < 500 else "server_error"
    body: dict[str, object] = {
        "message": told(error),
        "type": _OPENAI_TYPES.get(error.http_status, fallback),
        "param": error.param,
        "code": error.code,
        **error.detail,
    }
    return {"error": body, "request_id": request_id} if request_id else {"error": body}


def _anthropic(error: TheRouterError, request_id: str) -> dict[str, object]:
    fallback = "invalid_request_error" if error.http_status < 500 else "api_error"
    kind = _ANTHROPIC_TYPES.get(error.http_status, fallback)
    body: dict[str, object] = {"type": kind, "message": told(error), "code": error.code, **error.detail}
    return {"type": "error", "error": body, "request_id": request_id or None}


def _google(error: TheRouterError, request_id: str) -> dict[str, object]:
    status = _GOOGLE_STATUSES.get(error.http_status, "INVALID_ARGUMENT" if error.http_status < 500 else "INTERNAL")
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.code, "domain": "therouter"}
    info: dict[str, object] = {"code": error.http_status, "message": told(error), "status": status}
    return {"error": {**info, "details": [{**reason, "metadata": {"request_id": request_id}}], **error.detail}}


def _interactions(error: TheRouterError, request_id: str) -> dict[str, object]:
    body: dict[str, object] = {"code": error.code, "message": told(error), "param": error.param, **error.detail}
    return {"error": body, "request_id": request_id} if request_id else {"error": body}


_SHAPES: dict[str, Callable[[TheRouterError, str], dict[str, object]]] = {
    "anthropic_messages": _anthropic,
    "google_generate": _google,
    "google_interactions": _interactions,
}
_encode = msgspec.json.Encoder().encode


def render(error: TheRouterError, dialect: str, request_id: str = "") -> tuple[int, Headers, bytes]:
    """Status, headers and body of a refusal."""
    headers = list(JSON_HEADERS)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    elif error.http_status == 503:
        headers.append((b"retry-after", b"1"))
    if error.http_status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if request_id:
        headers.append((b"x-request-id", request_id.encode()))
    return error.http_status, headers, _encode(_SHAPES.get(dialect, _openai)(error, request_id))


def stream_error(error: TheRouterError, dialect: str, request_id: str) -> bytes:
    """The event that ends a stream which can no longer succeed. Never a clean end marker."""
    body = _SHAPES.get(dialect, _openai)(error, request_id)
    if dialect == "openai_chat":
        body["choices"] = [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    if dialect == "openai_responses":
        event = {"type": "error", "code": error.code, "message": told(error), "param": error.param}
        return b"event: error\ndata: %b\n\n" % _encode(event)
    if dialect == "google_interactions":
        return b"event: error\ndata: %b\n\n" % _encode({**body, "event_type": "error"})
    if dialect == "anthropic_messages":
        return b"event: error\ndata: %b\n\n" % _encode(body)
    return b"data: %b\n\n" % _encode(body)


KEEP_ALIVE: dict[str, bytes] = {
    "anthropic_messages": b'event: ping\ndata: {"type": "ping"}\n\n',
}
DEFAULT_KEEP_ALIVE = b": keep-alive\n\n"
