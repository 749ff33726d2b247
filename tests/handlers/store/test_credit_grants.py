"""Credit that ends: spent before all other, booked out at its end, and never taken from requests under way."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from handlers.errors import Conflict, InvalidRequest
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import Tenant, make_tenant, usage_line

SOON = datetime.now(UTC) + timedelta(days=1)
LATER = SOON + timedelta(days=30)


class Room:
    """One tenant with paid credit of 1,000, and everything that acts on it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tenant: Tenant = make_tenant(database.pool("founder"), credit_nano=1_000)
        self.admin = AdminStore(database.pool("founder"))
        self.gateway = GatewayStore(database.pool("gateway"), "pod")
        self.operations = OperationsStore(database.pool("operations"))

    def give(self, key: str, amount: int, until: datetime, reason: str = "promotion") -> str:
        return self.admin.grant_credit(f"{self.tenant.key_id}.{key}", self.tenant.tenant_id, amount, reason, until)

    def use(self, cost: int) -> None:
        asyncio.run(self.gateway.settle([usage_line(self.tenant, cost)]))

    def end(self, key: str) -> tuple[int, int]:
        self.database.query(
            "update therouter.credit_grant set expires_at = now() - interval '1 second' where grant_key = :key",
            key=f"{self.tenant.key_id}.{key}",
        )
        return self.operations.expire_credit()

    @property
    def balance(self) -> int:
        rows = self.database.query(
            "select balance_nano from therouter.account where tenant_id = :t", t=self.tenant.tenant_id
        )
        return int(str(rows[0][0]))


@pytest.fixture
def room(database: Database) -> Room:
    return Room(database)


def test_what_is_used_is_taken_from_the_grant_that_ends_first(room: Room) -> None:
    assert room.give("later", 300, LATER) == "ok"
    assert room.give("soon", 200, SOON) == "ok"
    room.use(250)
    assert room.end("soon") == (1, 0), "used up"
    assert room.end("later") == (1, 250), "50 of it were used"
    assert room.balance == 1_000
    assert [rule for rule in room.admin.check_ledger() if rule.difference] == []


def test_use_before_a_grant_is_not_taken_from_it(room: Room) -> None:
    room.use(400)
    room.give("welcome", 100, SOON)
    assert room.end("welcome") == (1, 100)
    assert room.balance == 600


def test_credit_that_requests_under_way_hold_ends_when_they_have(room: Room) -> None:
    room.give("grant", 500, SOON)
    lease = str(uuid.uuid4())
    asyncio.run(room.gateway.lease(lease, room.tenant.tenant_id, 1_400, 1_400, 60))
    assert room.end("grant") == (0, 100), "only what is not held"
    asyncio.run(room.gateway.settle([usage_line(room.tenant, 150, lease_id=lease)]))
    asyncio.run(room.gateway.release(lease))
    assert room.operations.expire_credit() == (1, 250)
    assert room.balance == 1_000
    assert room.operations.expire_credit() == (0, 0)


def test_a_grant_is_given_once(room: Room) -> None:
    assert [room.give("x", 5, SOON), room.give("x", 5, SOON)] == ["ok", "exists"]
    with pytest.raises(Conflict):
        room.give("x", 6, SOON)
    assert room.balance == 1_005


@pytest.mark.parametrize(
    ("amount", "reason", "until", "param"),
    [
        (0, "promotion", SOON, "amount_nano"),
        (-1, "promotion", SOON, "amount_nano"),
        (1, "because", SOON, "reason"),
        (1, "promotion", SOON - timedelta(days=2), "expires_at"),
    ],
)
def test_what_makes_no_sense_is_refused_and_books_nothing(
    room: Room, amount: int, reason: str, until: datetime, param: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        room.give("x", amount, until, reason)
    assert refusal.value.param == param
    assert room.balance == 1_000


def test_a_grant_its_end_and_corrections_are_listed_with_their_reasons_and_audited(room: Room) -> None:
    room.give("grant", 300, SOON, "goodwill")
    room.end("grant")
    listed = room.admin.credit_movements(room.tenant.tenant_id)
    assert [(row.kind, row.reason, row.amount_nano) for row in listed] == [
        ("adjustment", "expiry", -300),
        ("adjustment", "goodwill", 300),
        ("adjustment", "promotion", 1_000),
    ]
    assert listed[1].left_nano == 0
    audited = room.database.query(
        "select count(*) from therouter.audit_row where tenant_id = :t and record::jsonb ->> 'action' = 'money.adjustment'",
        t=room.tenant.tenant_id,
    )
    assert audited == [[3]]
