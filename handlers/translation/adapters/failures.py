"""What a provider's error means: HTTP status and body -> failure class.

The body is read for its codes and for a few telling phrases, and never leaves this module: what clients see are the
messages of handlers.errors.FAILURES.

Order of belief: an exact code; else the status; then a phrase, where code and status leave room for one (Anthropic's
`invalid_request_error` covers an empty balance, everybody's 400 covers a prompt that is too long).

Sources: OpenAI, Anthropic, Google, AWS, Cohere; Zhipu (1113 no balance, 1302 rate), Moonshot, MiniMax (`base_resp`),
DashScope (its per-minute throttle is worded `insufficient_quota` and clears within a minute), DeepSeek (402), Azure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from handlers.errors import FailureClass
from handlers.translation.dialects import anthropic_fields, openai_chat_fields, responses_fields

STREAM = "stream"
"""The field at fault when a provider, or the account there, answers this model's requests only whole."""
RETRY_AFTER_MS_MAX = 3_600_000
PHRASE_CHARACTERS_MAX = 4_000
"""Characters of a message that are searched."""


class Failed(NamedTuple):
    """A classified error."""

    failure: FailureClass
    retry_after_ms: int = 0
    param: str = ""


_CODES: dict[FailureClass, str] = {
    FailureClass.CONTEXT_LENGTH: """context_length_exceeded string_above_max_length request_too_large
        max_tokens_exceeded model_max_prompt_tokens_exceeded""",
    FailureClass.CONTENT_POLICY: """content_filter content_policy_violation responsibleaipolicyviolation
        data_inspection_failed datainspectionfailed safety_check_failed content_moderation sensitive_words_detected
        1301 1026 1027""",
    FailureClass.QUOTA: """billing_error exceeded_current_quota_error insufficient_balance payment_required 1113 1008
        arrearage billing_not_active billing_hard_limit_reached account_deactivated credits_exhausted""",
    FailureClass.RATE_LIMITED: """rate_limit_exceeded rate_limit_error rate_limit_reached_error resource_exhausted
        throttlingexception throttling throttling.ratequota throttling.allocationquota toomanyrequestsexception
        too_many_requests tokens requests 1302 1303 1305 1002 1039 limit_requests servicequotaexceededexception""",
    FailureClass.OVERLOADED: """overloaded_error engine_overloaded_error engine_overloaded service_unavailable unavailable
        serviceunavailableexception modelnotreadyexception server_overloaded capacity_exceeded""",
    FailureClass.UNAUTHENTICATED_UPSTREAM: """authentication_error permission_error invalid_api_key incorrect_api_key
        invalid_authentication_error unauthenticated permission_denied invalidapikey accessdeniedexception
        unrecognizedclientexception invalidsignatureexception expiredtokenexception 1000 1001 1003 1004 invalid_token""",
    FailureClass.NOT_FOUND_UPSTREAM: """model_not_found not_found_error not_found resourcenotfoundexception modelnotfound
        model_not_exist 1211 deploymentnotfound unsupported_model model_decommissioned resource_not_found_error""",
    FailureClass.MALFORMED: "tool_use_failed",
    FailureClass.TIMEOUT: "timeout_error deadline_exceeded modeltimeoutexception request_timeout",
    FailureClass.SERVER_ERROR: """api_error server_error internal_server_error internal internalserverexception
        modelstreamerrorexception modelerrorexception internal_error unknown 1013""",
    FailureClass.INVALID_REQUEST: """invalid_request_error invalid_argument validationexception failed_precondition
        invalid_parameter bad_request invalidparameter invalid_value 2013 1210 1214 invalid_request
        unprocessable_entity unsupported_value unsupported_parameter""",
}
_BY_CODE = {code: failure for failure, codes in _CODES.items() for code in codes.split()}
_PHRASES: dict[FailureClass, str] = {
    FailureClass.QUOTA: """credit balance is too low|insufficient balance|insufficient credits|no balance
        |exceeded your current quota|payment required|suspended due to insufficient|account is in arrears""",
    FailureClass.CONTEXT_LENGTH: """prompt is too long|maximum context length|context window|context length
        |too many tokens|input is too long|exceeds the maximum number of tokens|input token count
        |input length and `max_tokens` exceed|range of input length""",
    FailureClass.UNAUTHENTICATED_UPSTREAM: "api key not valid|api_key_invalid|invalid api key|incorrect api key",
    FailureClass.CONTENT_POLICY: "content management policy|content_filter|safety system|inappropriate content",
    FailureClass.OVERLOADED: "overloaded|over capacity|high demand|currently unavailable",
    FailureClass.RATE_LIMITED: "rate limit|too many requests|throttl",
}
_BY_PHRASE = {failure: re.compile(re.sub(r"\n\s*", "", words)) for failure, words in _PHRASES.items()}
_BY_STATUS: dict[int, FailureClass] = {
    400: FailureClass.INVALID_REQUEST,
    401: FailureClass.UNAUTHENTICATED_UPSTREAM,
    402: FailureClass.QUOTA,
    403: FailureClass.UNAUTHENTICATED_UPSTREAM,
    404: FailureClass.NOT_FOUND_UPSTREAM,
    405: FailureClass.NOT_FOUND_UPSTREAM,
    408: FailureClass.TIMEOUT,
    410: FailureClass.NOT_FOUND_UPSTREAM,
    413: FailureClass.CONTEXT_LENGTH,
    422: FailureClass.INVALID_REQUEST,
    424: FailureClass.SERVER_ERROR,
    425: FailureClass.OVERLOADED,
    429: FailureClass.RATE_LIMITED,
    503: FailureClass.OVERLOADED,
    504: FailureClass.TIMEOUT,
    524: FailureClass.TIMEOUT,
    529: FailureClass.OVERLOADED,
}
_VAGUE = frozenset({FailureClass.INVALID_REQUEST, FailureClass.SERVER_ERROR})
_CODE_FIELDS = ("code", "type", "status", "status_code", "__type", "err_code")
_TEXT_FIELDS = ("message", "msg", "Message", "detail", "status_msg", "error")
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}(?:\.[A-Za-z0-9_]{1,64}|\[\d{1,5}\]){0,12}\Z")
FIELDS = openai_chat_fields.KNOWN_FIELDS | anthropic_fields.KNOWN_FIELDS | responses_fields.KNOWN_FIELDS
"""Only a field of a request may be named to a client in an upstream's words."""
_NO_STREAM = re.compile(
    r"must be verified to stream|stream(?:ing|ed)?[ a-z`'\"_.-]{0,40}(?:not|n't|un)[ -]?(?:be |currently |yet )*support"
    r"|(?:not|n't|never) (?:currently |yet )*support[ a-z`'\"_.-]{0,40}stream|unsupported for stream"
)
_WAIT = re.compile(r"(?:retry|try again) in (\d{1,6}(?:\.\d{1,6})?) ?(ms|s)")


