"""Rotation under traffic: new secrets and one SIGHUP, and no request fails."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from handlers.local.rotation import next_version, renew_secrets, replace_secret
from tests.system import running_system

CLOSED = "http://127.0.0.1:9/v1"


@pytest.mark.claim("C16", "C63")
def test_mint_key_and_database_password_change_while_requests_go_on() -> None:
    with running_system({"openai": CLOSED}) as system:
        old = system.new_key()
        folder = system.local.home.secrets
        for name in ("keys/mint", "seal/openai", "database/gateway", "database/admin", "database/operations"):
            replace_secret(folder, name, next_version(folder, name))
        statuses: list[int] = []

        async def ask_until(done: asyncio.Event) -> None:
            async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {old}"}) as client:
                while not done.is_set():
                    statuses.append((await client.get(f"{system.url}/v1/key")).status_code)

        async def rotate() -> None:
            done = asyncio.Event()
            asking = asyncio.create_task(ask_until(done))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(renew_secrets, system.local)
            await asyncio.sleep(1.0)
            done.set()
            await asking

        asyncio.run(rotate())
        assert set(statuses) == {200}
        assert len(statuses) > 20
        newly = system.new_key()  # over a connection from before, as all that are open
        assert newly[7] == "2"
        deadline = time.monotonic() + 3
        headers = {"authorization": f"Bearer {newly}"}
        while httpx.get(f"{system.url}/v1/key", headers=headers, trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
