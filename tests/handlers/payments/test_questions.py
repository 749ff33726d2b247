"""A lost notification is repaired by asking; standing orders are charged; what expired is closed."""

from __future__ import annotations

import pytest

from handlers.payments.company import Notice
from handlers.payments.questions import make_passes
from handlers.store.payments import Order
from tests.handlers.payments.rooms import DAY_S, StripeRoom, Tenant, WeChatRoom


@pytest.mark.claim("A64")
@pytest.mark.parametrize("region", ["global", "china"])
def test_a64_a_lost_notification_is_repaired_within_a_minute(
    stripe_room: StripeRoom, wechat_room: WeChatRoom, region: str
) -> None:
    room: StripeRoom | WeChatRoom = stripe_room if region == "global" else wechat_room
    tenant = room.tenant()
    opened = room.open(tenant, 1_500)
    room.pay(opened)
    assert room.room.questions.run().orders == 0  # not yet: it is seconds old
    room.age(20)
    assert room.room.questions.run().orders == 1
    assert room.credit_minor(tenant) == 1_500
    assert room.room.questions.run().orders == 0
    assert {answer.status for answer in room.deliver_all()} == {200}
    assert room.credit_minor(tenant) == 1_500
    assert room.ledger_is_exact()


def test_a_customer_who_looks_need_not_wait_for_the_notification(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 1_500)
    stripe_room.pay(opened)
    stripe_room.age(4)
    shown = stripe_room.call(tenant.key, "GET", f"/payments/orders/{opened['order_id']}")
    assert shown.content["state"] == "paid"
    assert stripe_room.credit_minor(tenant) == 1_500


