"""A63: what customers do with orders and refunds, alone and at the same time."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.handlers.payments.rooms import DAY_S, PaymentsRoom, StripeRoom, Tenant, WeChatRoom


def _paid(room: StripeRoom, amount_minor: int = 2_000) -> tuple[Tenant, str]:
    tenant = room.tenant()
    opened = room.open(tenant, amount_minor)
    room.pay(opened)
    room.deliver_all()
    assert room.credit_minor(tenant) == amount_minor
    return tenant, opened["order_id"]


def test_a_checkout_that_is_paid_credits_the_tenant(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    assert opened["url"].startswith(stripe_room.standin.url)
    assert (opened["state"], opened["currency"], opened["amount_minor"]) == ("pending", "usd", 2_000)
    stripe_room.pay(opened)
    answers = stripe_room.deliver_all()
    assert [answer.status for answer in answers] == [200] * len(answers)
    assert stripe_room.credit_minor(tenant) == 2_000
    assert stripe_room.order(opened["order_id"]).state == "paid"
    assert stripe_room.ledger_is_exact()


def test_a_code_that_is_scanned_and_paid_credits_the_tenant(wechat_room: WeChatRoom) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 500)
    assert opened["code_url"].startswith("weixin://")
    assert opened["currency"] == "cny"
    wechat_room.pay(opened)
    assert wechat_room.deliver(wechat_room.standin.outbox[-1]).status == 200
    assert wechat_room.credit_minor(tenant) == 500
    assert wechat_room.ledger_is_exact()


@pytest.mark.parametrize("region", ["global", "china"])
def test_the_same_request_key_opens_one_order_and_the_same_checkout(
    stripe_room: StripeRoom, wechat_room: WeChatRoom, region: str
) -> None:
    room: PaymentsRoom = stripe_room if region == "global" else wechat_room
    tenant = room.tenant()
    marks = {"idempotency-key": "top-up-1"}

    def ask(_: int) -> dict[str, Any]:
        return room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 700}, marks).content

    with ThreadPoolExecutor(6) as threads:
        opened = list(threads.map(ask, range(12)))
    where = {(o.get("order_id"), o.get("url"), o.get("code_url")) for o in opened if "order_id" in o}
    assert len(where) == 1
    other = room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 800}, marks)
    assert (other.status, other.content["error"]["param"]) == (409, "idempotency-key")


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ({}, "amount_minor"),
        ({"amount_minor": 99}, "amount_minor"),
        ({"amount_minor": 1_000_001}, "amount_minor"),
        ({"amount_minor": -2_000}, "amount_minor"),
        ({"amount_minor": 20.5}, "amount_minor"),
        ({"amount_minor": "2000"}, "amount_minor"),
        ({"amount_minor": None}, "amount_minor"),
        ({"amount_minor": 2_000, "currency": "eur"}, "currency"),
        ({"amount_minor": 2_000, "currency": 7}, "currency"),
        ({"amount_minor": 2_000, "keep_method": "yes"}, "keep_method"),
        ({"amount_minor": 2_000, "tenant": "x"}, None),
        ([], None),
        ("x", None),
    ],
)
def test_bad_requests_are_refused_with_the_fields_name(
    stripe_room: StripeRoom, content: object, param: str | None
) -> None:
    tenant = stripe_room.tenant()
    answer = stripe_room.call(tenant.key, "POST", "/payments/topups", content)
    assert (answer.status, answer.content["error"].get("param")) == (400, param)
    assert stripe_room.store.list_orders(tenant.tenant_id) == []


def test_twenty_unpaid_orders_are_enough(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    for _ in range(20):
        stripe_room.open(tenant)
    assert stripe_room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 500}).status == 429


@pytest.mark.parametrize("region", ["global", "china"])
def test_an_order_can_be_closed_and_then_not_be_paid(
    stripe_room: StripeRoom, wechat_room: WeChatRoom, region: str
) -> None:
    room: PaymentsRoom = stripe_room if region == "global" else wechat_room
    tenant = room.tenant()
    opened = room.open(tenant)
    closed = room.call(tenant.key, "POST", f"/payments/orders/{opened['order_id']}/close")
    assert (closed.status, closed.content["state"]) == (200, "closed")
    with pytest.raises(Exception, match=r"refused|ORDERPAID"):
        room.pay(opened)  # type: ignore[attr-defined]  # both kinds of room have it


def test_closing_an_order_that_was_just_paid_finds_it_paid(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant)
    stripe_room.pay(opened)
    closed = stripe_room.call(tenant.key, "POST", f"/payments/orders/{opened['order_id']}/close")
    assert closed.content["state"] == "paid"
    assert stripe_room.credit_minor(tenant) == 2_000


def test_tenants_see_their_own_orders_only(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    other = stripe_room.tenant()
    assert [o["order_id"] for o in stripe_room.call(tenant.key, "GET", "/payments/orders").content["orders"]] == [
        order_id
    ]
    assert stripe_room.call(other.key, "GET", "/payments/orders").content["orders"] == []
    for method, path in (
        ("GET", f"/payments/orders/{order_id}"),
        ("POST", f"/payments/orders/{order_id}/close"),
        ("POST", f"/payments/orders/{order_id}/refunds"),
        ("GET", f"/payments/orders/{uuid.uuid4()}"),
        ("GET", "/payments/orders/not-an-order"),
    ):
        assert stripe_room.call(other.key, method, path, {} if method == "POST" else None).status == 404
    assert stripe_room.call(other.key, "GET", f"/payments/orders/{order_id}/refunds").content["refunds"] == []


@pytest.mark.claim("A63")
def test_a63_a_refund_leaves_the_balance_at_once_and_never_exceeds_the_payment(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    path = f"/payments/orders/{order_id}/refunds"
    assert stripe_room.call(tenant.key, "POST", path, {"amount_minor": 2_001}).status == 409
    first = stripe_room.call(tenant.key, "POST", path, {"amount_minor": 1_500})
    assert (first.status, first.content["state"], first.content["amount_minor"]) == (201, "succeeded", 1_500)
    assert stripe_room.credit_minor(tenant) == 500
    assert stripe_room.call(tenant.key, "POST", path, {"amount_minor": 501}).status == 409
    rest = stripe_room.call(tenant.key, "POST", path, {})
    assert (rest.status, rest.content["amount_minor"]) == (201, 500)
    assert stripe_room.call(tenant.key, "POST", path, {}).status == 409
    for _ in range(2):
        stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 0
    assert stripe_room.order(order_id).state == "refunded"
    assert stripe_room.ledger_is_exact()


@pytest.mark.claim("A63")
def test_a63_the_same_refund_forty_times_at_once_is_one(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    stripe_room.admin.adjust_credit("gift", tenant.tenant_id, 100 * 10**9, "promotion")

    def ask(number: int) -> int:
        key = {"idempotency-key": "refund-1"} if number % 2 else {}
        path = f"/payments/orders/{order_id}/refunds"
        return stripe_room.call(tenant.key, "POST", path, {"amount_minor": 1_200}, key).status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(ask, range(40)))
    assert set(statuses) <= {201, 409, 503}
    stripe_room.age(20)
    stripe_room.room.questions.run()
    stripe_room.deliver_all()
    assert stripe_room.order(order_id).refunded_minor == 1_200
    assert stripe_room.credit_minor(tenant) == 2_000 - 1_200 + 10_000
    payment = stripe_room.order(order_id).company_payment
    refunds = [
        o for o in stripe_room.state.objects.values() if o["object"] == "refund" and o["payment_intent"] == payment
    ]
    assert [refund["amount"] for refund in refunds] == [1_200]
    assert stripe_room.ledger_is_exact()


@pytest.mark.claim("A63")
def test_a63_credit_that_is_spent_or_in_use_is_not_refunded(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    path = f"/payments/orders/{order_id}/refunds"
    stripe_room.admin.adjust_credit("spent", tenant.tenant_id, -5 * 10**9, "correction")
    spent = stripe_room.call(tenant.key, "POST", path, {})
    assert (spent.status, spent.content["error"]["param"]) == (409, "amount_minor")
    assert stripe_room.call(tenant.key, "POST", path, {"amount_minor": 1_500}).status == 201
    assert stripe_room.credit_minor(tenant) == 0


@pytest.mark.claim("A63")
@pytest.mark.parametrize("seed", range(3))
def test_a63_a_refund_and_use_at_the_same_time_share_the_credit(stripe_room: StripeRoom, seed: int) -> None:
    tenant, order_id = _paid(stripe_room, 1_000)
    gateway = stripe_room.database.pool("gateway", connections_max=8)

    def use(_: int) -> int:
        lease = gateway.run(
            "credit_lease",
            lease=str(uuid.uuid4()),
            tenant=tenant.tenant_id,
            pod="pod",
            need_nano=10**9,
            want_nano=10**9,
            ttl_s=600,
        )
        return int(lease[0][0])

    def refund(_: int) -> int:
        answer = stripe_room.call(tenant.key, "POST", f"/payments/orders/{order_id}/refunds", {"amount_minor": 100})
        return 10**9 if answer.status == 201 else 0

    with ThreadPoolExecutor(8) as threads:
        work = [threads.submit(use if (i + seed) % 2 else refund, i) for i in range(24)]
        granted = sum(done.result() for done in work)
    assert granted == 10 * 10**9  # to the last unit, and not one more
    account = stripe_room.account(tenant)
    assert account.balance_nano == account.held_nano
    assert stripe_room.ledger_is_exact()


def test_a_refund_that_the_bank_returns_comes_back_to_the_balance_once(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    stripe_room.call(tenant.key, "POST", f"/payments/orders/{order_id}/refunds", {})
    assert stripe_room.credit_minor(tenant) == 0
    refund = next(o for o in stripe_room.state.objects.values() if o["object"] == "refund")
    stripe_room.state.fail_refund(refund["id"])
    for _ in range(3):
        stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 2_000
    assert stripe_room.order(order_id).state == "paid"
    shown = stripe_room.call(tenant.key, "GET", f"/payments/orders/{order_id}/refunds").content["refunds"]
    assert [r["state"] for r in shown] == ["failed"]
    assert stripe_room.ledger_is_exact()


def test_a_refund_that_the_company_refuses_for_good_comes_back_to_the_balance(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    stripe_room.state.objects[next(i for i in stripe_room.state.objects if i.startswith("ch_"))]["disputed"] = True
    answer = stripe_room.call(tenant.key, "POST", f"/payments/orders/{order_id}/refunds", {})
    assert answer.content["state"] == "failed"
    assert stripe_room.credit_minor(tenant) == 2_000
    assert stripe_room.ledger_is_exact()


def test_a_refund_while_the_company_is_away_waits_and_is_asked_for_again(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    keys = stripe_room.standin.keys
    stripe_room.standin.keys = keys._replace(secret_key="sk_test_" + "another" * 6)
    answer = stripe_room.call(tenant.key, "POST", f"/payments/orders/{order_id}/refunds", {})
    assert (answer.status, answer.content["state"]) == (201, "pending")
    assert stripe_room.credit_minor(tenant) == 0
    stripe_room.standin.keys = keys
    stripe_room.age(20)
    assert stripe_room.room.questions.run().refunds == 1
    shown = stripe_room.call(tenant.key, "GET", f"/payments/orders/{order_id}/refunds").content["refunds"]
    assert [r["state"] for r in shown] == ["succeeded"]


@pytest.mark.claim("A63")
def test_a63_a_refund_refused_after_a_day_of_silence_is_not_credited_back(stripe_room: StripeRoom) -> None:
    tenant, order_id = _paid(stripe_room)
    keys = stripe_room.standin.keys
    stripe_room.standin.keys = keys._replace(secret_key="sk_test_" + "another" * 6)
    stripe_room.call(tenant.key, "POST", f"/payments/orders/{order_id}/refunds", {})
    stripe_room.standin.keys = keys
    # The company made it, its answer and its notification were lost, and it has forgotten the idempotency key since.
    stripe_room.state.create_refund({"payment_intent": stripe_room.order(order_id).company_payment})
    stripe_room.age(DAY_S)
    assert stripe_room.room.questions.run().failed == 1
    assert stripe_room.credit_minor(tenant) == 0
    shown = stripe_room.call(tenant.key, "GET", f"/payments/orders/{order_id}/refunds").content["refunds"]
    assert [r["state"] for r in shown] == ["pending"]


@pytest.mark.claim("A63")
@pytest.mark.parametrize(("status", "credit"), [("SUCCESS", 380), ("ABNORMAL", 880), ("CLOSED", 880)])
def test_a63_a_wechat_refund_and_its_notification(wechat_room: WeChatRoom, status: str, credit: int) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    wechat_room.pay(opened)
    wechat_room.deliver(wechat_room.standin.outbox[-1])
    wechat_room.standin.settles_at_once = False
    path = f"/payments/orders/{opened['order_id']}/refunds"
    refund = wechat_room.call(tenant.key, "POST", path, {"amount_minor": 500})
    assert refund.content["state"] == "pending"
    assert wechat_room.credit_minor(tenant) == 380
    wechat_room.state.settle_refund(refund.content["refund_id"].replace("-", ""), status)
    for _ in range(100):
        assert wechat_room.deliver(wechat_room.standin.outbox[-1]).status == 200
    assert wechat_room.credit_minor(tenant) == credit
    assert wechat_room.ledger_is_exact()


def test_a_lost_refund_notification_is_repaired(wechat_room: WeChatRoom) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    wechat_room.pay(opened)
    wechat_room.deliver(wechat_room.standin.outbox[-1])
    path = f"/payments/orders/{opened['order_id']}/refunds"
    assert wechat_room.call(tenant.key, "POST", path, {}).content["state"] == "pending"
    wechat_room.age(20)
    assert wechat_room.room.questions.run().refunds == 1
    assert [r["state"] for r in wechat_room.call(tenant.key, "GET", path).content["refunds"]] == ["succeeded"]
