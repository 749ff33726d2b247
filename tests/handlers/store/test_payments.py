"""The payment functions against a model, and under several hands at once.

THEROUTER_PAYMENT_STEPS=100000 makes the walk longer.
"""

from __future__ import annotations

import os
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field

import msgspec
import pytest
from pg8000.exceptions import DatabaseError

from handlers.errors import ClientError, Conflict, PermissionDenied, RateLimited
from handlers.store.admin import AdminStore
from handlers.store.connection import open_connection
from handlers.store.payments import Application, Order, PaymentStore
from handlers.store.refusals import StatementRefused
from handlers.store.session import sqlstate_of
from tests.database import Database
from tests.handlers.store.world import make_tenant

STEPS = int(os.environ.get("THEROUTER_PAYMENT_STEPS", "600"))
NANO = 10**7
PAID = Application(
    provider="stripe",
    event="",
    kind="paid",
    order_id=None,
    tenant=None,
    amount_minor=0,
    currency="usd",
    mode="test",
    company_order="",
    company_payment="",
    refund_id=None,
    reference="",
    receipt="",
    method="",
)


def change(notice: Application, **fields: object) -> Application:
    return msgspec.structs.replace(notice, **fields)


@dataclass
class ModelOrder:
    tenant: str
    amount: int
    state: str = "pending"
    refunded: int = 0
    disputed: bool = False
    refunds: dict[str, tuple[int, str]] = field(default_factory=dict)
    disputes: dict[str, tuple[int, str]] = field(default_factory=dict)


class Model:
    """What ought to be: in fifty lines, without a database. Amounts are minor units."""

    def __init__(self) -> None:
        self.orders: dict[str, ModelOrder] = {}
        self.balance: dict[str, int] = {}
        self.frozen: set[str] = set()

    def pay(self, order: ModelOrder) -> None:
        if order.state in {"pending", "closed"}:
            order.state = "paid"
            self.balance[order.tenant] += order.amount

    def expire(self, order: ModelOrder) -> None:
        if order.state == "pending":
            order.state = "closed"

    def may_refund(self, order: ModelOrder, amount: int) -> bool:
        return (
            order.state == "paid"
            and not order.disputed
            and order.tenant not in self.frozen
            and 0 < amount <= order.amount - order.refunded
            and amount <= self.balance[order.tenant]
        )

    def refund(self, order: ModelOrder, refund: str, amount: int, state: str) -> None:
        order.refunds[refund] = (amount, state)
        self._shift(order, amount)

    def settle_refund(self, order: ModelOrder, refund: str, *, good: bool) -> None:
        amount, state = order.refunds[refund]
        if good and state == "pending":
            order.refunds[refund] = (amount, "succeeded")
        elif not good and state != "failed":
            order.refunds[refund] = (amount, "failed")
            self._shift(order, -amount)

    def dispute(self, order: ModelOrder, dispute: str, amount: int) -> None:
        if dispute not in order.disputes and order.state in {"paid", "refunded"}:
            order.disputes[dispute] = (amount, "open")
            order.disputed = True
            self.balance[order.tenant] -= amount
            self.frozen.add(order.tenant)

    def win(self, order: ModelOrder, dispute: str) -> None:
        amount, state = order.disputes[dispute]
        if state == "open":
            order.disputes[dispute] = (amount, "won")
            order.disputed = any(state == "open" for _, state in order.disputes.values())
            self.balance[order.tenant] += amount

    def _shift(self, order: ModelOrder, amount: int) -> None:
        order.refunded += amount
        self.balance[order.tenant] -= amount
        order.state = "refunded" if order.refunded == order.amount else "paid"


