from __future__ import annotations

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import msgspec
import pytest

from handlers.keys.principal import KeyLimits
from handlers.operations import spending
from handlers.operations.journal import EventError
from handlers.settings import Variable
from handlers.store.admin import AdminStore, SpendingPolicy
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.store.world import Tenant, make_tenant, new_request_id, usage_line

DAY_MS = 86_400_000


class Room:
    """One database, and what the function says when it runs over it."""

    def __init__(self, database: Database, caplog: pytest.LogCaptureFixture, mailbox: Path) -> None:
        self.database, self._caplog, self.mailbox = database, caplog, mailbox
        self.admin = AdminStore(database.pool("founder"))
        self.gateway = GatewayStore(database.pool("gateway"), "pod")

    def tenant(self, credit_nano: int = 10**9, **limits: object) -> Tenant:
        return make_tenant(
            self.database.pool("founder"), credit_nano=credit_nano, limits=msgspec.convert(limits, KeyLimits)
        )

    def use(self, tenant: Tenant, cost_nano: int, days_ago: int = 0) -> None:
        request = new_request_id(time.time_ns() // 1_000_000 - days_ago * DAY_MS)
        asyncio.run(self.gateway.settle([usage_line(tenant, cost_nano, request_id=request)]))

    def mails(self) -> list[tuple[str, str, str]]:
        """Every notice in the mailbox folder, oldest first: (to, subject, text)."""
        found = [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(self.mailbox.glob("*.eml"))]
        return [(str(mail["To"]), str(mail["Subject"]), mail.get_content()) for mail in found]

    def run(self, tenant: Tenant) -> list[tuple[str, int]]:
        """What is said of a tenant: (outcome, per cent)."""
        self._caplog.clear()
        spending.handler({}, None)
        outcomes = [(record.getMessage(), vars(record)["outcome"]) for record in self._caplog.records]
        return [(kind, what.get("percent", 0)) for kind, what in outcomes if what.get("tenant") == tenant.tenant_id]


@pytest.fixture
def room(database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> Room:
    monkeypatch.setattr(spending, "open_restored_store", lambda: OperationsStore(database.pool("operations")))
    monkeypatch.setenv(Variable.MAIL, str(tmp_path / "mail"))
    return Room(database, caplog, tmp_path / "mail")


def test_a_budget_speaks_at_each_threshold_once(room: Room) -> None:
    tenant = room.tenant(spend_nano=1_000, spend_period="monthly")
    said = []
    for cost in (499, 1, 100, 199, 1, 199, 1, 50):
        room.use(tenant, cost)
        said.append(room.run(tenant))
    assert said == [
        [], [("BudgetReached", 50)], [], [], [("BudgetReached", 80)], [], [("BudgetReached", 100)], [],
    ]  # fmt: skip
    assert [(row.kind, row.percent) for row in room.admin.list_alerts(tenant.tenant_id)] == [
        ("budget", 100), ("budget", 80), ("budget", 50),
    ]  # fmt: skip


def test_thresholds_that_are_passed_together_are_one_notice(room: Room) -> None:
    tenant = room.tenant(spend_nano=1_000)
    room.use(tenant, 990)
    assert room.run(tenant) == [("BudgetReached", 80)]


@pytest.mark.parametrize("scope", ["tenant", "user"])
def test_budgets_of_users_and_tenants_speak_too(room: Room, scope: str) -> None:
    tenant = room.tenant()
    room.database.query(
        "insert into therouter.budget values (:t, :scope, cast(:subject as uuid), 'daily', 100)",
        t=tenant.tenant_id, scope=scope, subject=tenant.tenant_id if scope == "tenant" else tenant.user_id,
    )  # fmt: skip
    room.use(tenant, 60, days_ago=1)
    assert room.run(tenant) == [], "that was yesterday"
    room.use(tenant, 60)
    assert room.run(tenant) == [("BudgetReached", 50)]


def test_a_low_balance_is_told_once_a_day_and_only_where_it_is_wanted(room: Room) -> None:
    silent, tenant = room.tenant(5), room.tenant(1_000)
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(low_balance_nano=400))
    assert room.run(tenant) == []
    room.use(tenant, 700)
    assert room.run(tenant) == [("BalanceLow", 0)]
    assert room.run(tenant) == []
    assert room.run(silent) == []


def test_a_key_that_spends_unusually_is_stopped_and_its_leases_end(room: Room) -> None:
    tenant = room.tenant()
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(unusual_factor=10, unusual_floor_nano=100))
    for day in range(1, 8):
        room.use(tenant, 24 * 50, days_ago=day)  # 50 an hour
    room.use(tenant, 500)
    assert room.run(tenant) == [], "ten times as much is not more than ten times as much"
    lease = str(uuid.uuid4())
    asyncio.run(room.gateway.lease_for_key(lease, tenant.tenant_id, tenant.key_id, 10, 10, 60))
    room.use(tenant, 1)
    assert room.run(tenant) == [("KeyStopped", 0)]
    assert asyncio.run(room.gateway.renew([lease], 60)) == set(), "within a renewal no process spends from it"
    grant = asyncio.run(room.gateway.lease_for_key(lease, tenant.tenant_id, tenant.key_id, 1, 1, 60))
    assert (grant.granted_nano, grant.state) == (0, "key_stopped")
    assert room.run(tenant) == []
    assert [rule for rule in room.admin.check_ledger() if rule.difference] == []


