"""A customer's request, read strictly: typed JSON without card numbers, and its idempotency key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from handlers.clouds.alb import misshapen
from handlers.errors import InvalidRequest
from handlers.payments.detector import refuse_account_numbers

BODY_BYTES_MAX = 16 * 1024
"""Of a customer's request; notifications have their own limit."""

T = TypeVar("T")


def read_json(body: bytes, shape: type[T]) -> T:
    """A customer's request as `shape`.

    Raises:
        InvalidRequest: not JSON, not of that shape, or with a card or bank account number anywhere in it.
    """
    try:
        content = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("The body must be one JSON object.") from None
    refuse_account_numbers(content)
    try:
        return msgspec.convert(content, type=shape)
    except msgspec.ValidationError as error:
        raise misshapen(str(error), shape) from None


def read_request_key(headers: Mapping[str, str]) -> str:
    """The customer's `Idempotency-Key`, or empty."""
    key = headers.get("idempotency-key", "")
    if key and not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", key):
        raise InvalidRequest(
            "Idempotency-Key must be 1 to 64 letters, digits, or any of _ . : -", param="idempotency-key"
        )
    refuse_account_numbers({"idempotency-key": key})
    return key
