"""The names of requests: UUIDv7, so that a name tells its time and rows come in order."""

from __future__ import annotations

import os
from time import time_ns

_POOL = 256
_chances: list[str] = []
"""What is random in request ids, drawn for many at a time: a system call for each of them would be dear."""
os.register_at_fork(after_in_child=_chances.clear)


def _draw() -> None:
    digits = os.urandom(10 * _POOL).hex()
    _chances.extend(
        f"-7{digits[at : at + 3]}-{_VARIANT[digits[at + 3]]}{digits[at + 4 : at + 7]}-{digits[at + 7 : at + 19]}"
        for at in range(0, len(digits), 20)
    )


_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""The two bits of the variant, and two of chance."""


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time_ns() // 1_000_000
    if not _chances:
        _draw()
    return milliseconds.to_bytes(6, "big").hex("-", -4) + _chances.pop()