def test_orders_are_asked_about_ever_more_rarely(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.open(tenant)
    stripe_room.age(20)
    assert stripe_room.room.questions.run().orders == 1
    assert stripe_room.room.questions.run().orders == 0
    stripe_room.age(3_600)
    assert stripe_room.room.questions.run().orders == 1
    stripe_room.age(100)  # an hour old: every three minutes
    assert stripe_room.room.questions.run().orders == 0


@pytest.mark.parametrize("region", ["global", "china"])
def test_an_order_that_nobody_paid_is_closed_here_and_at_the_company(
    stripe_room: StripeRoom, wechat_room: WeChatRoom, region: str
) -> None:
    room: StripeRoom | WeChatRoom = stripe_room if region == "global" else wechat_room
    tenant = room.tenant()
    opened = room.open(tenant)
    room.age(DAY_S)
    room.room.questions.run()
    assert room.order(opened["order_id"]).state == "closed"
    if region == "global":
        session = stripe_room.state.objects[room.order(opened["order_id"]).company_order]
        assert session["status"] == "expired"
    else:
        assert wechat_room.state.orders[opened["order_id"].replace("-", "")]["trade_state"] == "CLOSED"


def test_an_order_whose_bank_takes_its_time_is_not_closed(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 1_500)
    stripe_room.pay(opened)
    session = stripe_room.state.objects[stripe_room.order(opened["order_id"]).company_order]
    session["payment_status"] = "unpaid"  # a bank debit
    stripe_room.age(2 * DAY_S)
    stripe_room.room.questions.run()
    assert stripe_room.order(opened["order_id"]).state == "pending"
    session["payment_status"] = "paid"
    stripe_room.age(DAY_S)
    stripe_room.room.questions.run()
    assert stripe_room.credit_minor(tenant) == 1_500


def test_an_order_that_the_company_does_not_know_is_closed_at_its_time(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 1_500)
    stripe_room.state.objects.clear()
    stripe_room.age(60)
    assert stripe_room.room.questions.run().failed == 0
    assert stripe_room.order(opened["order_id"]).state == "pending"
    stripe_room.age(DAY_S)
    stripe_room.room.questions.run()
    assert stripe_room.order(opened["order_id"]).state == "closed"


def test_a_payment_at_the_last_moment_is_found_by_the_last_question(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 1_500)
    stripe_room.pay(opened)
    stripe_room.age(DAY_S)
    stripe_room.room.questions.run()
    assert stripe_room.order(opened["order_id"]).state == "paid"
    assert stripe_room.credit_minor(tenant) == 1_500


def test_while_the_company_is_away_nothing_is_lost(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 1_500)
    stripe_room.pay(opened)
    stripe_room.age(20)
    keys = stripe_room.standin.keys
    stripe_room.standin.keys = keys._replace(secret_key="sk_test_" + "another" * 6)
    assert stripe_room.room.questions.run().failed == 1
    stripe_room.standin.keys = keys
    stripe_room.age(20)
    assert stripe_room.room.questions.run().failed == 0
    assert stripe_room.credit_minor(tenant) == 1_500


def _with_standing_order(room: StripeRoom) -> Tenant:
    tenant = room.tenant()
    room.pay(room.open(tenant, 1_000, keep_method=True))
    room.deliver_all()
    (method,) = room.call(tenant.key, "GET", "/payments/methods").content["methods"]
    standing = {"threshold_minor": 500, "amount_minor": 3_000, "method": method}
    assert room.call(tenant.key, "PUT", "/payments/automatic", standing).status == 200
    return tenant


def test_credit_below_the_threshold_is_topped_up_once_with_the_kept_method(stripe_room: StripeRoom) -> None:
    tenant = _with_standing_order(stripe_room)
    assert stripe_room.room.questions.run().charged == 0
    stripe_room.admin.adjust_credit("spent", tenant.tenant_id, -6 * 10**9, "correction")
    assert stripe_room.room.questions.run().charged == 1
    assert stripe_room.credit_minor(tenant) == 3_400
    assert stripe_room.room.questions.run().charged == 0
    stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 3_400
    assert stripe_room.ledger_is_exact()


def test_a_crash_between_the_order_and_the_charge_charges_once(stripe_room: StripeRoom) -> None:
    tenant = _with_standing_order(stripe_room)
    stripe_room.admin.adjust_credit("spent", tenant.tenant_id, -6 * 10**9, "correction")
    (order,) = stripe_room.store.open_automatic("stripe", "usd", "test", 10)
    wallet = stripe_room.room.questions._wallet
    assert wallet is not None
    wallet.charge(
        order, customer=order.customer, method=order.method
    )  # and the process dies before it notes the answer
    stripe_room.age(20)
    stripe_room.room.questions.run()
    stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 3_400
    payments = [
        o for o in stripe_room.state.objects.values() if o["object"] == "payment_intent" and o["amount"] == 3_000
    ]
    assert len(payments) == 1


def test_declines_are_tried_three_times_ever_later_and_then_no_more(stripe_room: StripeRoom) -> None:
    tenant = _with_standing_order(stripe_room)
    stripe_room.admin.adjust_credit("spent", tenant.tenant_id, -6 * 10**9, "correction")
    stripe_room.state.decline_everything = True
    tries = 0
    for _ in range(10):
        tries += stripe_room.room.questions.run().charged
        assert stripe_room.room.questions.run().charged == 0
        stripe_room.database.query(
            "update therouter.payment_profile set automatic_tried_at = automatic_tried_at - interval '1 hour 30 minutes'"
        )
    assert tries == 3
    assert stripe_room.credit_minor(tenant) == 400
    assert {order["state"] for order in _orders(stripe_room, tenant) if order["kind"] == "automatic"} == {"failed"}
    # Set again by the tenant it starts anew.
    stripe_room.state.decline_everything = False
    profile = stripe_room.call(tenant.key, "GET", "/payments/automatic").content
    standing = {"threshold_minor": 500, "amount_minor": 3_000, "method": profile["automatic_method"]}
    assert stripe_room.call(tenant.key, "PUT", "/payments/automatic", standing).status == 200
    assert stripe_room.room.questions.run().charged == 1
    assert stripe_room.credit_minor(tenant) == 3_400


def test_five_automatic_payments_a_day_are_enough(stripe_room: StripeRoom) -> None:
    tenant = _with_standing_order(stripe_room)
    charged = 0
    for number in range(8):
        stripe_room.admin.adjust_credit(f"spent.{number}", tenant.tenant_id, -40 * 10**9, "correction")
        charged += stripe_room.room.questions.run().charged
    assert charged == 5


def test_a_frozen_account_is_not_charged(stripe_room: StripeRoom) -> None:
    tenant = _with_standing_order(stripe_room)
    stripe_room.database.query("update therouter.account set state = 'frozen', balance_nano = balance_nano")
    stripe_room.admin.adjust_credit("spent", tenant.tenant_id, -6 * 10**9, "correction")
    assert stripe_room.room.questions.run().charged == 0


def test_one_order_that_trips_over_a_bug_does_not_keep_the_others_waiting(
    stripe_room: StripeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = stripe_room.tenant()
    poisoned, healthy = stripe_room.open(tenant, 700), stripe_room.open(tenant, 900)
    for opened in (poisoned, healthy):
        stripe_room.pay(opened)
    stripe_room.age(20)
    genuine = stripe_room.room.questions._company.ask

    def ask(order: Order) -> Notice:
        if order.order_id == poisoned["order_id"]:
            raise ZeroDivisionError
        return genuine(order)

    monkeypatch.setattr(stripe_room.room.questions._company, "ask", ask)
    done = stripe_room.room.questions.run()
    assert (done.orders, done.failed) == (2, 1)
    assert stripe_room.credit_minor(tenant) == 900


def test_passes_add_up(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.open(tenant)
    stripe_room.age(20)
    assert make_passes(stripe_room.room.questions, 3, 0.0).orders == 1


def _orders(room: StripeRoom, tenant: Tenant) -> list[dict[str, object]]:
    orders: list[dict[str, object]] = room.call(tenant.key, "GET", "/payments/orders").content["orders"]
    return orders