def test_a_key_that_was_confirmed_goes_on(room: Room) -> None:
    tenant = room.tenant()
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(unusual_factor=2, unusual_floor_nano=100))
    room.use(tenant, 101)
    assert room.run(tenant) == [("KeyStopped", 0)]
    assert room.admin.confirm_key(tenant.tenant_id, tenant.key_id)
    room.use(tenant, 500)
    assert room.run(tenant) == []
    grant = asyncio.run(room.gateway.lease_for_key(str(uuid.uuid4()), tenant.tenant_id, tenant.key_id, 1, 1, 60))
    assert grant.granted_nano == 1


def test_by_default_no_key_is_ever_stopped(room: Room) -> None:
    tenant = room.tenant(10**15)
    room.use(tenant, 10**14)
    assert room.run(tenant) == []
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy())
    assert room.run(tenant) == []


def test_each_threshold_is_one_notice_to_each_person_whom_it_concerns_and_no_other(room: Room) -> None:
    tenant = room.tenant(spend_nano=1_000, spend_period="monthly")
    for address, role in (
        ("boss@example.com", "admin"),
        ("cash@example.com", "billing"),
        ("other@example.com", "member"),
    ):
        room.admin.create_user(str(uuid.uuid4()), tenant.tenant_id, address, role)
    room.tenant()  # somebody else's people hear nothing
    for cost in (510, 10, 300, 10, 200, 10):
        room.use(tenant, cost)
        room.run(tenant)
        room.run(tenant)
    readers = ["person@example.com", "boss@example.com", "cash@example.com"]
    mails = room.mails()
    assert [(to, subject) for to, subject, _ in mails] == [
        (to, f"TheRouter: {percent} % of a budget is spent") for percent in (50, 80, 100) for to in readers
    ]
    assert f"the budget of API key {tenant.key_id}, 50 % is spent: 0.00000051 of 0.000001 USD" in mails[0][2]
    assert all(row.kind == "budget" for row in room.admin.list_alerts(tenant.tenant_id))


def test_a_tenant_sets_its_own_thresholds(room: Room) -> None:
    tenant = room.tenant(spend_nano=1_000)
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy())
    room.database.query(
        "update therouter.spending_policy set thresholds = '{10,90}' where tenant_id = :t", t=tenant.tenant_id
    )
    said = []
    for cost in (99, 1, 500, 300):
        room.use(tenant, cost)
        said.append(room.run(tenant))
    assert said == [[], [("BudgetReached", 10)], [], [("BudgetReached", 90)]]


def test_a_stopped_key_and_a_low_balance_are_notices_too_and_a_new_period_speaks_again(room: Room) -> None:
    tenant = room.tenant(1_000, spend_nano=100, spend_period="daily")
    room.admin.set_spending(tenant.tenant_id, SpendingPolicy(2, 100, 950))
    room.use(tenant, 101)
    room.run(tenant)
    subjects = [subject for _, subject, _ in room.mails()]
    assert sorted(subjects) == [
        "TheRouter: 100 % of a budget is spent", "TheRouter: An API key spends unusually much and is stopped",
        "TheRouter: The balance is low",
    ]  # fmt: skip
    assert any(f"/admin/keys/{tenant.key_id}/confirmation" in text for _, _, text in room.mails())
    room.database.query("update therouter.alert set since = since - 1 where tenant_id = :t", t=tenant.tenant_id)
    assert room.run(tenant) == [("BudgetReached", 100), ("BalanceLow", 0)], "the next day"
    assert len(room.mails()) == 5


def test_two_runs_at_once_send_each_notice_once(room: Room) -> None:
    tenants = [room.tenant(spend_nano=100) for _ in range(12)]
    for tenant in tenants:
        room.use(tenant, 100)
    with ThreadPoolExecutor(4) as threads:
        ran = list(threads.map(lambda _: spending.handler({}, None), range(4)))
    assert sum(int(str(each["sent"])) for each in ran) == len(room.mails()) == 12


def test_a_mailbox_that_takes_nothing_is_asked_again_and_nobody_is_told_twice(room: Room) -> None:
    tenant = room.tenant(spend_nano=100)
    room.admin.create_user(str(uuid.uuid4()), tenant.tenant_id, "boss@example.com", "admin")
    room.use(tenant, 100)
    room.mailbox.write_text("a file, where a folder is needed")
    assert room.run(tenant) == [("NoticeFailed", 0)]
    room.mailbox.unlink()
    assert room.run(tenant) == [], "in ten minutes"
    room.database.query("update therouter.alert set claimed_at = claimed_at - interval '11 minutes'")
    room.database.query(
        "insert into therouter.alert_told select alert_id, cast(:u as uuid) from therouter.alert where noticed_at is null",
        u=tenant.user_id,
    )
    assert room.run(tenant) == [("BudgetReached", 100)]
    assert [to for to, _, _ in room.mails()] == ["boss@example.com"], "the other one had been told before"


def test_without_a_sender_the_row_and_the_line_remain(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(Variable.MAIL)
    tenant = room.tenant(spend_nano=100)
    room.use(tenant, 100)
    assert room.run(tenant) == [("BudgetReached", 100)]
    assert not room.mailbox.exists()


def test_an_event_of_somebody_else_is_refused() -> None:
    with pytest.raises(EventError):
        spending.handler({"Records": []}, None)