class _Body(NamedTuple):
    codes: list[str]
    text: str
    param: str


def classify_error(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Failed:
    """What an error answer means; status 200 for errors inside streams and inside successful answers."""
    read = _read(body)
    failure = _decide(status, read)
    param = read.param
    if not param and failure is FailureClass.INVALID_REQUEST and _NO_STREAM.search(read.text):
        param = STREAM
    return Failed(failure, _retry_after_ms(headers or {}, read.text), param)


def _decide(status: int, body: _Body) -> FailureClass:
    if "insufficient_quota" in body.codes:
        minute = "per minute" in body.text or "allocated quota" in body.text
        return FailureClass.RATE_LIMITED if minute else FailureClass.QUOTA
    by_code = _most_telling(body.codes)
    by_status = _BY_STATUS.get(status)
    if by_code is FailureClass.QUOTA:
        return by_code
    if status in {401, 402}:
        return _BY_STATUS[status]
    if status == 429 and by_code is not FailureClass.OVERLOADED:
        by_code = FailureClass.RATE_LIMITED
    failure = by_code
    if failure is None or (failure in _VAGUE and by_status not in {None, FailureClass.INVALID_REQUEST}):
        failure = by_status
    if failure is FailureClass.RATE_LIMITED:
        # Google words its limits per minute as an exceeded quota, too.
        empty = "resource_exhausted" not in body.codes and _BY_PHRASE[FailureClass.QUOTA].search(body.text)
        return FailureClass.QUOTA if empty else failure
    if failure is None or failure in _VAGUE:
        by_phrase = (found for found, pattern in _BY_PHRASE.items() if pattern.search(body.text))
        failure = next(by_phrase, failure)
    if failure is not None:
        return failure
    return FailureClass.INVALID_REQUEST if 400 <= status < 500 else FailureClass.SERVER_ERROR


def _most_telling(codes: list[str]) -> FailureClass | None:
    """The class of the first code that is not vague; else of the first that is known."""
    known = [_BY_CODE[code] for code in codes if code in _BY_CODE]
    return next((failure for failure in known if failure not in _VAGUE), known[0] if known else None)


def _read(body: bytes) -> _Body:
    """Codes, searchable text and the parameter at fault; empty for what is no JSON."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body([], "", "")
    if isinstance(decoded, list):  # Google streams errors as an array
        decoded = decoded[0] if decoded else None
    codes: list[str] = []
    texts: list[str] = []
    param = ""
    for source in _sources(decoded):
        for name in _CODE_FIELDS:
            value = source.get(name)
            if isinstance(value, str | int) and not isinstance(value, bool):
                codes.append(str(value).rpartition("#")[2].lower())
        texts += [
            value[:PHRASE_CHARACTERS_MAX].lower() for name in _TEXT_FIELDS if isinstance(value := source.get(name), str)
        ]
        found = source.get("param")
        if isinstance(found, str) and _PARAM.match(found) and re.split(r"[.\[]", found)[0] in FIELDS:
            param = found
    return _Body(codes, "\n".join(texts), param)


def _sources(decoded: Any) -> list[dict[str, Any]]:
    """The objects of an error body in which codes may stand, outermost first."""
    sources: list[dict[str, Any]] = []
    inner = decoded
    while isinstance(inner, dict) and len(sources) < 4:
        sources.append(inner)
        inner = next(
            (inner[name] for name in ("error", "base_resp", "response", "innererror") if inner.get(name)), None
        )
    return sources


def _retry_after_ms(headers: Mapping[str, str], text: str) -> int:
    """How long the provider asks to wait, 0 when it does not say; never more than an hour."""
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        value = headers.get(name, "")
        if len(value) < 12 and value.isascii() and value.replace(".", "", 1).isdigit():
            return min(int(float(value) * unit_ms), RETRY_AFTER_MS_MAX)
    wait = _WAIT.search(text)
    if wait is None:
        return 0
    return min(int(float(wait[1]) * (1 if wait[2] == "ms" else 1_000)), RETRY_AFTER_MS_MAX)
