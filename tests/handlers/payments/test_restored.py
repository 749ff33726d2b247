"""While the database is one that was put back nobody is served, and what the companies tell us is neither taken nor lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from handlers.errors import Unavailable
from handlers.payments import function
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from handlers.store.restoration import LOOK_S
from tests.database import Database
from tests.handlers.payments.rooms import StripeRoom, WeChatRoom, alb_event, open_stripe_room, open_wechat_room


def put_back(room: StripeRoom | WeChatRoom) -> None:
    room.room.gate.announce(1)


def replay(room: StripeRoom | WeChatRoom) -> None:
    """What the restore procedure does at its end; the gate looks again when its last look is old."""
    OperationsStore(room.database.pool("operations")).reopen(1, 0)
    room.room.gate._look_at = 0.0  # instead of waiting a second


@pytest.mark.claim("C10")
def test_nobody_is_told_that_a_key_is_wrong(database: Database) -> None:
    with open_stripe_room(database) as room:
        tenant = room.tenant()
        assert room.call(tenant.key, "GET", "/payments/orders").status == 200
        put_back(room)
        for key in (tenant.key, tenant.limited_key, "sk-tr-nonsense", ""):
            for method, path in (
                ("GET", "/payments/orders"),
                ("POST", "/payments/topups"),
                ("PUT", "/payments/automatic"),
            ):
                answer = room.call(key, method, path, {})
                assert (answer.status, answer.headers["retry-after"]) == (503, "5"), (key[:8], path)
        replay(room)
        assert room.call(tenant.key, "GET", "/payments/orders").status == 200
        assert room.call("sk-tr-nonsense", "GET", "/payments/orders").status == 401


@pytest.mark.claim("C10", "A64")
@pytest.mark.parametrize("opened_room", [open_stripe_room, open_wechat_room])
def test_the_company_is_asked_to_come_again_and_the_payment_is_credited_once(
    database: Database, opened_room: Callable[[Database], AbstractContextManager[StripeRoom | WeChatRoom]]
) -> None:
    with opened_room(database) as room:
        tenant = room.tenant()
        opened = room.open(tenant)
        put_back(room)
        room.pay(opened)
        assert {answer.status for answer in room.deliver_all()} == {503}
        assert room.deliver(b"{}").status == 503, "forged or not"
        assert room.credit_minor(tenant) == 0
        replay(room)
        for _ in range(2):
            assert {answer.status for answer in room.deliver_all()} == {200}
        assert room.credit_minor(tenant) == 2_000
        assert room.ledger_is_exact()


def test_the_schedule_charges_for_nothing_that_may_have_been_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_stripe_room(database) as room:
        monkeypatch.setattr(function, "room", lambda: room.room)
        put_back(room)
        for task in ("repair", "reconcile"):
            with pytest.raises(Unavailable):
                function.handler({"task": task, "passes": 1}, None)
        assert function.handler(alb_event("GET", "/payments/return"), None)["statusCode"] == 200
        replay(room)
        assert function.handler({"task": "repair", "passes": 1}, None)["failed"] == 0


@pytest.mark.claim("A15")
def test_a_key_that_is_revoked_is_refused_here_too_although_it_was_verified_a_moment_ago(database: Database) -> None:
    with open_stripe_room(database) as room:
        tenant = room.tenant()
        assert room.call(tenant.limited_key, "GET", "/payments/orders").status == 200
        key_id = tenant.limited_key[9:25]
        assert asyncio.run(GatewayStore(database.pool("gateway"), "pod").find_key(key_id)) is not None
        AdminStore(database.pool("founder")).revoke_key(tenant.tenant_id, key_id)
        room.room.gate._look_at = 0.0  # LOOK_S later
        assert LOOK_S <= 5, "seconds that are promised"
        assert room.call(tenant.limited_key, "GET", "/payments/orders").status == 401
        assert room.call(tenant.key, "GET", "/payments/orders").status == 200
