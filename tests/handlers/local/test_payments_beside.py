"""`therouter up` lets a person try a top-up."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.acceptance.cast import PLAYED
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("region", PLAYED)
def test_a_top_up_beside_the_running_system(region: str) -> None:
    root = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))  # short: a socket's path has to fit
    root.chmod(0o711)
    addresses = {"ollama": "http://127.0.0.1:9"}  # a system needs some provider; nobody calls it here
    local = LocalSystem(
        Home(root / region),
        Options(region=region, port=0, model=False, addresses=addresses, durable=False, payments=True),
    )
    try:
        local.start()
        assert local.payments is not None
        access = Access.open(local.home)
        access.ensure_tenant()
        key = access.create_key("pays")
        access.close()
        _top_up(local.payments.url, local.payments.company_url, key)
    finally:
        local.stop()
        assert local.payments is not None
        assert not any(child.running for child in local.payments.children)
        shutil.rmtree(root, ignore_errors=True)


def _top_up(url: str, company_url: str, key: str) -> None:
    with httpx.Client(headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=PATIENCE_S) as client:
        opened = client.post(f"{url}/topups", json={"amount_minor": 2_000})
        assert opened.status_code == 201, opened.text
        order = opened.json()
        page = order.get("url") or f"{company_url}/pay/{order['order_id'].replace('-', '')}"
        assert ">Pay</button>" in client.get(page).text
        client.post(page, data={"action": "pay"})
        deadline = time.monotonic() + PATIENCE_S
        while (state := client.get(f"{url}/orders/{order['order_id']}").json()["state"]) != "paid":
            assert time.monotonic() < deadline, state
            time.sleep(0.3)