class Walk:
    """Random steps on both sides."""

    def __init__(self, database: Database, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = PaymentStore(database.pool("payments"))
        self.admin = AdminStore(database.pool("founder"))
        self.database = database
        self.model = Model()
        for _ in range(3):
            tenant = make_tenant(database.pool("founder", connections_max=1)).tenant_id
            self.model.balance[tenant] = 0
        self.events: list[Application] = []

    def step(self) -> None:
        steps = (self.open, self.pay, self.pay, self.contradict, self.expire, self.refund, self.refund, self.settle)
        more = (self.console_refund, self.dispute, self.win, self.spend, self.replay, self.thaw)
        self.random.choice((*steps, *more))()

    def compare(self) -> None:
        accounts = {row.tenant_id: (row.balance_nano, row.account_state) for row in self.admin.list_tenants()}
        assert accounts == {
            tenant: (minor * NANO, "frozen" if tenant in self.model.frozen else "active")
            for tenant, minor in self.model.balance.items()
        }
        for order_id, order in self.model.orders.items():
            found = self.store.find_order(order_id)
            assert found is not None
            assert (found.state, found.refunded_minor, found.disputed) == (order.state, order.refunded, order.disputed)
        for (difference,) in self.database.query("select difference_nano from therouter.ledger_check()"):
            assert difference == 0

    def pick(self) -> tuple[str, ModelOrder] | None:
        return self.random.choice(list(self.model.orders.items())) if self.model.orders else None

    def tell(self, notice: Application, *, repeats: int = 1) -> set[str]:
        """By notification or as an answer, once or more often."""
        event = f"evt_{uuid.uuid4().hex}" if self.random.random() < 0.7 else ""
        told = change(notice, event=event)
        if event:
            self.events.append(told)
        return {self.store.apply(told) for _ in range(repeats)}

    def paid(self, order_id: str, order: ModelOrder) -> Application:
        number = order_id.replace("-", "")
        return change(
            PAID,
            order_id=order_id,
            tenant=order.tenant,
            amount_minor=order.amount,
            company_order=f"cs_{number}",
            company_payment=f"pi_{number}",
        )

    def about(self, order_id: str, order: ModelOrder, kind: str, **fields: object) -> Application:
        by_payment = self.random.random() < 0.5 and order.state in {"paid", "refunded"}
        named = {"order_id": None} if by_payment else {}
        return change(self.paid(order_id, order), kind=kind, tenant=None, **named, **fields)

    def open(self) -> None:
        tenant, amount = self.random.choice(list(self.model.balance)), self.random.randint(100, 5_000)
        if len(self.model.orders) >= 12:
            return
        order_id = str(uuid.uuid4())
        try:
            open_order(self.store, tenant, order_id=order_id, amount_minor=amount)
        except PermissionDenied:
            assert tenant in self.model.frozen
        except RateLimited:
            pending = [o for o in self.model.orders.values() if o.tenant == tenant and o.state == "pending"]
            assert len(pending) >= 20
        else:
            self.model.orders[order_id] = ModelOrder(tenant, amount)

    def pay(self) -> None:
        if picked := self.pick():
            self.tell(self.paid(*picked), repeats=self.random.randint(1, 3))
            self.model.pay(picked[1])

    def contradict(self) -> None:
        if picked := self.pick():
            wrong: dict[str, object] = self.random.choice(
                [
                    {"amount_minor": picked[1].amount + self.random.choice((-1, 1, 10**9))},
                    {"currency": "cny"},
                    {"mode": "live"},
                    {"tenant": str(uuid.uuid4())},
                    {"provider": "wechat"},
                    {"order_id": str(uuid.uuid4())},
                ]
            )
            assert self.tell(change(self.paid(*picked), **wrong)) <= {"mismatch", "unknown_order", "replay"}

    def expire(self) -> None:
        if (picked := self.pick()) and self.random.random() < 0.3:
            self.tell(self.about(*picked, "expired"))
            self.model.expire(picked[1])

    def refund(self) -> None:
        if not (picked := self.pick()):
            return
        (order_id, order), refund = picked, str(uuid.uuid4())
        left = order.amount - order.refunded
        amount = self.random.choice((left, self.random.randint(1, order.amount + 10)))
        allowed = self.model.may_refund(order, amount)
        try:
            self.store.open_refund(refund, order.tenant, order_id, amount_minor=amount or None, request_key="")
        except ClientError:
            assert not allowed
        else:
            assert allowed
            self.model.refund(order, refund, amount, "pending")

    def settle(self) -> None:
        if (picked := self.pick()) and picked[1].refunds:
            order_id, order = picked
            refund = self.random.choice(list(order.refunds))
            amount, state = order.refunds[refund]
            good = self.random.random() < 0.7
            if good and state == "failed":
                return
            kind = "refunded" if good else "refund_failed"
            number = refund.replace("-", "")
            self.tell(
                self.about(order_id, order, kind, refund_id=refund, reference=f"re_{number}", amount_minor=amount),
                repeats=self.random.randint(1, 3),
            )
            self.model.settle_refund(order, refund, good=good)

    def console_refund(self) -> None:
        if (picked := self.pick()) and picked[1].state == "paid":
            order_id, order = picked
            amount = self.random.randint(1, order.amount - order.refunded)
            reference = f"re_{uuid.uuid4().hex}"
            self.tell(self.about(order_id, order, "refunded", reference=reference, amount_minor=amount), repeats=2)
            self.model.refund(order, reference, amount, "succeeded")
            del order.refunds[reference]  # it has no id of ours, and is not settled again

    def dispute(self) -> None:
        if (picked := self.pick()) and self.random.random() < 0.5:
            order_id, order = picked
            reference = self.random.choice([*order.disputes, f"du_{uuid.uuid4().hex}"])
            amount = order.disputes.get(reference, (self.random.randint(1, order.amount), ""))[0]
            outcomes = self.tell(self.about(order_id, order, "disputed", reference=reference, amount_minor=amount))
            assert (outcomes == {"premature"}) == (order.state not in {"paid", "refunded"})
            self.model.dispute(order, reference, amount)

    def win(self) -> None:
        if (picked := self.pick()) and picked[1].disputes:
            reference = self.random.choice(list(picked[1].disputes))
            self.tell(self.about(*picked, "dispute_won", reference=reference), repeats=2)
            self.model.win(picked[1], reference)

    def spend(self) -> None:
        tenant = self.random.choice(list(self.model.balance))
        amount = self.random.randint(1, 3_000)
        self.admin.adjust_credit(f"spent.{uuid.uuid4().hex}", tenant, -amount * NANO, "correction")
        self.model.balance[tenant] -= amount

    def replay(self) -> None:
        """Anything that was ever told, again: days later and in any order."""
        for notice in self.random.sample(self.events, min(5, len(self.events))):
            if notice.kind == "paid":
                assert self.store.apply(notice) in {"replay", "unknown_order", "mismatch", "already"}

    def thaw(self) -> None:
        if self.model.frozen and self.random.random() < 0.5:
            tenant = self.random.choice(sorted(self.model.frozen))
            self.database.query("update therouter.account set state = 'active' where tenant_id = :t", t=tenant)
            self.model.frozen.discard(tenant)


def balance_nano(database: Database, tenant: str) -> int:
    listed = AdminStore(database.pool("founder")).list_tenants()
    return next(row.balance_nano for row in listed if row.tenant_id == tenant)


def open_order(store: PaymentStore, tenant: str, *, order_id: str = "", **more: object) -> Order:
    fields: dict[str, object] = {
        "provider": "stripe",
        "amount_minor": 1_000,
        "currency": "usd",
        "mode": "test",
        "keep_method": False,
        "customer": "",
        "request_key": "",
        "life_s": 3_600,
        **more,
    }
    return store.open_order(order_id or str(uuid.uuid4()), tenant, **fields)  # type: ignore[arg-type]  # as above


@pytest.mark.claim("A63", "A64")
@pytest.mark.parametrize("seed", range(4))
def test_a64_a_random_walk_of_payments_agrees_with_its_model(database: Database, seed: int) -> None:
    walk = Walk(database, seed)
    for number in range(STEPS):
        walk.step()
        if number % 10 == 0:
            walk.compare()
    walk.compare()
    assert {order.state for order in walk.model.orders.values()} >= {"paid", "refunded"}


@pytest.mark.claim("A64")
def test_a64_two_hundred_hands_apply_one_payment_once(database: Database) -> None:
    store = PaymentStore(database.pool("payments", connections_max=8, queue_max=300))
    tenant = make_tenant(database.pool("founder")).tenant_id
    order = open_order(store, tenant)
    notice = change(PAID, order_id=order.order_id, tenant=tenant, amount_minor=1_000, company_payment="pi_1")
    with ThreadPoolExecutor(32) as threads:
        outcomes = list(threads.map(lambda n: store.apply(change(notice, event=f"evt_{n % 5}")), range(200)))
    assert outcomes.count("credited") == 1
    assert set(outcomes) == {"credited", "already", "replay"}
    assert balance_nano(database, tenant) == 1_000 * NANO


def test_each_pending_order_is_handed_to_one_asker(database: Database) -> None:
    store = PaymentStore(database.pool("payments", connections_max=8))
    tenant = make_tenant(database.pool("founder")).tenant_id
    opened = {open_order(store, tenant).order_id for _ in range(12)}
    database.query("update therouter.payment_order set created_at = created_at - interval '1 minute'")
    with ThreadPoolExecutor(8) as threads:
        claimed = [
            order.order_id for orders in threads.map(lambda _: store.claim_orders(3), range(16)) for order in orders
        ]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) == opened


