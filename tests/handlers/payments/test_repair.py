from __future__ import annotations

import pytest

from handlers.payments import function, repair
from tests.handlers.payments.rooms import StripeRoom


def test_the_schedule_repairs_a_lost_notification(stripe_room: StripeRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "room", lambda: stripe_room.room)
    tenant = stripe_room.tenant()
    stripe_room.pay(stripe_room.open(tenant, 900))
    stripe_room.age(20)
    assert repair.handler({"passes": 1}, None) == {"orders": 1, "refunds": 0, "charged": 0, "failed": 0}
    assert stripe_room.credit_minor(tenant) == 900
