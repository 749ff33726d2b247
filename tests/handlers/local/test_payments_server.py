"""A person tries a top-up on one machine: three processes and a database, one click, nothing made up."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import hash_secret
from handlers.local.postgres import free_port
from handlers.local.processes import plain_environment
from handlers.store.admin import AdminStore
from tests.database import Database
from tests.waiting import PATIENCE_S

MINT = b'{"newest":"1","keys":{"1":"' + b"A" * 42 + b'8"}}'


@contextmanager
def _process(module: str, *arguments: str, variables: dict[str, str]) -> Iterator[str]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain_environment(variables)) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0


def _variables(database: Database, secrets: Path, region: str, **more: str) -> dict[str, str]:
    dsn = database.dsn("payments")
    for name, content in {
        "origin.json": msgspec.json.encode({"region": region, "environment": "local"}),
        "keys/mint": MINT,
        "database/payments": dsn.password.encode(),
        "restore/epoch": b"0",
    }.items():
        path = secrets / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
    return {
        "THEROUTER_REGION": region,
        "THEROUTER_CLOUD": "local",
        "THEROUTER_ENVIRONMENT": "local",
        "THEROUTER_SECRETS": str(secrets),
        "THEROUTER_DATABASE_HOST": dsn.socket_dir,
        "THEROUTER_DATABASE_PORT": str(dsn.port),
        "THEROUTER_DATABASE_NAME": dsn.database,
        "THEROUTER_DATABASE_ROLE": "payments",
        **more,
    }


def _tenant(database: Database, region: str) -> tuple[str, str]:
    admin = AdminStore(database.pool("founder"))
    tenant, user = str(uuid.uuid4()), str(uuid.uuid4())
    admin.create_tenant(tenant, "Example")
    admin.create_user(user, tenant, "person@example.com", "owner")
    minted = generate_key(region, "local", MintKeys.parse(MINT))
    admin.create_key(minted.key_id, tenant, user, "first", hash_secret(minted.secret, cost=4))
    return tenant, minted.token


def _credit_nano(database: Database, tenant: str) -> object:
    return database.query("select balance_nano from therouter.account where tenant_id = :t", t=tenant)[0][0]


def _await_paid(client: httpx.Client, url: str) -> str:
    """What a waiting customer's page does: look every second. Looking repairs a lost notification too."""
    deadline = time.monotonic() + PATIENCE_S
    state = ""
    while state != "paid" and time.monotonic() < deadline:
        state = client.get(url).json()["state"]
        time.sleep(0.5)
    return state


@pytest.mark.parametrize(
    ("region", "company", "fault"),
    [("global", "stripe", "none"), ("china", "wechat", "none"), ("global", "stripe", "lost")],
)
def test_a_top_up_on_one_machine(tmp_path: Path, database: Database, region: str, company: str, fault: str) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    notify = ("--notify", f"{url}/payments/webhooks/{company}", "--fault", fault)
    file = tmp_path / "payments" / company
    with ExitStack() as stack:
        standin = stack.enter_context(
            _process(f"handlers.local.{company}_standin", "--port", "0", "--secrets", str(file), *notify, variables={})
        )
        variables = _variables(database, tmp_path, region, THEROUTER_BASE_URL=standin, THEROUTER_PUBLIC_URL=url)
        stack.enter_context(_process("handlers.local.payments_server", "--port", str(port), variables=variables))
        tenant, key = _tenant(database, region)
        client = stack.enter_context(
            httpx.Client(headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=PATIENCE_S)
        )
        opened = client.post(f"{url}/payments/topups", json={"amount_minor": 2_500})
        assert opened.status_code == 201, opened.text
        order = opened.json()
        page = order.get("url") or f"{standin}/pay/{order['order_id'].replace('-', '')}"
        assert "25.00" in client.get(page).text
        client.post(page, data={"action": "pay"})
        assert _await_paid(client, f"{url}/payments/orders/{order['order_id']}") == "paid"
        assert _credit_nano(database, tenant) == 25 * 10**9
