"""The stand-in, driven by `wechatpayv3`, in both modes of trust; it believes no request that is not signed for it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from handlers.local.payments_http import LoopbackServer, Reply, Request
from handlers.local.payments_wechat_crypto import new_key, new_platform, private_pem
from handlers.local.wechat_standin import Account, WeChatStandIn, keep_account, make_account
from handlers.payments.credentials import WeChatSecrets
from handlers.payments.wechat_company import _Client
from tests.waiting import PATIENCE_S, until

ACCOUNTS = {mode: make_account(public_key_mode=mode) for mode in (False, True)}


@pytest.fixture(params=[False, True], ids=["certificates", "public-key"])
def account(request: pytest.FixtureRequest) -> Account:
    return ACCOUNTS[request.param]


@pytest.fixture
def standin(account: Account) -> Iterator[WeChatStandIn]:
    standin = WeChatStandIn(account)
    standin.start()
    yield standin
    standin.close()


def _client(account: Account, standin: WeChatStandIn, **changes: str) -> Any:
    secrets = WeChatSecrets(**{**account.secrets._asdict(), **changes})
    return _Client(secrets, base_url=standin.url, notify_url="https://example.com/hook")


@pytest.fixture
def client(account: Account, standin: WeChatStandIn) -> Any:
    return _client(account, standin)


def _order(client: Any, number: str, total: int = 880, **more: Any) -> tuple[int, dict[str, Any]]:
    status, content = client.pay(
        description="Credit", out_trade_no=number, amount={"total": total, "currency": "CNY"}, attach="tenant", **more
    )
    return status, msgspec.json.decode(content)


def _ask(client: Any, number: str) -> dict[str, Any]:
    status, content = client.query(out_trade_no=number)
    assert status == 200
    found: dict[str, Any] = msgspec.json.decode(content)
    return found


def test_an_order_from_its_code_to_its_refund(standin: WeChatStandIn, client: Any) -> None:
    number = uuid.uuid4().hex
    status, opened = _order(client, number)
    assert (status, opened["code_url"][:33]) == (200, "weixin://wxpay/bizpayurl?pr=" + opened["code_url"][28:33])
    assert _ask(client, number)["trade_state"] == "NOTPAY"
    assert "8.80 CNY" in httpx.get(f"{standin.url}/pay/{number}", timeout=PATIENCE_S).text
    assert number in httpx.get(standin.url, timeout=PATIENCE_S).text
    assert "Paid." in httpx.post(f"{standin.url}/pay/{number}", data={"action": "pay"}, timeout=PATIENCE_S).text
    paid = _ask(client, number)
    assert (paid["trade_state"], paid["amount"]["payer_total"], paid["attach"]) == ("SUCCESS", 880, "tenant")
    amount = {"refund": 300, "total": 880, "currency": "CNY"}
    status, content = client.refund(out_refund_no="refund-1", out_trade_no=number, amount=amount)
    assert (status, msgspec.json.decode(content)["status"]) == (200, "PROCESSING")
    assert msgspec.json.decode(client.query_refund(out_refund_no="refund-1")[1])["status"] == "SUCCESS"
    told = [client.callback(standin.sign(body), body) for body in standin.outbox]
    assert [event["event_type"] for event in told] == ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"]
    assert told[0]["resource"]["amount"]["total"] == 880
    assert told[1]["resource"]["amount"]["refund"] == 300


def test_orders_are_idempotent_and_do_not_change(standin: WeChatStandIn, client: Any) -> None:
    number = uuid.uuid4().hex
    first = _order(client, number)
    assert _order(client, number) == first
    assert _order(client, number, total=881)[0] == 403
    standin.state.pay(number)
    assert _order(client, number)[1]["code"] == "ORDERPAID"


def test_a_closed_order_is_not_paid_and_a_paid_one_not_closed(standin: WeChatStandIn, client: Any) -> None:
    number = uuid.uuid4().hex
    _order(client, number)
    assert client.close(out_trade_no=number)[0] == 204
    assert _ask(client, number)["trade_state"] == "CLOSED"
    with pytest.raises(Exception, match="ORDERPAID"):
        standin.state.pay(number)
    other = uuid.uuid4().hex
    _order(client, other)
    standin.state.pay(other)
    assert client.close(out_trade_no=other)[0] == 400


def test_an_order_ends_at_its_time(client: Any) -> None:
    number = uuid.uuid4().hex
    _order(client, number, time_expire="2026-01-01T00:00:00+08:00")
    assert _ask(client, number)["trade_state"] == "CLOSED"


@pytest.mark.parametrize(
    ("refund", "total", "status"), [(881, 880, 400), (0, 880, 400), (880, 881, 400), (880, 880, 200)]
)
def test_refunds_end_where_the_payment_ends(
    standin: WeChatStandIn, client: Any, refund: int, total: int, status: int
) -> None:
    number = uuid.uuid4().hex
    _order(client, number)
    amount = {"refund": refund, "total": total, "currency": "CNY"}
    assert client.refund(out_refund_no="refund-1", out_trade_no=number, amount=amount)[0] == 400  # not paid
    standin.state.pay(number)
    assert client.refund(out_refund_no="refund-1", out_trade_no=number, amount=amount)[0] == status
    again = client.refund(out_refund_no="refund-1", out_trade_no=number, amount=amount)
    assert again[0] == status
    more = {"refund": 1, "total": 880, "currency": "CNY"}
    assert client.refund(out_refund_no="refund-2", out_trade_no=number, amount=more)[0] == (
        400 if status == 200 else 200
    )


def test_unknown_orders_and_refunds(client: Any) -> None:
    assert client.query(out_trade_no="unknown-order")[0] == 404
    assert client.close(out_trade_no="unknown-order")[0] == 404
    assert client.query_refund(out_refund_no="unknown")[0] == 404


def test_every_request_must_be_signed_for_this_very_request(account: Account, standin: WeChatStandIn) -> None:
    public = {"public_key_id": "PUB_KEY_ID_1", "public_key": ACCOUNTS[True].secrets.public_key}
    for changes in (
        {"private_key": private_pem(new_key())},
        {"merchant": "1900000000"},
        {"certificate_serial": "AB" * 20},
    ):
        stranger = _client(account, standin, **public, **changes)
        assert stranger.query(out_trade_no="unknown-order")[0] == 401
    assert httpx.get(f"{standin.url}/v3/certificates", timeout=PATIENCE_S).status_code == 401


def test_a_signed_request_counts_once(account: Account, standin: WeChatStandIn) -> None:
    recorded: list[Request] = []
    genuine = standin.answer

    def record(request: Request) -> Reply:
        recorded.append(request)
        return genuine(request)

    proxy = LoopbackServer(record)
    proxy.start()
    secrets = WeChatSecrets(**account.secrets._asdict())
    client = _Client(secrets, base_url=proxy.url, notify_url="https://example.com/hook")
    number = uuid.uuid4().hex
    _order(client, number)
    proxy.close()
    request = recorded[-1]
    assert genuine(request).status == 401
    for changed in (
        request._replace(body=request.body.replace(b"880", b"1")),
        request._replace(target=request.target + "?x=1"),
        request._replace(method="PUT"),
    ):
        assert genuine(changed).status == 401


def test_certificates_are_sealed_and_a_rotated_one_is_listed() -> None:
    account = ACCOUNTS[False]
    standin = WeChatStandIn(account)
    standin.start()
    try:
        client = _client(account, standin)
        standin.rotate()
        assert client.core.knows(standin.platforms[0].serial)
        assert not client.core.knows(standin.identity.serial)
        assert _client(account, standin).core.knows(standin.identity.serial)
        other_key = "".join(reversed(account.secrets.api_v3_key))
        with pytest.raises(Exception, match="certificate"):
            _client(account, standin, api_v3_key=other_key)
    finally:
        standin.close()


def test_the_library_believes_nobody_else(standin: WeChatStandIn, client: Any) -> None:
    number = uuid.uuid4().hex
    _order(client, number)
    standin.state.pay(number)
    (body,) = standin.outbox
    stranger = new_platform()._replace(serial=standin.identity.serial)
    assert client.callback(stranger.sign(body, int(time.time())), body) is None
    assert client.callback(standin.sign(body), body + b" ") is None


def test_as_a_process_it_delivers_signed_notifications(tmp_path: Path) -> None:
    taken: list[Request] = []

    def take(request: Request) -> Reply:
        taken.append(request)
        return Reply(204)

    receiver = LoopbackServer(take)
    receiver.start()
    secrets = tmp_path / "wechat"
    command = [sys.executable, "-m", "handlers.local.wechat_standin", "--port", "0", "--secrets", str(secrets)]
    process = subprocess.Popen(
        [*command, "--notify", f"{receiver.url}/hook", "--fault", "replay"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        account = keep_account(secrets, public_key_mode=False)
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
        client = _Client(
            WeChatSecrets(**account.secrets._asdict()), base_url=url, notify_url="https://example.com/hook"
        )
        number = uuid.uuid4().hex
        _order(client, number)
        httpx.post(f"{url}/pay/{number}", data={"action": "pay"}, timeout=PATIENCE_S)
        until(lambda: len(taken) >= 5)
        events = [client.callback(r.headers, r.body) for r in taken]
        assert len(events) == 5
        assert {event["resource"]["out_trade_no"] for event in events} == {number}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout is not None
        process.stdout.close()
        receiver.close()
