from __future__ import annotations

from tests.handlers.payments.rooms import StripeRoom, WeChatRoom


def test_a_checkout_that_is_paid_credits_the_tenant(stripe_room: StripeRoom) -> None:
    tenant = stripe_room.tenant()
    opened = stripe_room.open(tenant, 2_000)
    assert opened["url"].startswith(stripe_room.standin.url)
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
    wechat_room.pay(opened)
    assert wechat_room.deliver(wechat_room.standin.outbox[-1]).status == 200
    assert wechat_room.credit_minor(tenant) == 500
    assert wechat_room.ledger_is_exact()