def test_one_automatic_order_at_a_time_whoever_opens_it(database: Database) -> None:
    store = PaymentStore(database.pool("payments", connections_max=8))
    tenant = make_tenant(database.pool("founder")).tenant_id
    order = open_order(store, tenant, keep_method=True)
    paid = change(
        PAID, order_id=order.order_id, tenant=tenant, amount_minor=1_000, company_payment="pi_1", method="pm_1"
    )
    assert store.apply(paid) == "credited"
    store.set_customer(tenant, "cus_1")
    store.set_automatic(tenant, threshold_minor=5_000, amount_minor=700, method="pm_1")
    with ThreadPoolExecutor(8) as threads:
        opened = [
            o
            for made in threads.map(lambda _: store.open_automatic("stripe", "usd", "test", 9), range(24))
            for o in made
        ]
    assert [(o.kind, o.amount_minor, o.method, o.customer) for o in opened] == [("automatic", 700, "pm_1", "cus_1")]


def test_the_same_request_key_is_one_order_and_of_one_tenant(database: Database) -> None:
    store = PaymentStore(database.pool("payments", connections_max=8))
    first, second = (make_tenant(database.pool("founder")).tenant_id for _ in range(2))
    with ThreadPoolExecutor(8) as threads:
        orders = list(threads.map(lambda _: open_order(store, first, request_key="k").order_id, range(16)))
    assert len(set(orders)) == 1
    assert open_order(store, second, request_key="k").order_id not in orders
    with pytest.raises(Conflict):
        open_order(store, first, request_key="k", amount_minor=999)


