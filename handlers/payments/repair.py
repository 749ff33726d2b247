"""The scheduled function: `handler(event, context)` repairs what lost notifications left pending. Invoked every minute.

The event may say how many passes to make and how many seconds apart: `{"passes": 3, "pause_s": 20}` is the default, so that a
lost notification is repaired within 60 seconds although no schedule is finer than a minute.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from handlers.payments.function import room
from handlers.payments.questions import Pass, Questions

PASSES = 3
PAUSE_S = 20.0
PASSES_MAX = 20


def make_passes(questions: Questions, passes: int, pause_s: float) -> Pass:
    """Several passes with pauses between them; returns their sum."""
    total = Pass()
    for number in range(passes):
        if number:
            time.sleep(pause_s)
        made = msgspec.structs.asdict(questions.run())
        total = Pass(**{name: value + made[name] for name, value in msgspec.structs.asdict(total).items()})
    return total


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:
    """Make the passes and say what they did."""
    del context
    passes = min(int(event.get("passes", PASSES)), PASSES_MAX)
    return msgspec.structs.asdict(make_passes(room().questions, passes, float(event.get("pause_s", PAUSE_S))))
