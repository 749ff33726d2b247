from __future__ import annotations

import pytest

from handlers.operations.evidence.recovery import _rate


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (5, "rate(5 minutes)"),
        (60, "rate(1 hour)"),
        (120, "rate(2 hours)"),
        (1440, "rate(1 day)"),
        (2880, "rate(2 days)"),
    ],
)
def test_an_interval_is_written_as_the_schedules_write_it(minutes: int, expected: str) -> None:
    assert _rate(minutes) == expected
