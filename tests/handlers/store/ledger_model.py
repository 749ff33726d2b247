"""What the ledger of one tenant must do, in a dictionary and a few sums: the reference for the real one."""

from __future__ import annotations

AMPLE = 64


class Account:
    """Balance, leases and usage of one tenant."""

    def __init__(self) -> None:
        self.balance = 0
        self.frozen = False
        self.leases: dict[str, int] = {}
        self.expired: set[str] = set()
        self.usage: dict[str, tuple[int, bool]] = {}
        self.movements: set[str] = set()
        self.purged: set[str] = set()
        self.grants: dict[str, int] = {}
        """Credit that ends: what is left of it, those first that end first."""
        self.taken = 0

    @property
    def held(self) -> int:
        return sum(self.leases.values())

    def move(self, key: str, amount: int) -> str:
        """Money in (positive) or out, once per key."""
        if key in self.movements:
            return "exists"
        self.movements.add(key)
        self.balance += amount
        return "ok"

    def grant(self, key: str, amount: int) -> str:
        """Credit that ends, after all that was granted before."""
        outcome = self.move(key, amount)
        if outcome == "ok":
            self._take()
            self.grants[key] = amount
        return outcome

    def end_oldest_grant(self) -> int:
        """Its time is over; returns what was booked out. What leases hold is left to them."""
        self._take()
        key = next(iter(self.grants))
        gone = min(self.grants[key], max(self.balance - self.held, 0))
        self.balance -= gone
        self.grants[key] -= gone
        if not self.grants[key]:
            del self.grants[key]
        return gone

    def _take(self) -> None:
        everything = sum(cost for cost, _ in self.usage.values())
        used, self.taken = max(everything - self.taken, 0), max(everything, self.taken)
        for key, left in self.grants.items():
            self.grants[key] = left - min(left, used)
            used -= min(left, used)

    def lease(self, lease_id: str, need: int, want: int) -> tuple[int, int]:
        available = self.balance - self.held
        if self.frozen or available < need:
            return 0, available
        granted = want if want > need and available >= AMPLE * want else need
        self.leases[lease_id] = self.leases.get(lease_id, 0) + granted
        self.expired.discard(lease_id)
        return granted, available

    def release(self, lease_id: str, keep: int) -> int:
        before = self.leases.pop(lease_id, None)
        if before is not None and keep:
            self.leases[lease_id] = min(before, keep)
        return (before or 0) - self.leases.get(lease_id, 0)

    def expire(self, lease_id: str) -> None:
        if lease_id in self.leases:
            self.expired.add(lease_id)

    def settle(self, request_id: str, cost: int, lease_id: str, *, final: bool) -> str:
        old_cost, old_final = self.usage.get(request_id, (0, False))
        known = request_id in self.usage
        if known and (old_final or not final or request_id in self.purged):
            return "exists"
        self.usage[request_id] = (cost, final)
        self.balance -= cost - old_cost
        if lease_id in self.leases:
            self.leases[lease_id] -= min(self.leases[lease_id], max(cost - old_cost, 0))
        return "upgraded" if known else "ok"

    def reap(self) -> int:
        reaped = [lease_id for lease_id in self.expired if self.leases.pop(lease_id, None) is not None]
        self.expired.clear()
        return len(reaped)
