"""The second line of defence for logs: text shaped like a key is overwritten, whatever field it reached.

The first line is the schema (logs.py); the third is the canary scan (tests/claims). Applied to finished lines of bytes.
"""

from __future__ import annotations

import re

REDACTED = b"[redacted]"

KEY_SHAPES = re.compile(
    rb"sk-[A-Za-z0-9_-]{8,}"  # ours, OpenAI, Anthropic, DeepSeek, ...
    rb"|(?:rk|pk|whsec)_[A-Za-z0-9_]{8,}"  # Stripe
    rb"|A[KS]IA[A-Z0-9]{12,}"  # AWS access key ids
    rb"|AIza[A-Za-z0-9_-]{20,}"  # Google
    rb"|LTAI[A-Za-z0-9]{12,}"  # Alibaba Cloud
    rb"|gsk_[A-Za-z0-9]{16,}|xai-[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{16,}|nvapi-[A-Za-z0-9_-]{16,}|pplx-[A-Za-z0-9]{16,}"
    rb"|[Bb]earer +[A-Za-z0-9._~+/=-]{8,}"
    rb"|eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{8,}"  # JSON web tokens
)


def redact(line: bytes) -> bytes:
    """The line with everything key-shaped overwritten."""
    return KEY_SHAPES.sub(REDACTED, line)
