"""The purge against a model, with a clock that moves: nothing too old remains, nothing too young is gone, no cent is lost.

The database's clock cannot be moved, so the rows are: `age` makes everything that is there older by some days.
"""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import open_note
from handlers.operations import purge as module
from handlers.operations.purge import PurgeEvent, purge, receipt_text
from handlers.operations.sealing import Sealer
from handlers.store.admin import AdminStore
from handlers.store.operations import OperationsStore, PurgePending
from stacks.policy import PRODUCTION
from tests.database import Database

SEALER = Sealer("global", Ed25519PrivateKey.generate())
EVENT = PurgeEvent(
    PRODUCTION.metadata_retention_days_default,
    PRODUCTION.metadata_retention_days_min,
    PRODUCTION.metadata_retention_days_max,
)
COST_NANO = 7


class Killed(BaseException):
    """The process is gone."""


class MortalStore(OperationsStore):
    """Dies after so many batches, and before or after a receipt."""

    lives = 10**9

    def purge(self, tenant_id: str, cutoff: datetime, limit: int = 3) -> tuple[int, int]:
        self._live()
        return super().purge(tenant_id, cutoff, min(limit, 3))

    def write_receipt(self, gone: PurgePending, receipt: str) -> bool:
        self._live()
        return super().write_receipt(gone, receipt)

    def _live(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise Killed


class World:
    """Tenants, their rows by age in days, and what has gone."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self.database, self.chance = database, chance
        self.store = MortalStore(database.pool("operations"))
        self.admin = AdminStore(database.pool("founder"))
        self.tenants: dict[str, int] = {}
        self.ages: dict[str, list[float]] = {}
        self.gone: dict[str, int] = {}

    def add_tenant(self) -> None:
        tenant = str(uuid.uuid4())
        self.admin.create_tenant(tenant, "T")
        self.tenants[tenant], self.ages[tenant], self.gone[tenant] = 90, [], 0

    def set_retention(self, tenant: str, days: int) -> None:
        self.tenants[tenant] = days
        self.database.query(
            "update therouter.tenant set retention_days = :days where tenant_id = :tenant", days=days, tenant=tenant
        )

    def record(self, tenant: str, ages: list[float]) -> None:
        """Requests that were made so many days ago."""
        self.ages[tenant] += ages
        now = datetime.now(UTC)
        lines = [
            {
                "request_id": request_id(now - timedelta(days=age)), "tenant_id": tenant, "user_id": str(uuid.UUID(int=1)),
                "key_id": "u" + "1" * 15, "model": "m", "provider": "p", "prompt_tokens": 1, "completion_tokens": 1,
                "cost_nano": COST_NANO, "latency_ms": 1, "http_status": 200,
            }
            for age in ages
        ]  # fmt: skip
        # As a replica's: no row is refused for its age.
        outcomes = self.database.query(
            "select outcome from (select set_config('session_replication_role', 'replica', true)) s, "
            "therouter.usage_settle(:rows)",
            rows=msgspec.json.encode(lines).decode(),
        )
        assert all(outcome == ["ok"] for outcome in outcomes), outcomes

    def age(self, days: float) -> None:
        """The clock moves on: whatever is there is older."""
        survivors, self.ages = self.ages, {tenant: [] for tenant in self.ages}
        for statement in (
            "delete from therouter.usage_event", "delete from therouter.usage_rollup", "delete from therouter.usage_purged",
            "delete from therouter.usage_token", "delete from therouter.entry",
        ):  # fmt: skip
            self.database.query(f"do $$ begin set local session_replication_role = replica; {statement}; end $$")
        self.database.query("update therouter.account set balance_nano = 0")
        for tenant, ages in survivors.items():
            if ages:
                self.record(tenant, [age + days for age in ages])

    def run(self, lives: int) -> None:
        self.store.lives = lives
        try:
            purge(self.store, EVENT, datetime.now(UTC), SEALER)
        except Killed:
            return

    def check(self) -> None:
        """After a run that was not killed."""
        for tenant, ages in self.ages.items():
            young = [age for age in ages if age < self.tenants[tenant]]
            self.gone[tenant] += len(ages) - len(young)
            self.ages[tenant] = young
            rows = self.database.query("select count(*) from therouter.usage_event where tenant_id = :t", t=tenant)
            assert rows == [[len(young)]], (tenant, self.tenants[tenant], sorted(ages))
        assert [rule for rule in self.admin.check_ledger() if rule.difference] == []

    def check_receipts(self) -> None:
        """Each row that went is in exactly one receipt, and each receipt is signed."""
        counted = dict.fromkeys(self.gone, 0)
        rows = self.database.query("select record from therouter.audit_row where record like '%usage.purge%'")
        for (record,) in rows:
            content = msgspec.json.decode(str(record))
            said = content["after"]
            counted[content["tenant_id"]] += said["requests"]
            pending = PurgePending(
                content["tenant_id"], datetime.fromisoformat(said["cutoff"]), said["requests"], said["cost_nano"]
            )
            assert open_note(said["receipt"], SEALER.verifier) == receipt_text(pending, "global")
        assert counted == self.gone


def request_id(at: datetime) -> str:
    milliseconds = int(at.timestamp() * 1000)
    random_bits = uuid.uuid4().int & ((1 << 74) - 1)
    number = milliseconds << 80 | 7 << 76 | (random_bits >> 62) << 64 | 2 << 62 | random_bits & ((1 << 62) - 1)
    return str(uuid.UUID(int=number))


@pytest.mark.claim("C10", "C11")
@pytest.mark.parametrize("seed", range(4))
def test_nothing_too_old_remains_and_nothing_too_young_is_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(module, "PURGE_BATCH", 3)
    chance = random.Random(seed)
    world = World(database, chance)
    for _ in range(3):
        world.add_tenant()
    for _ in range(6):
        for tenant in world.tenants:
            if chance.random() < 0.7:
                world.record(tenant, [chance.randrange(800) + 0.5 for _ in range(chance.randrange(12))])
            if chance.random() < 0.5:
                world.set_retention(tenant, chance.choice([1, 2, 30, 90, 365, 729, 730]))
        if chance.random() < 0.6:
            world.run(lives=chance.randrange(6))
        world.run(lives=10**9)
        world.check()
        world.check_receipts()
        world.age(chance.choice([0, 1, 1, 7, 40, 300]))


@pytest.mark.claim("C10")
def test_more_than_usual_waits_for_a_persons_word(database: Database) -> None:
    world = World(database, random.Random(1))
    world.add_tenant()
    (tenant,) = world.tenants
    world.record(tenant, [100.5 + number % 600 for number in range(3_100)])
    done = purge(world.store, EVENT, datetime.now(UTC), SEALER)
    assert (done.rows, done.unusual) == (0, (tenant,))
    confirmed = PurgeEvent(90, 1, 730, confirm_rows=3_100)
    done = purge(OperationsStore(database.pool("operations")), confirmed, datetime.now(UTC), SEALER)
    assert (done.rows, done.unusual, done.receipts) == (3_100, (), 1)


@pytest.mark.claim("C10", "C11")
def test_what_a_tenant_has_agreed_to_lose_is_no_surprise(database: Database) -> None:
    world = World(database, random.Random(1))
    world.add_tenant()
    (tenant,) = world.tenants
    world.record(tenant, [10.5 + number % 60 for number in range(3_100)])
    world.set_retention(tenant, 5)
    done = purge(OperationsStore(database.pool("operations")), EVENT, datetime.now(UTC), SEALER)
    assert (done.rows, done.unusual) == (3_100, ())


@pytest.mark.claim("C10")
def test_a_clock_that_differs_stops_the_purge(database: Database) -> None:
    world = World(database, random.Random(1))
    world.add_tenant()
    (tenant,) = world.tenants
    world.record(tenant, [100.5])
    for wrong in (timedelta(minutes=6), -timedelta(minutes=6)):
        done = purge(world.store, EVENT, datetime.now(UTC) + wrong, SEALER)
        assert (done.rows, done.refused) == (0, (tenant,))
