"""The second line of defence leaves ordinary lines alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from handlers.telemetry.redaction import redact


def test_ordinary_lines_pass_unchanged() -> None:
    line = b'{"event":"attempt","request_id":"0190b0a1-7c00-7000-8000-000000000001","model":"openai/gpt-4o-mini"}'
    assert redact(line) == line


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=20, max_size=90))
def test_whatever_follows_the_prefix_is_gone(secret: str) -> None:
    assert secret.encode() not in redact(f"before sk-{secret} after".encode())
