"""Every notification of both payment companies, whatever happens on its way: what was paid is credited exactly once.

{a hundred times over eight threads, in any order, three days late, lost} x what may happen to a payment x both companies, WeChat Pay
in both of its modes of trust. A notification that is lost is made up for by our own questions, or the nightly comparison.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.payments.rooms import DAY_S, StripeRoom, Tenant, WeChatRoom, open_stripe_room, open_wechat_room

PAID, BACK = 2_000, 600
TIMES = 100
Room = StripeRoom | WeChatRoom


def refund(room: Room, tenant: Tenant, order_id: str) -> None:
    """The customer asks for some of it back."""
    path = f"/payments/orders/{order_id}/refunds"
    assert room.call(tenant.key, "POST", path, {"amount_minor": BACK}).status == 201


def pay(room: Room, tenant: Tenant, _fate: Callable[[], None]) -> str:
    opened = room.open(tenant, PAID)
    room.pay(opened)
    return str(opened["order_id"])


def pay_and_refund(room: Room, tenant: Tenant, fate: Callable[[], None]) -> str:
    order_id = pay(room, tenant, fate)
    fate()
    refund(room, tenant, order_id)
    return order_id


def pay_and_refund_by_hand(room: Room, tenant: Tenant, fate: Callable[[], None]) -> str:
    """In the company's own console."""
    order_id = pay(room, tenant, fate)
    if isinstance(room, StripeRoom):
        session = room.state.get("checkout.session", room.order(order_id).company_order)
        room.state.create_refund({"payment_intent": session["payment_intent"], "amount": str(BACK)})
    else:
        amount = {"refund": BACK, "total": PAID, "currency": "CNY"}
        number = order_id.replace("-", "")
        room.state.open_refund({"out_refund_no": "by-hand-1", "out_trade_no": number, "amount": amount})
        room.state.settle_refund("by-hand-1")
    return order_id


def pay_and_dispute(room: Room, tenant: Tenant, fate: Callable[[], None]) -> str:
    assert isinstance(room, StripeRoom)
    order_id = pay(room, tenant, fate)
    session = room.state.get("checkout.session", room.order(order_id).company_order)
    room.state.dispute(session["payment_intent"])
    return order_id


def pay_dispute_and_win(room: Room, tenant: Tenant, fate: Callable[[], None]) -> str:
    assert isinstance(room, StripeRoom)
    order_id = pay(room, tenant, fate)
    session = room.state.get("checkout.session", room.order(order_id).company_order)
    room.state.win(room.state.dispute(session["payment_intent"])["id"])
    return order_id


STORIES: dict[Callable[[Room, Tenant, Callable[[], None]], str], int] = {
    pay: PAID,
    pay_and_refund: PAID - BACK,
    pay_and_refund_by_hand: PAID - BACK,
    pay_and_dispute: 0,
    pay_dispute_and_win: PAID,
}
OF_WECHAT = (pay, pay_and_refund, pay_and_refund_by_hand)
COMPANIES: dict[str, Callable[[Database], AbstractContextManager[Room]]] = {
    "stripe": open_stripe_room,
    "wechat, certificates": open_wechat_room,
    "wechat, public key": lambda database: open_wechat_room(database, public_key_mode=True),
}


def a_hundred_times(room: Room) -> None:
    storm = [body for body in room.standin.outbox for _ in range(TIMES)]
    random.Random(len(storm)).shuffle(storm)
    with ThreadPoolExecutor(8) as threads:
        answers = Counter(answer.status for answer in threads.map(room.deliver, storm))
    # 409: about something that is not known yet; 503: the pool's queue was full. Both are sent again.
    assert answers.keys() <= {200, 409, 503}, answers
    in_order(room)


def in_order(room: Room) -> None:
    """As the company does: again and again until each is taken."""
    for _ in range(4):
        answers = [room.deliver(body).status for body in room.standin.outbox]
    assert set(answers) <= {200}, answers


def in_any_order(room: Room) -> None:
    for seed in range(12):
        bodies = list(room.standin.outbox)
        random.Random(seed).shuffle(bodies)
        assert {room.deliver(body).status for body in bodies} <= {200, 409}
    in_order(room)


def three_days_late(room: Room) -> None:
    sent_at_s = room.clock()
    room.clock.ahead_s += 3 * DAY_S
    answers = {room.deliver(body, at_s=sent_at_s).status for body in room.standin.outbox}
    assert answers <= {401}, "signed then, it is a replay"
    in_order(room)


def lost(room: Room) -> None:
    room.standin.outbox.clear()
    for _ in range(3):
        room.age(20)
        room.room.questions.run()
    room.room.reconciliation.run(dt.datetime.now(dt.UTC).date().isoformat())


FATES = {fate.__name__: fate for fate in (a_hundred_times, in_any_order, three_days_late, lost)}
LOST_FOR_GOOD = frozenset({pay_and_refund_by_hand, pay_and_dispute, pay_dispute_and_win})
"""What a company does by itself and never tells leaves what was paid: nobody can ask about it. People see it in its console."""


CELLS = [
    pytest.param(company, fate, story, id=f"{company}-{fate}-{story.__name__}")
    for company in COMPANIES
    for fate in FATES
    for story in STORIES
    if company == "stripe" or story in OF_WECHAT
]


@pytest.mark.claim("A64", "A65", "A63", "C54")
@pytest.mark.parametrize(("company", "fate", "story"), CELLS)
def test_a64_each_notification_whatever_its_fate_credits_exactly_once(
    database: Database, company: str, fate: str, story: Callable[[Room, Tenant, Callable[[], None]], str]
) -> None:
    with COMPANIES[company](database) as room:
        tenant = room.tenant()
        order_id = story(room, tenant, lambda: FATES[fate](room))
        FATES[fate](room)
        expected = PAID if fate == "lost" and story in LOST_FOR_GOOD else STORIES[story]
        assert room.credit_minor(tenant) == expected
        assert room.order(order_id).flag == ""
        booked = Counter(row.kind for row in room.admin.credit_movements(tenant.tenant_id))
        assert booked["topup"] == 1 + (story is pay_dispute_and_win and fate != "lost")
        assert room.ledger_is_exact()
        sums = OperationsStore(database.pool("operations")).reconcile()
        assert [row.rule for row in sums if row.difference] == []
