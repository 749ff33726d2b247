"""The smoke part of the fault table: each fault in a few of its combinations, and a total outage."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.upstream_faults import bench, play, play_outage, sample


@pytest.mark.claim("C66", "A50", "A51", "A52", "A53", "A55", "A56", "A57", "A59", "A80", "A83")
def test_every_fault_is_hidden_where_it_can_be_and_told_where_it_cannot() -> None:
    with bench() as made:
        table = asyncio.run(play(made, sample(seed=4)))
        table.attempts_in_outage = asyncio.run(play_outage(made, 600))
    assert table.clean, str(table)
    assert len(table.verdicts) >= 30
    assert table.possible == table.rescued > 30, str(table)
