"""Rotation under traffic: new secrets and one SIGHUP, and no request fails."""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import time

import boto3
import httpx
import msgspec
import pytest

from handlers.keys.grammar import MintKeys, generate_key
from handlers.local.system import DATABASE
from handlers.store.migrate import set_passwords
from tests.system import RunningSystem, running_system

CLOSED = "http://127.0.0.1:9/v1"


def replace(system: RunningSystem, name: str, value: str) -> None:
    """A new value in the secret store, as an operator puts it there."""
    assert system.local.aws is not None
    (system.local.home.secrets / name).write_text(value)
    store = boto3.client(
        "secretsmanager",
        endpoint_url=system.local.aws.url,
        region_name="us-east-2",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    store.put_secret_value(SecretId=f"therouter/local/{name}", SecretString=value)


@pytest.mark.claim("C16", "C63")
def test_mint_key_and_database_password_change_while_requests_go_on() -> None:
    with running_system({"openai": CLOSED}) as system:
        old = system.new_key()
        folder = system.local.home.secrets
        held = msgspec.json.decode((folder / "keys/mint").read_bytes())
        held["keys"]["2"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        held["newest"] = "2"
        password = secrets.token_urlsafe(32)
        replace(system, "keys/mint", msgspec.json.encode(held).decode())
        replace(system, "database/gateway", password)
        statuses: list[int] = []

        async def ask_until(done: asyncio.Event) -> None:
            async with httpx.AsyncClient(trust_env=False, headers={"authorization": f"Bearer {old}"}) as client:
                while not done.is_set():
                    statuses.append((await client.get(f"{system.url}/v1/key")).status_code)

        async def rotate() -> None:
            done = asyncio.Event()
            asking = asyncio.create_task(ask_until(done))
            await asyncio.sleep(0.3)
            set_passwords(system.local.postgres.superuser(DATABASE), {"gateway": password})
            assert system.local.gateway.process is not None
            system.local.gateway.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(1.0)
            done.set()
            await asking

        asyncio.run(rotate())
        assert set(statuses) == {200}
        assert len(statuses) > 20
        newly = system.new_key()
        assert newly[7] == "2"
        deadline = time.monotonic() + 3
        headers = {"authorization": f"Bearer {newly}"}
        while httpx.get(f"{system.url}/v1/key", headers=headers, trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
        assert generate_key("global", "local", MintKeys.parse(msgspec.json.encode(held))).token[7] == "2"
