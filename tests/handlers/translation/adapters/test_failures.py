"""Reading providers' errors: patience, the field at fault, and nothing else of what they say."""

from __future__ import annotations

import msgspec
import pytest

from handlers.errors import FailureClass
from handlers.translation.adapters.failures import RETRY_AFTER_MS_MAX, classify_error


def error(**fields: object) -> bytes:
    return msgspec.json.encode({"error": fields})


@pytest.mark.parametrize(
    ("headers", "message", "expected_ms"),
    [
        ({"retry-after": "7"}, "", 7_000),
        ({"retry-after": "1.5"}, "", 1_500),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 250),
        ({"retry-after": "99999999"}, "", RETRY_AFTER_MS_MAX),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "", 0),
        ({"retry-after": "-5"}, "", 0),
        ({"retry-after": "\u0665"}, "", 0),
        ({"retry-after": "\u00b2"}, "", 0),
        ({}, "Please try again in 1.2s.", 1_200),
        ({}, "Please retry in 30 ms", 30),
    ],
)
def test_patience(headers: dict[str, str], message: str, expected_ms: int) -> None:
    failed = classify_error(429, error(message=message), headers)
    assert failed.failure is FailureClass.RATE_LIMITED
    assert failed.retry_after_ms == expected_ms


@pytest.mark.parametrize("param", ["messages[2].content", "max_tokens", "tools.0.function.name"])
def test_the_field_at_fault_is_passed_on(param: str) -> None:
    assert classify_error(400, error(type="invalid_request_error", param=param)).param == param


@pytest.mark.claim("A57")
@pytest.mark.parametrize(
    "param", ["AKIA" + "0123456789ABCDEF", "secret_word", "messages; drop", "x" * 500, "", 5, None]
)
def test_a57_nothing_else_of_an_upstreams_words_is_passed_on(param: object) -> None:
    failed = classify_error(400, error(type="invalid_request_error", param=param, message="the secret words"))
    assert failed.param == ""
    assert "secret" not in repr(failed)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"5", b"<html>", b"\xff", b"{", b'{"error":5}', b'{"error":{"error":{}}}']
)
def test_bodies_that_say_nothing_leave_the_status(body: bytes) -> None:
    assert classify_error(500, body).failure is FailureClass.SERVER_ERROR
    assert classify_error(418, body).failure is FailureClass.INVALID_REQUEST
    assert classify_error(529, body).failure is FailureClass.OVERLOADED


def test_dashscopes_throttle_per_minute_is_worth_a_wait() -> None:
    words = "You exceeded your current quota: requests rate limit per minute (allocated quota) exceeded"
    assert classify_error(429, error(code="insufficient_quota", message=words)).failure is FailureClass.RATE_LIMITED
    assert classify_error(429, error(code="insufficient_quota", message="pay")).failure is FailureClass.QUOTA


def test_moonshots_empty_account_is_not_a_wrong_key() -> None:
    assert classify_error(403, error(type="exceeded_current_quota_error")).failure is FailureClass.QUOTA
