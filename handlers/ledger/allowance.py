"""Credit that the database has leased to this process, handed out in memory: a request's hold costs no round trip."""

from __future__ import annotations


class AccountAllowance:
    """One account's leased credit, in nano-units. One event loop owns it, so it needs no lock.

    `remaining` falls by each hold and by what a request cost beyond its hold (which the callers rule out); it may be
    below zero only then, and nothing is held until it is above again.
    """

    __slots__ = ("held", "remaining", "spent")

    def __init__(self, granted_nano: int = 0) -> None:
        self.remaining = granted_nano
        self.held = 0
        self.spent = 0

    def add(self, granted_nano: int) -> None:
        """The database has leased more."""
        if granted_nano < 0:
            raise ValueError("a lease grows; handing it back is done as a whole")
        self.remaining += granted_nano

    def try_hold(self, amount_nano: int) -> bool:
        """Set the amount aside if that much remains."""
        if amount_nano < 0:
            raise ValueError("a hold is not negative")
        if amount_nano > self.remaining:
            return False
        self.remaining -= amount_nano
        self.held += amount_nano
        return True

    def settle(self, held_nano: int, cost_nano: int) -> None:
        """A request is over: its hold is freed, its cost is gone."""
        if not 0 <= held_nano <= self.held or cost_nano < 0:
            raise ValueError("only what was held can be settled, at a cost that is not negative")
        self.held -= held_nano
        self.spent += cost_nano
        self.remaining += held_nano - cost_nano
