"""Building blocks of made answers."""

from __future__ import annotations

from typing import Any

import msgspec

# Text that breaks careless framing (A50): every kind of line end, field names, an end marker, characters that split lines.
HOSTILE_TEXT = 'a\r\nb\rc\nd\u2028e\u2029f\u0085g\x0bh\x0ci\x1cj\x00k data: x\n\nevent: y\nid: 1\nretry: 2\n[DONE] "model":"z" \U0001f600'


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


def sse(*payloads: dict[str, Any] | str, named: bool = False, ending: bytes = b"\n") -> bytes:
    """A stream of events; `named` repeats each payload's type as the event's name."""
    stream = b""
    for payload in payloads:
        data = payload.encode() if isinstance(payload, str) else encode(payload)
        name = b"event: " + payload["type"].encode() + ending if named and isinstance(payload, dict) else b""
        stream += name + b"data: " + data + ending + ending
    return stream
