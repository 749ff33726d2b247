"""Idempotency keys against the real database."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from handlers.errors import Conflict, InvalidRequest, TheRouterError, Unprocessable
from handlers.gateway.claims import Claims
from handlers.gateway.request_ids import new_request_id
from handlers.store.gateway import GatewayStore
from tests.database import Database
from tests.handlers.store.world import Tenant, make_tenant, usage_line

TOKEN = b"token-of-a-client"


class Room:
    """One tenant's claims in one process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tenant: Tenant = make_tenant(database.pool("founder"), credit_nano=10**9)
        self.store = GatewayStore(database.pool("gateway"), "pod")
        self.tasks: list[asyncio.Task[None]] = []
        self.claims = Claims(self.store, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work))

    async def take(self, name: bytes = b"name", body: bytes = b"{}", token: bytes = TOKEN) -> str:
        """The request id, or the code of the refusal."""
        request_id = new_request_id()
        try:
            await self.claims.take(self.tenant.tenant_id, token, name, body, request_id)
        except TheRouterError as error:
            return error.code
        return request_id

    async def settle(self, request_id: str, status: int) -> None:
        await self.store.settle([usage_line(self.tenant, 1, request_id=request_id, http_status=status)])
        self.claims.recorded(request_id)


@pytest.fixture
def room(database: Database) -> Room:
    return Room(database)


def test_a_claim_is_under_way_then_completed_and_knows_its_body(room: Room) -> None:
    async def scenario() -> None:
        first = await room.take()
        assert await room.take() == "in_progress"
        await room.settle(first, 200)
        assert await room.take() == "already_completed"
        assert await room.take(body=b"{ }") == "idempotency_key_reused"
        assert len(await room.take(token=b"another client's")) == 36
        assert len(await room.take(name=b"other")) == 36

    asyncio.run(scenario())


def test_a_failed_request_and_a_refused_one_are_free_again(room: Room) -> None:
    async def scenario() -> None:
        failed = await room.take()
        await room.settle(failed, 502)
        refused = await room.take()
        assert len(refused) == 36
        room.claims.refused(refused)
        await asyncio.gather(*room.tasks)
        assert len(await room.take()) == 36

    asyncio.run(scenario())


@pytest.mark.parametrize(("age", "free"), [("59 minutes", False), ("61 minutes", True)])
def test_a_request_that_nothing_was_heard_of_is_free_after_an_hour(room: Room, age: str, free: bool) -> None:
    async def scenario() -> None:
        await room.take()
        room.database.query("update therouter.request_claim set claimed_at = now() - cast(:age as interval)", age=age)
        assert (len(await room.take()) == 36) is free

    asyncio.run(scenario())


def test_claims_are_forgotten_after_a_day(room: Room) -> None:
    async def scenario() -> None:
        for n in range(5):
            await room.settle(await room.take(name=b"%d" % n), 200)
        room.database.query("update therouter.request_claim set claimed_at = now() - interval '25 hours'")
        await room.take(name=b"new")
        assert room.database.query("select count(*) from therouter.request_claim") == [[1]]

    asyncio.run(scenario())


def test_a_hundred_at_once_are_one(room: Room) -> None:
    async def scenario() -> None:
        taken = []
        for _ in range(4):
            taken += await asyncio.gather(*(room.take() for _ in range(25)))
        assert sum(len(answer) == 36 for answer in taken) == 1
        assert {answer for answer in taken if len(answer) != 36} == {"in_progress"}

    asyncio.run(scenario())


@pytest.mark.claim("C4")
def test_c4_neither_key_nor_body_is_kept_nor_a_digest_that_anybody_could_make(room: Room) -> None:
    async def scenario() -> None:
        await room.take(b"CNRY-name", b"CNRY-body", b"one")
        await room.take(b"CNRY-name", b"CNRY-body", b"two")
        rows = room.database.query("select distinct claim, body from therouter.request_claim")
        assert len(rows) == 2, "the same under two keys is not the same"
        assert b"CNRY" not in b"".join(bytes(value) for row in rows for value in row)  # type: ignore[call-overload]

    asyncio.run(scenario())


@pytest.mark.parametrize("name", [b"", b"a b", b"x" * 256, "ü".encode(), b"a\tb"])
def test_what_is_no_key_is_refused(room: Room, name: bytes) -> None:
    with pytest.raises(InvalidRequest):
        asyncio.run(room.claims.take(room.tenant.tenant_id, TOKEN, name, b"", new_request_id()))


def test_a_refusal_names_the_request_that_has_the_claim(room: Room) -> None:
    async def scenario() -> None:
        first = await room.take()
        with pytest.raises(Conflict) as conflict:
            await room.claims.take(room.tenant.tenant_id, TOKEN, b"name", b"{}", new_request_id())
        assert (conflict.value.detail, conflict.value.retry_after_s) == ({"request_id": first}, 1)
        with pytest.raises(Unprocessable) as other:
            await room.claims.take(room.tenant.tenant_id, TOKEN, b"name", b"[]", new_request_id())
        assert other.value.detail == {"request_id": first}

    asyncio.run(scenario())
