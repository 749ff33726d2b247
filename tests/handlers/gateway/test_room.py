"""The room as a whole: what its two listeners serve, to whom."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from handlers.catalog.loading import load_catalog
from handlers.gateway.room import Gateway, decimal
from handlers.gateway.spool import Spool
from handlers.keys.grammar import MintKeys
from handlers.keys.hashing import BcryptPool
from handlers.keys.verification import KeyVerifier
from handlers.store.gateway import GatewayStore
from handlers.telemetry.logs import Level, Log
from tests.database import Database


def gateway_over(database: Database, spool: Path) -> Gateway:
    store = GatewayStore(database.pool("gateway"), pod="test")
    return Gateway(
        catalog=load_catalog("global", enabled=frozenset({"openai"})),
        enabled=frozenset({"openai"}),
        store=store,
        verifier=KeyVerifier(
            find_key=store.find_key,
            bcrypt_pool=BcryptPool(),
            mint_keys=MintKeys({"1": os.urandom(32)}, "1"),
            region="global",
            environment="local",
        ),
        wire_keys={},
        pods={},
        spool=Spool(spool),
        log=Log(Level.ERROR),
    )


@asynccontextmanager
async def serving(database: Database, spool: Path, *addresses: str) -> AsyncIterator[tuple[Gateway, str]]:
    """(a room that has heard from its database, where it listens); stopped however the test ends."""
    room = gateway_over(database, spool)
    try:
        public = await room.start(*addresses)
        await room.revocation.poll()  # it asks by itself a moment later
        yield room, public
    finally:
        await room.stop(0.1)


@pytest.mark.from_source
@pytest.mark.claim("C18")
def test_metrics_are_for_this_machine_and_the_operators_listener(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        async with (
            serving(database, tmp_path / "spool", "127.0.0.1:0", "127.0.0.1:0") as (room, public),
            httpx.AsyncClient() as client,
        ):
            operator = room.operator_address
            assert (await client.get(f"http://{public}/metrics")).status_code == 200
            monkeypatch.setattr(room, "is_local", lambda _: False)
            assert (await client.get(f"http://{public}/metrics")).status_code == 404
            assert (await client.get(f"http://{operator}/metrics")).status_code == 200
            assert (await client.get(f"http://{operator}/healthz")).status_code == 200
            assert (await client.get(f"http://{operator}/readyz")).status_code == 200
            for path in ("/v1/models", "/v1/key"):
                assert (await client.get(f"http://{operator}{path}")).status_code == 404
            assert (await client.post(f"http://{operator}/v1/chat/completions", json={})).status_code == 404

    asyncio.run(scene())


def test_a_draining_room_is_not_ready(database: Database, tmp_path: Path) -> None:
    async def scene() -> None:
        async with serving(database, tmp_path / "spool", "127.0.0.1:0") as (room, _):
            assert room.not_ready() == []
            room.draining = True
            assert room.not_ready() == ["draining"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("nano", "said"),
    [
        (-1, "0.000000000"),
        (0, "0.000000000"),
        (1, "0.000000001"),
        (999_999_999, "0.999999999"),
        (10**9, "1.000000000"),
        (1_234_567_890_123_456_789, "1234567890.123456789"),
    ],
)
def test_an_amount_is_said_exactly(nano: int, said: str) -> None:
    assert decimal(nano) == said
