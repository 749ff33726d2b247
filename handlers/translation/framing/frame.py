"""What every framing of a stream cuts it into."""

from __future__ import annotations

import msgspec


class SseFrame(msgspec.Struct, frozen=True, gc=False):
    """One event. `raw` ends with its blank line and may be forwarded as it is."""

    event: bytes
    data: bytes
    raw: bytes
