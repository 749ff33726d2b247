from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from handlers.ledger.allowance import AccountAllowance


def test_a_hold_is_taken_only_from_what_remains() -> None:
    allowance = AccountAllowance(100)
    assert allowance.try_hold(60)
    assert not allowance.try_hold(41)
    assert allowance.try_hold(40)
    assert allowance.remaining == 0
    allowance.settle(60, 10)
    assert allowance.remaining == 50


def test_a_settle_beyond_the_hold_is_booked_and_stops_further_holds() -> None:
    allowance = AccountAllowance(100)
    assert allowance.try_hold(50)
    allowance.settle(50, 130)
    assert allowance.remaining == -30
    assert not allowance.try_hold(0)
    allowance.add(30)
    assert allowance.try_hold(0)


def test_nonsense_is_refused() -> None:
    allowance = AccountAllowance(10)
    with pytest.raises(ValueError, match="grows"):
        allowance.add(-1)
    with pytest.raises(ValueError, match="negative"):
        allowance.try_hold(-1)
    for held, cost in ((1, 0), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="held"):
            allowance.settle(held, cost)


class AllowanceMachine(RuleBasedStateMachine):
    """Against a list of open holds: nothing is lost, nothing is invented."""

    def __init__(self) -> None:
        super().__init__()
        self.allowance = AccountAllowance()
        self.granted = self.spent = 0
        self.open: list[int] = []

    @rule(amount=st.integers(0, 1_000))
    def add(self, amount: int) -> None:
        self.allowance.add(amount)
        self.granted += amount

    @rule(amount=st.integers(0, 1_500))
    def hold(self, amount: int) -> None:
        fits = self.granted - self.spent - sum(self.open) >= amount
        assert self.allowance.try_hold(amount) == fits
        if fits:
            self.open.append(amount)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.open:
            held = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            cost = data.draw(st.integers(0, held))
            self.allowance.settle(held, cost)
            self.spent += cost

    @invariant()
    def sums_agree(self) -> None:
        assert self.allowance.remaining == self.granted - self.spent - sum(self.open)
        assert self.allowance.held == sum(self.open)
        assert self.allowance.spent == self.spent <= self.granted


AllowanceMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAllowanceMachine = AllowanceMachine.TestCase