@pytest.mark.claim("C51", "C54")
@pytest.mark.parametrize("column", ["company_order", "company_payment", "receipt", "method", "reference", "event"])
def test_no_column_of_text_can_hold_a_card_number_or_a_sentence(database: Database, column: str) -> None:
    store = PaymentStore(database.pool("payments"))
    tenant = make_tenant(database.pool("founder")).tenant_id
    order = open_order(store, tenant, keep_method=True)
    kind = "disputed" if column == "reference" else "paid"
    notice = change(PAID, order_id=order.order_id, amount_minor=1_000, company_payment="pi_1")
    if kind == "disputed":
        store.apply(notice)
    for content in ("4242" * 4, "3782" + "822463" + "10005", "a sentence", "a@b", "x" * 200, "DE89 3704"):
        with pytest.raises(StatementRefused), suppress(ClientError):
            store.apply(change(notice, kind=kind, **{column: content}))
    assert database.query("select count(*) from therouter.payment_event") == [[0]]


def test_old_replay_tokens_are_forgotten_and_young_ones_are_not(database: Database) -> None:
    store = PaymentStore(database.pool("payments"))
    tenant = make_tenant(database.pool("founder")).tenant_id
    order = open_order(store, tenant)
    for event in ("evt_1", "evt_2"):
        store.apply(change(PAID, event=event, order_id=order.order_id, amount_minor=1_000, company_payment="pi_1"))
    database.query("update therouter.payment_event set at = at - interval '8 days' where event_id = 'evt_1'")
    assert store.forget_events(0) == 1  # never younger than a week, whoever asks
    assert database.query("select event_id from therouter.payment_event") == [["evt_2"]]
    again = change(PAID, event="evt_1", order_id=order.order_id, amount_minor=1_000, company_payment="pi_1")
    assert store.apply(again) == "already"


@pytest.mark.claim("C53", "A64")
def test_a64_a_stolen_payments_role_books_nothing_that_no_order_and_no_payment_of_the_company_carries(
    database: Database,
) -> None:
    store, admin = PaymentStore(database.pool("payments")), AdminStore(database.pool("founder"))
    tenant = make_tenant(database.pool("founder")).tenant_id
    with closing(open_connection(database.dsn("payments"), timeout_s=5)) as thief:
        for statement in (
            "select therouter.credit_topup('x', cast(:t as uuid), 1)",
            "select therouter.credit_refund('x', cast(:t as uuid), 1)",
            "select therouter.credit_chargeback('x', cast(:t as uuid), 1)",
            "select therouter.book('top:x', cast(:t as uuid), 'external', 1, 'topup')",
            "select therouter.credit_adjust('x', cast(:t as uuid), 1, 'goodwill')",
            "select therouter.payment_paid(null, '', 'pi_1', '', '') where cast(:t as uuid) is not null",
        ):
            with pytest.raises(DatabaseError) as refused:
                thief.run(statement, t=tenant)
            assert sqlstate_of(refused.value) == "42501", statement
    order, other = open_order(store, tenant), open_order(store, tenant)
    paid = change(PAID, order_id=order.order_id, amount_minor=1_000, company_payment="pi_1")
    assert store.apply(change(paid, order_id=str(uuid.uuid4()))) == "unknown_order"
    assert store.apply(change(paid, amount_minor=100_000)) == "mismatch"
    assert store.apply(change(paid, company_payment="")) == "mismatch"
    assert [store.apply(paid) for _ in range(3)] == ["credited", "already", "already"]
    assert store.apply(change(paid, order_id=other.order_id)) == "mismatch", "one payment pays one order"
    won = change(paid, kind="dispute_won", reference="dp_1")
    assert store.apply(won) == "premature", "nothing was disputed"
    assert [row.kind for row in admin.credit_movements(tenant)] == ["topup"]
    assert balance_nano(database, tenant) == 1_000 * NANO


def test_the_operator_sees_what_is_flagged(database: Database) -> None:
    store = PaymentStore(database.pool("payments"))
    tenant = make_tenant(database.pool("founder")).tenant_id
    order = open_order(store, tenant)
    store.apply(change(PAID, order_id=order.order_id, amount_minor=999))
    assert database.query("select flagged, pending, paid_minor from therouter.operations_payment_summary()") == [
        [1, 1, 0]
    ]
