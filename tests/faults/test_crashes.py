"""The smoke part of `make faults`: a few kills of everything, and the same exact counts."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.crashes import OUTAGE_STATUSES, run
from tests.system import running_system
from tests.upstreams.scripted import ScriptedUpstream


@pytest.mark.claim("C12", "C66", "A62")
def test_a62_kills_lose_double_and_falsify_nothing() -> None:
    with ScriptedUpstream() as upstream, running_system({"openai": f"{upstream.url}/v1"}, log_level="error") as system:
        tally = asyncio.run(run(system, kills=6, database_crashes=1, seed=7))
    assert tally.exact, tally.table()
    assert len(tally.acknowledged) > 50, tally.table()
    assert set(tally.statuses) <= OUTAGE_STATUSES, tally.table()
