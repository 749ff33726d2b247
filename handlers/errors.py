"""Every error that a caller must tell apart.

TheRouterError                  code, http_status, safe message; optional param, remedy data and retry_after_s
├─ ClientError                  the request cannot be served as it stands; trying again unchanged will not help
│  ├─ InvalidRequest        400 a field is wrong; `param` names it
│  ├─ Unauthenticated       401 one body for unknown, wrong, revoked and expired keys
│  ├─ PaymentRequired       402 the balance or a budget does not cover it
│  ├─ PermissionDenied      403 the key or the policy forbids it
│  ├─ NotFound              404 no such model or resource
│  ├─ MethodNotAllowed      405
│  ├─ RequestTimeout        408 the client stopped sending
│  ├─ Conflict              409 the same idempotency key is in use
│  ├─ PayloadTooLarge       413
│  ├─ TargetTooLong         414
│  ├─ UnsupportedMediaType  415
│  ├─ Unprocessable         422 understood, and cannot be expressed upstream
│  ├─ RateLimited           429 a limit of ours; `retry_after_s` says when
│  └─ HeadersTooLarge       431
├─ UpstreamFailed           502 the provider failed (its class decides the status, see FailureClass)
└─ Unavailable              503 we cannot decide or serve now: never the client's fault, always worth a retry

Rules
    Messages are ours: they name the field and the remedy, and never quote upstream text, a body or a key.
    An infrastructure failure is never a 401, 402 or 403 (security.md, decision 2).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class TheRouterError(Exception):
    """The base of every error that may be shown to a client.

    Args:
        message: one sentence that names the field and the remedy; safe to show and to log.
        param: the request field at fault, in the client's own words (`messages[2].role`).
        retry_after_s: seconds after which the same request may succeed.
        detail: further machine-readable facts for the error body; values are names and numbers of ours.
    """

    http_status = 500
    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
        detail: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param
        self.retry_after_s = retry_after_s
        self.detail = detail or {}


class ClientError(TheRouterError):
    """The request cannot be served as it stands."""

    http_status = 400
    code = "invalid_request"


class InvalidRequest(ClientError):
    """A field is wrong."""


class Unauthenticated(ClientError):
    """No valid key."""

    http_status = 401
    code = "invalid_api_key"


class PaymentRequired(ClientError):
    """The balance or a budget does not cover the request."""

    http_status = 402
    code = "payment_required"


class PermissionDenied(ClientError):
    """The key or a policy forbids it."""

    http_status = 403
    code = "permission_denied"


class NotFound(ClientError):
    """No such model, route or resource."""

    http_status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    """The route exists, the method does not."""

    http_status = 405
    code = "method_not_allowed"


class RequestTimeout(ClientError):
    """The client stopped sending."""

    http_status = 408
    code = "request_timeout"


class Conflict(ClientError):
    """The same idempotency key is in use."""

    http_status = 409
    code = "conflict"


class PayloadTooLarge(ClientError):
    """The body is over its limit."""

    http_status = 413
    code = "payload_too_large"


class TargetTooLong(ClientError):
    """The request target is over its limit."""

    http_status = 414
    code = "uri_too_long"


class UnsupportedMediaType(ClientError):
    """The body's type or encoding is not accepted."""

    http_status = 415
    code = "unsupported_media_type"


class Unprocessable(ClientError):
    """Understood, and not expressible for any endpoint that may serve it."""

    http_status = 422
    code = "unprocessable"


class RateLimited(ClientError):
    """A limit of ours is reached."""

    http_status = 429
    code = "rate_limit_exceeded"


class HeadersTooLarge(ClientError):
    """The header section is over its limit."""

    http_status = 431
    code = "headers_too_large"


class Unavailable(TheRouterError):
    """We cannot decide or serve now."""

    http_status = 503
    code = "temporarily_unavailable"


class FailureClass(StrEnum):
    """Why an attempt failed, in the terms that decide what happens next."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    QUOTA = "quota"
    UNAUTHENTICATED_UPSTREAM = "unauthenticated_upstream"
    NOT_FOUND_UPSTREAM = "not_found_upstream"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH = "context_length"
    CONTENT_POLICY = "content_policy"
    UNSUPPORTED = "unsupported"
    CANCELLED = "cancelled"


class FailureRule(NamedTuple):
    """What follows from a failure class."""

    http_status: int
    try_next: bool
    """Another endpoint may succeed."""
    counts_for_health: bool
    """It says something about the endpoint, not about the request."""
    code: str
    message: str


# Sources: peers.md 4.5 and 8.7, security.md 4.1. A client's bad input never counts against an endpoint.
FAILURES: dict[FailureClass, FailureRule] = {
    FailureClass.RATE_LIMITED: FailureRule(
        429, True, False, "provider_rate_limited", "The provider's rate limit is reached; retry later or add fallbacks."
    ),
    FailureClass.OVERLOADED: FailureRule(
        503, True, True, "provider_overloaded", "The provider is overloaded; retry with back-off or add fallbacks."
    ),
    FailureClass.SERVER_ERROR: FailureRule(
        502, True, True, "provider_unavailable", "The provider failed to answer; retry or add fallbacks."
    ),
    FailureClass.CONNECT: FailureRule(
        503, True, True, "provider_unavailable", "The provider cannot be reached; retry or add fallbacks."
    ),
    FailureClass.TIMEOUT: FailureRule(
        504, True, True, "provider_timeout", "The provider did not answer in time; retry, stream, or ask for less."
    ),
    FailureClass.TRUNCATED: FailureRule(
        502, True, True, "provider_truncated", "The provider ended its answer before finishing it; retry the request."
    ),
    FailureClass.MALFORMED: FailureRule(
        502, True, True, "provider_malformed", "The provider's answer could not be understood; retry or add fallbacks."
    ),
    FailureClass.QUOTA: FailureRule(
        503, True, False, "provider_quota", "Our account at the provider is exhausted; retry later or add fallbacks."
    ),
    FailureClass.UNAUTHENTICATED_UPSTREAM: FailureRule(
        503, True, False, "provider_credential", "The credential for the provider was refused; we have been told."
    ),
    FailureClass.NOT_FOUND_UPSTREAM: FailureRule(
        503, True, False, "model_unavailable_upstream", "The provider no longer serves this model; choose another."
    ),
    FailureClass.INVALID_REQUEST: FailureRule(
        400, False, False, "invalid_request", "The provider refused the request as invalid; check its parameters."
    ),
    FailureClass.CONTEXT_LENGTH: FailureRule(
        400, True, False, "context_length_exceeded", "The input is longer than the model's context; shorten it."
    ),
    FailureClass.CONTENT_POLICY: FailureRule(
        403, False, False, "content_policy_violation", "The provider's content policy refused the request."
    ),
    FailureClass.UNSUPPORTED: FailureRule(
        422, True, False, "unsupported", "No endpoint that may serve this request can express all of its parameters."
    ),
    FailureClass.CANCELLED: FailureRule(499, False, False, "cancelled", "The client closed the connection."),
}


class UpstreamFailed(TheRouterError):
    """Every attempt that the plan allowed has failed; the last failure decides the status."""

    http_status = 502
    code = "provider_unavailable"

    def __init__(
        self, failure: FailureClass, *, retry_after_s: int | None = None, detail: dict[str, object] | None = None
    ) -> None:
        rule = FAILURES[failure]
        super().__init__(rule.message, code=rule.code, retry_after_s=retry_after_s, detail=detail)
        self.failure = failure
        self.http_status = rule.http_status
