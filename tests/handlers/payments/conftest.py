"""The two rooms, one per region."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.database import Database
from tests.handlers.payments.rooms import StripeRoom, WeChatRoom, open_stripe_room, open_wechat_room


@pytest.fixture
def stripe_room(database: Database) -> Iterator[StripeRoom]:
    with open_stripe_room(database) as room:
        yield room


@pytest.fixture(params=[False, True], ids=["certificates", "public-key"])
def wechat_room(database: Database, request: pytest.FixtureRequest) -> Iterator[WeChatRoom]:
    with open_wechat_room(database, public_key_mode=request.param) as room:
        yield room


@pytest.fixture
def certificates_room(database: Database) -> Iterator[WeChatRoom]:
    """The china region with downloaded certificates alone."""
    with open_wechat_room(database) as room:
        yield room
