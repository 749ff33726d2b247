"""What the ledger of one tenant must do, in a dictionary and a few sums: the reference for the real one, in sixty lines."""

from __future__ import annotations


class Account:
    def __init__(self) -> None:
        self.balance, self.taken, self.frozen = 0, 0, False
        # What each lease holds; what is left of each grant, the first to end first; what each request cost, and whether finally.
        self.leases, self.grants, self.usage = dict[str, int](), dict[str, int](), dict[str, tuple[int, bool]]()
        self.expired, self.movements, self.purged = set[str](), set[str](), set[str]()

    @property
    def held(self) -> int:
        return sum(self.leases.values())

    def move(self, key: str, amount: int) -> str:
        if key in self.movements:
            return "exists"
        self.movements.add(key)
        self.balance += amount
        return "ok"

    def grant(self, key: str, amount: int) -> str:
        if (outcome := self.move(key, amount)) == "ok":
            self._take()
            self.grants[key] = amount
        return outcome

    def end_oldest_grant(self) -> int:
        self._take()
        key, left = next(iter(self.grants.items()))
        gone = min(left, max(self.balance - self.held, 0))
        self.balance -= gone
        self.grants[key] -= gone
        if gone == left:
            del self.grants[key]
        return gone

    def _take(self) -> None:
        everything = sum(cost for cost, _ in self.usage.values())
        used, self.taken = max(everything - self.taken, 0), max(everything, self.taken)
        for key, left in self.grants.items():
            self.grants[key], used = max(left - used, 0), max(used - left, 0)

    def lease(self, lease_id: str, need: int, want: int) -> tuple[int, int]:
        available = self.balance - self.held
        if self.frozen or available < need:
            return 0, available
        granted = want if want > need and available >= 64 * want else need
        self.leases[lease_id] = self.leases.get(lease_id, 0) + granted
        self.expired.discard(lease_id)
        return granted, available

    def release(self, lease_id: str, keep: int) -> int:
        if (before := self.leases.pop(lease_id, None)) is not None and keep:
            self.leases[lease_id] = min(before, keep)
        return (before or 0) - self.leases.get(lease_id, 0)

    def settle(self, request_id: str, cost: int, lease_id: str, *, final: bool) -> str:
        old_cost, old_final = self.usage.get(request_id, (0, None))
        if old_final or request_id in self.purged or (old_final is False and not final):
            return "exists"
        self.usage[request_id] = (cost, final)
        self.balance -= cost - old_cost
        if lease_id in self.leases:
            self.leases[lease_id] -= min(self.leases[lease_id], max(cost - old_cost, 0))
        return "ok" if old_final is None else "upgraded"

    def reap(self) -> int:
        before, kept = len(self.leases), {key: nano for key, nano in self.leases.items() if key not in self.expired}
        self.leases, self.expired = kept, set()
        return before - len(kept)
