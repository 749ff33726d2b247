"""Live figures of endpoints as the database keeps them: counts that add up over gateways."""

from __future__ import annotations

from typing import NamedTuple


class FigureSums(NamedTuple):
    """Sums over all gateways for one endpoint. Distributions are counts per bucket, empty when nothing was measured."""

    endpoint: str
    succeeded_5m: int
    failed_5m: int
    first_event_5m: list[int]
    rate_5m: list[int]
    succeeded_30m: int
    failed_30m: int
    first_event_30m: list[int]
    rate_30m: list[int]
    succeeded_day: int
    failed_day: int
