"""A64, A65, F47-F50: whatever happens to notifications, a payment is credited exactly once, and nothing else is."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from handlers.payments.company import Kind, Notice
from handlers.payments.intake import to_application
from tests.handlers.payments.rooms import DAY_S, StripeRoom, WeChatRoom


def _outcomes(answers: list[object]) -> set[str]:
    return {answer.content["outcome"] for answer in answers if answer.status == 200}  # type: ignore[attr-defined]


@pytest.mark.claim("A64", "C54")
def test_a64_each_notification_a_hundred_times_over_eight_threads_credits_once(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant, 2_500))
    storm = [body for body in stripe_room.standin.outbox for _ in range(100)]
    random.Random(7).shuffle(storm)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(stripe_room.deliver, storm))
    assert {answer.status for answer in answers} <= {
        200,
        503,
    }  # 503: the pool's queue was full; the company sends it again
    stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 2_500
    assert stripe_room.ledger_is_exact()


@pytest.mark.claim("A65")
def test_a65_a_wechat_notification_a_hundred_times_credits_once(wechat_room: WeChatRoom) -> None:
    tenant = wechat_room.tenant()
    wechat_room.pay(wechat_room.open(tenant, 990))
    (body,) = wechat_room.standin.outbox
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(wechat_room.deliver, [body] * 100))
    assert {answer.status for answer in answers} <= {200, 503}
    assert wechat_room.credit_minor(tenant) == 990
    assert wechat_room.ledger_is_exact()


@pytest.mark.claim("A64")
def test_a64_reordered_notifications_credit_once_whatever_the_order(stripe_room: StripeRoom) -> None:
    for seed in range(6):
        tenant = stripe_room.tenant()
        stripe_room.standin.outbox.clear()
        stripe_room.pay(stripe_room.open(tenant, 1_100))
        bodies = list(stripe_room.standin.outbox)
        random.Random(seed).shuffle(bodies)
        assert {stripe_room.deliver(body).status for body in bodies} == {200}
        assert stripe_room.credit_minor(tenant) == 1_100
    assert stripe_room.ledger_is_exact()


@pytest.mark.claim("A64")
def test_a64_three_days_late_signed_anew_credits_once_and_signed_then_not_at_all(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant, 700))
    bodies = list(stripe_room.standin.outbox)
    sent_at_s = stripe_room.clock()
    stripe_room.clock.ahead_s += 3 * DAY_S
    assert {stripe_room.deliver(body, at_s=sent_at_s).status for body in bodies} == {401}
    assert stripe_room.credit_minor(tenant) == 0
    assert {stripe_room.deliver(body).status for body in bodies} == {200}
    assert stripe_room.credit_minor(tenant) == 700


@pytest.mark.claim("A65")
def test_a65_a_wechat_notification_a_day_old_is_refused_although_the_library_accepts_it(
    wechat_room: WeChatRoom,
) -> None:
    tenant = wechat_room.tenant()
    wechat_room.pay(wechat_room.open(tenant))
    (body,) = wechat_room.standin.outbox
    now_s = wechat_room.clock()
    for at_s in (now_s - DAY_S, now_s - 302, now_s + 302):
        assert wechat_room.deliver(body, at_s=at_s).status == 401
    assert wechat_room.credit_minor(tenant) == 0
    assert wechat_room.deliver(body, at_s=now_s - 290).status == 200


@pytest.mark.claim("A69")
@pytest.mark.parametrize("step_s", [-3_600, 3_600])
def test_a69_a_clock_that_is_an_hour_off_costs_time_and_no_credit(stripe_room: StripeRoom, step_s: int) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant, 700))
    signed_at_s = stripe_room.clock()
    stripe_room.clock.ahead_s += step_s
    assert {stripe_room.deliver(body, at_s=signed_at_s).status for body in stripe_room.standin.outbox} == {401}
    stripe_room.age(20)
    stripe_room.room.questions.run()
    assert stripe_room.credit_minor(tenant) == 700
    assert stripe_room.ledger_is_exact()


@pytest.mark.claim("A64")
@pytest.mark.parametrize("offset_s", [-301, 301])
def test_a64_a_stripe_timestamp_outside_five_minutes_is_refused(stripe_room: StripeRoom, offset_s: int) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant))
    body = stripe_room.event("checkout.session.completed")
    # A second of leeway towards the outside: the room reads its own clock a little later.
    at_s = stripe_room.clock() + offset_s + (1 if offset_s > 0 else 0)
    assert stripe_room.deliver(body, at_s=at_s).status == 401
    assert stripe_room.credit_minor(tenant) == 0


def _changed(body: bytes, **fields: object) -> bytes:
    event = msgspec.json.decode(body)
    event["id"] = f"evt_{uuid.uuid4().hex}"
    event["livemode"] = fields.pop("livemode", event["livemode"])
    event["data"]["object"] |= fields
    return msgspec.json.encode(event)


@pytest.mark.claim("A64")
@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ({"amount_total": 1_999}, "amount"),
        ({"amount_total": 2_001}, "amount"),
        ({"amount_total": 2**62}, "amount"),
        ({"amount_total": -2_000}, "amount"),
        ({"currency": "eur"}, "currency"),
        ({"currency": "jpy"}, "currency"),
        ({"livemode": True}, "mode"),
        ({"id": "cs_test_another"}, "company_order"),
        ({"metadata": {"tenant": "not-a-tenant"}}, "tenant"),
    ],
)
def test_a64_a_payment_that_contradicts_its_order_credits_nothing_and_is_flagged(
    stripe_room: StripeRoom, fields: dict[str, object], flag: str
) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    genuine = stripe_room.event("checkout.session.completed")
    answer = stripe_room.deliver(_changed(genuine, **dict(fields)))
    assert (answer.status, answer.content["outcome"]) == (200, "mismatch")
    order = stripe_room.order(opened["order_id"])
    assert (order.state, order.flag) == ("pending", flag)
    assert stripe_room.credit_minor(tenant) == 0
    # The flag does not keep the genuine one out.
    assert stripe_room.deliver(genuine).content["outcome"] == "credited"
    assert stripe_room.credit_minor(tenant) == 2_000


@pytest.mark.claim("A64")
def test_a64_another_accounts_order_is_not_paid_by_ours(stripe_room: StripeRoom) -> None:
    thief, victim = stripe_room.tenant(), stripe_room.tenant()
    stolen = stripe_room.open(victim, 2_000)
    stripe_room.pay(stolen)
    genuine = stripe_room.event("checkout.session.completed")
    own = stripe_room.open(thief, 2_000)
    forged = _changed(genuine, client_reference_id=own["order_id"])
    assert stripe_room.deliver(forged).content["outcome"] == "mismatch"
    assert stripe_room.credit_minor(thief) == 0


@pytest.mark.claim("A64")
def test_a64_an_order_of_another_provider_is_unknown_here(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    notice = Notice(
        kind=Kind.PAID, provider="wechat", mode="test", order_id=opened["order_id"], amount_minor=2_000, currency="usd"
    )
    assert stripe_room.store.apply(to_application(notice)) == "unknown_order"
    assert stripe_room.credit_minor(tenant) == 0


@pytest.mark.claim("A64")
def test_a64_a_second_payment_for_a_paid_order_is_flagged_and_not_credited(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    stripe_room.deliver_all()
    second = _changed(
        stripe_room.event("payment_intent.succeeded"), id="pi_another", metadata={"order_id": opened["order_id"]}
    )
    assert stripe_room.deliver(second).content["outcome"] == "mismatch"
    assert stripe_room.order(opened["order_id"]).flag == "second_payment"
    assert stripe_room.credit_minor(tenant) == 2_000


@pytest.mark.claim("A64")
def test_a64_one_payment_pays_one_order(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    first, second = stripe_room.open(tenant, 2_000), stripe_room.open(tenant, 2_000)
    stripe_room.pay(first)
    stripe_room.deliver_all()
    reused = _changed(stripe_room.event("payment_intent.succeeded"), metadata={"order_id": second["order_id"]})
    assert stripe_room.deliver(reused).content["outcome"] == "mismatch"
    assert stripe_room.order(second["order_id"]).flag == "payment_reused"
    assert stripe_room.credit_minor(tenant) == 2_000


@pytest.mark.claim("A64")
def test_a64_duplicate_json_keys_under_a_good_signature_still_meet_the_order(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant, 2_000))
    genuine = stripe_room.event("checkout.session.completed")
    doubled = genuine.replace(b'"amount_total":2000', b'"amount_total":2000,"amount_total":900000')
    assert doubled != genuine
    assert stripe_room.deliver(doubled).content["outcome"] == "mismatch"
    assert stripe_room.credit_minor(tenant) == 0


@pytest.mark.claim("A64")
def test_a64_a_ten_megabyte_body_is_refused_before_it_is_verified(stripe_room: StripeRoom) -> None:
    body = b"[" * 10_000_000
    assert stripe_room.deliver(body).status == 413


def test_money_that_comes_after_the_order_was_closed_is_credited(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    expired = Notice(kind=Kind.EXPIRED, provider="stripe", mode="test", order_id=opened["order_id"])
    assert stripe_room.store.apply(to_application(expired)) == "closed"
    stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 2_000
    assert stripe_room.ledger_is_exact()


def test_a_notification_before_the_companys_own_answer_finds_its_order(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    stripe_room.database.query("update therouter.payment_order set company_order = ''")  # the answer has not arrived
    stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 2_000


@pytest.mark.claim("A63")
def test_a63_a_chargeback_after_the_credit_was_spent_goes_below_zero_and_freezes(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    stripe_room.deliver_all()
    stripe_room.admin.adjust_credit("spent", tenant.tenant_id, -15 * 10**9, "correction")
    dispute = stripe_room.state.dispute(stripe_room.order(opened["order_id"]).company_payment)
    for _ in range(3):
        stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == -1_500
    assert stripe_room.account(tenant).account_state == "frozen"
    assert stripe_room.call(tenant.key, "POST", "/payments/topups", {"amount_minor": 500}).status == 403
    stripe_room.state.win(dispute["id"])
    for _ in range(2):
        stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 500
    assert stripe_room.account(tenant).account_state == "frozen"  # a person decides
    assert stripe_room.ledger_is_exact()


@pytest.mark.claim("A63", "A64")
def test_a63_a_dispute_whose_payment_was_never_notified_credits_first_and_charges_back_then(
    stripe_room: StripeRoom,
) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    payment = stripe_room.state.get("checkout.session", stripe_room.order(opened["order_id"]).company_order)
    stripe_room.standin.outbox.clear()  # lost
    stripe_room.state.dispute(payment["payment_intent"])
    assert {answer.status for answer in stripe_room.deliver_all()} == {200}
    assert stripe_room.credit_minor(tenant) == 0
    kinds = stripe_room.database.query("select kind from therouter.entry where tenant_id is not null order by entry_id")
    assert kinds == [["topup"], ["chargeback"]]


@pytest.mark.claim("A65")
def test_a65_a_refund_whose_payment_was_never_notified_credits_first_and_refunds_then(wechat_room: WeChatRoom) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    number = opened["order_id"].replace("-", "")
    wechat_room.pay(opened)
    wechat_room.standin.outbox.clear()  # lost
    amount = {"refund": 300, "total": 880, "currency": "CNY"}
    wechat_room.state.open_refund({"out_refund_no": "by-hand-1", "out_trade_no": number, "amount": amount})
    wechat_room.state.settle_refund("by-hand-1")
    for _ in range(2):
        assert wechat_room.deliver(wechat_room.standin.outbox[-1]).status == 200
    assert wechat_room.credit_minor(tenant) == 580
    assert wechat_room.ledger_is_exact()


def test_the_end_of_a_dispute_before_its_beginning_is_sent_again_later(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    stripe_room.deliver_all()
    stripe_room.standin.outbox.clear()
    dispute = stripe_room.state.dispute(stripe_room.order(opened["order_id"]).company_payment)
    stripe_room.state.win(dispute["id"])
    backwards = [stripe_room.deliver(body) for body in reversed(stripe_room.standin.outbox)]
    assert [answer.status for answer in backwards] == [409, 409, 200, 200]
    assert {answer.status for answer in stripe_room.deliver_all()} == {200}
    assert stripe_room.credit_minor(tenant) == 2_000
    assert stripe_room.ledger_is_exact()


def test_a_refund_made_in_the_companys_console_leaves_the_balance(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    stripe_room.pay(opened)
    stripe_room.deliver_all()
    stripe_room.state.create_refund(
        {"payment_intent": stripe_room.order(opened["order_id"]).company_payment, "amount": "600"}
    )
    for _ in range(2):
        stripe_room.deliver_all()
    assert stripe_room.credit_minor(tenant) == 1_400
    assert stripe_room.order(opened["order_id"]).refunded_minor == 600


def test_notifications_of_other_kinds_are_verified_and_ignored(stripe_room: StripeRoom) -> None:
    body = msgspec.json.encode(
        {"id": "evt_1", "type": "customer.created", "livemode": False, "data": {"object": {"status": [1]}}}
    )
    assert stripe_room.deliver(body).content["outcome"] == "ignored"
    assert stripe_room.notify(body, {"stripe-signature": "t=1,v1=00"}).status == 401


def test_an_order_that_is_not_ours_changes_nothing(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant))
    foreign = _changed(stripe_room.event("checkout.session.completed"), client_reference_id="another shop's order 7")
    assert stripe_room.deliver(foreign).content["outcome"] == "unknown_order"
    assert stripe_room.credit_minor(tenant) == 0


@pytest.mark.claim("A65")
@pytest.mark.parametrize(("shift", "flag"), [(-1, "amount"), (1, "amount")])
def test_a65_another_amount_than_ordered_credits_nothing(wechat_room: WeChatRoom, shift: int, flag: str) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    wechat_room.state.amount_shift = shift
    wechat_room.pay(opened)
    assert wechat_room.deliver(wechat_room.standin.outbox[-1]).content["outcome"] == "mismatch"
    assert wechat_room.order(opened["order_id"]).flag == flag
    assert wechat_room.credit_minor(tenant) == 0


@pytest.mark.claim("A65")
@pytest.mark.parametrize("field", ["_merchant", "_application"])
def test_a65_another_merchants_or_applications_payment_credits_nothing(wechat_room: WeChatRoom, field: str) -> None:
    tenant = wechat_room.tenant()
    opened = wechat_room.open(tenant, 880)
    order = wechat_room.state.orders[opened["order_id"].replace("-", "")]
    order |= {"_merchant": {"mchid": "1900009999"}, "_application": {"appid": "wx0000000000000000"}}[field]
    wechat_room.pay(opened)
    assert wechat_room.deliver(wechat_room.standin.outbox[-1]).content["outcome"] == "mismatch"
    assert wechat_room.credit_minor(tenant) == 0


def test_values_that_no_column_could_hold_match_nothing() -> None:
    notice = Notice(
        kind=Kind.PAID,
        provider="stripe",
        mode="test",
        order_id="'; drop table x",
        tenant="x" * 500,
        amount_minor=2**80,
        company_payment="pi_" + "x" * 500,
        reference="\x00",
    )
    application = to_application(notice)
    assert application.order_id == application.tenant == str(uuid.UUID(int=0))
    assert application.amount_minor == -1
    assert application.company_payment == application.reference == "malformed"
