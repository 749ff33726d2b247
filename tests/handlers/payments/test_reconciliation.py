"""Our list of payments against the company's own."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from handlers.errors import Unavailable
from handlers.local.payments_wechat_state import Refused
from handlers.payments import function
from handlers.payments.reconciliation import Reconciled
from handlers.store.operations import OperationsStore
from tests.handlers.payments.rooms import PaymentsRoom, StripeRoom, WeChatRoom


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


@pytest.fixture(params=["stripe_room", "wechat_room"])
def any_room(request: pytest.FixtureRequest) -> PaymentsRoom:
    room: PaymentsRoom = request.getfixturevalue(request.param)
    return room


@pytest.fixture
def wechat_room(request: pytest.FixtureRequest) -> WeChatRoom:
    """One mode of trust is enough here."""
    room: WeChatRoom = request.getfixturevalue("certificates_room")
    return room


def test_a_day_on_which_all_is_well(any_room: StripeRoom | WeChatRoom) -> None:
    for amount in (700, 880, 1_234):
        any_room.pay(any_room.open(any_room.tenant(), amount))
    assert {answer.status for answer in any_room.deliver_all()} == {200}
    done = any_room.room.reconciliation.run(_today())
    assert (done.listed, done.repaired, done.mismatched, done.foreign, done.missing) == (3, 0, 0, 0, 0)


def test_what_everything_else_missed_is_credited_and_only_once(any_room: StripeRoom | WeChatRoom) -> None:
    tenant = any_room.tenant()
    any_room.pay(any_room.open(tenant, 880))
    any_room.database.query("update therouter.payment_order set state = 'closed'")  # and nobody asks any more
    assert any_room.room.reconciliation.run(_today()).repaired == 1
    assert any_room.credit_minor(tenant) == 880
    again = any_room.room.reconciliation.run(_today())
    assert (again.listed, again.repaired, again.missing) == (1, 0, 0)
    assert any_room.ledger_is_exact()


def test_credit_without_money_is_found(any_room: StripeRoom | WeChatRoom) -> None:
    tenant = any_room.tenant()
    opened = any_room.open(tenant, 880)
    any_room.pay(opened)
    any_room.deliver_all()
    any_room.database.query("update therouter.payment_order set company_payment = 'pi_invented'")
    done = any_room.room.reconciliation.run(_today())
    assert (done.mismatched, done.missing) == (1, 1)
    any_room.database.query(
        "update therouter.payment_order set company_payment = '', paid_at = now() - interval '3 days'"
    )
    assert any_room.room.reconciliation.run(_today()).missing == 0
    any_room.state.objects.clear() if isinstance(any_room, StripeRoom) else any_room.state.orders.clear()
    three_days_ago = (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=3)).isoformat()
    any_room.database.query("update therouter.payment_order set flag = ''")
    assert any_room.room.reconciliation.run(three_days_ago).missing == 1
    assert any_room.database.query("select flag from therouter.payment_order") == [["missing"]]
    differing = [
        row.rule for row in OperationsStore(any_room.database.pool("operations")).reconcile() if row.difference
    ]
    assert differing == ["no_payment_is_flagged"], "this is what pages"


def test_payments_of_another_application_are_counted_and_left_alone(any_room: StripeRoom | WeChatRoom) -> None:
    tenant = any_room.tenant()
    any_room.pay(any_room.open(tenant, 880))
    if isinstance(any_room, StripeRoom):
        for body in any_room.state.objects.values():
            if body["object"] == "payment_intent":
                body["metadata"] = {}
    else:
        (order,) = any_room.state.orders.values()
        order["out_trade_no"] = "another-shops-order-7"
    done = any_room.room.reconciliation.run(_today())
    assert (done.listed, done.foreign, done.repaired) == (1, 1, 0)
    assert any_room.credit_minor(tenant) == 0


def test_many_pages_are_read_to_the_end(stripe_room: StripeRoom) -> None:
    customer = stripe_room.state.create_customer({})["id"]
    for _ in range(230):
        session = stripe_room.state.create_session(
            {
                "mode": "payment",
                "customer": customer,
                "line_items": [{"quantity": "1", "price_data": {"unit_amount": "700", "currency": "usd"}}],
            }
        )
        stripe_room.state.pay(session["id"])
    done = stripe_room.room.reconciliation.run(_today())
    assert (done.listed, done.foreign) == (230, 230)


def test_the_schedule_compares_the_last_day_that_is_complete(
    any_room: StripeRoom | WeChatRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "room", lambda: any_room.room)
    done = function.handler({"task": "reconcile"}, None)
    days = 1 if any_room.region == "global" else 3
    assert done["day"] == (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days)).isoformat()
    assert msgspec.json.encode(done)


def test_a_day_that_was_missed_is_compared_later_and_one_that_nobody_compares_pages(
    any_room: StripeRoom | WeChatRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = OperationsStore(any_room.database.pool("operations"))
    any_room.pay(any_room.open(any_room.tenant(), 880))
    any_room.deliver_all()
    any_room.database.query("update therouter.payment_order set mode = 'live', paid_at = paid_at - interval '7 days'")
    differing = [row.rule for row in operations.reconcile() if row.difference]
    assert differing == ["payments_are_compared"]
    compared: list[str] = []
    reconciliation = any_room.room.reconciliation
    real = reconciliation.run

    def run(day: str) -> Reconciled:
        compared.append(day)
        return real(day)

    monkeypatch.setattr(reconciliation, "run", run)
    a_week_ago = (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=7)).isoformat()
    last = reconciliation.run_due(any_room.clock())
    assert compared == [a_week_ago, last.day]
    reconciliation.run_due(any_room.clock())
    assert compared == [a_week_ago, last.day, last.day], "each missed day once"
    differing = [row.rule for row in operations.reconcile() if row.difference]
    assert "payments_are_compared" not in differing


def test_a_bill_that_is_not_ready_accuses_nobody(wechat_room: WeChatRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    def being_made(day: str) -> bytes:
        raise Refused(400, "STATEMENT_CREATING", day)

    monkeypatch.setattr(wechat_room.state, "trade_bill", being_made)
    with pytest.raises(Unavailable):
        wechat_room.room.reconciliation.run(_today())


def test_a_day_that_is_none_is_refused(stripe_room: StripeRoom) -> None:
    with pytest.raises(Exception, match="A day is written"):
        stripe_room.room.reconciliation.run("yesterday")
