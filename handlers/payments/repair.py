"""The scheduled function: `handler(event, context)` repairs what lost notifications left pending. Invoked every minute.

The event may say how many passes to make and how many seconds apart: `{"passes": 3, "pause_s": 20}` is the default, so that a
lost notification is repaired within 60 seconds although no schedule is finer than a minute. Where the schedule invokes the
payments function itself, its event says `{"task": "repair"}` beside that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers.payments.function import handler as serve


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Make the passes and say what they did."""
    return serve({**event, "task": "repair"}, context)
