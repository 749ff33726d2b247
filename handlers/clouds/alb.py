"""An ALB event, read strictly: raw body bytes, and headers that decide something once only."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from handlers.errors import InvalidRequest, PayloadTooLarge

_PLACE = re.compile(r"at `\$\.([a-z_]+)|required field `([a-z_]+)`")


def read_headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Headers by lower-case name, from either form of ALB event.

    Raises:
        InvalidRequest: a header that identifies somebody or signs something came twice.
    """
    headers: dict[str, str] = {}
    multiple = event.get("multiValueHeaders")
    pairs = (
        [(name, value) for name, values in multiple.items() for value in values]
        if multiple
        else list((event.get("headers") or {}).items())
    )
    for raw, value in pairs:
        name = str(raw).lower()
        if name in headers and (
            name in {"authorization", "idempotency-key"} or "signature" in name or "wechat" in name
        ):
            raise InvalidRequest(f"The header {name} may be sent once only.", param=name)
        headers[name] = str(value)
    return headers


def read_body(event: Mapping[str, Any], bytes_max: int) -> bytes:
    """The body, byte for byte as it was sent.

    Raises:
        PayloadTooLarge: it is longer than `bytes_max`.
        InvalidRequest: the event's own encoding is broken.
    """
    text = event.get("body") or ""
    if len(text) > bytes_max * 2:
        raise _too_large(bytes_max)
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else str(text).encode()
    except (binascii.Error, ValueError):
        raise InvalidRequest("The body is not readable: send it as UTF-8 or as bytes.") from None
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


def _too_large(bytes_max: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is longer than {bytes_max} bytes.")


def misshapen(complaint: str, shape: type[object]) -> InvalidRequest:
    """What msgspec complains about, in our own words: a stranger's field name is not repeated."""
    place = _PLACE.search(complaint)
    name = next((group for group in place.groups() if group), None) if place else None
    known = ", ".join(getattr(shape, "__struct_fields__", ()))
    if name is None:
        return InvalidRequest(f"The body has an unknown field; allowed are: {known}.")
    return InvalidRequest(f"The field {name} is missing, of the wrong type or out of range.", param=name)
