"""A WeChat Pay of our own: `python -m handlers.local.wechat_standin --port 12112 --secrets FILE --notify URL`.

It checks the signature of every request, signs every answer, seals its platform certificates and its notifications with the
APIv3 key, and has a page with a "Pay" button for each open order. `wechatpayv3` is its client. FILE (0600) holds the merchant's
secrets, in the form in which the payments room reads them, and FILE.company.pem the company's own key; both are made when
they are missing.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from handlers.local.payments_courier import Courier, Fault
from handlers.local.payments_http import LoopbackServer, Reply, Request, json_reply
from handlers.local.payments_pages import payment_page
from handlers.local.payments_wechat_crypto import (
    Platform,
    RequestGuard,
    certificate_row,
    new_key,
    new_platform,
    private_pem,
    public_pem,
)
from handlers.local.payments_wechat_state import Body, Refused, WeChatState


class Secrets(NamedTuple):
    """What a merchant has; the fields of the payments room's secret."""

    merchant: str
    application: str
    api_v3_key: str
    private_key: str
    certificate_serial: str
    public_key_id: str = ""
    public_key: str = ""


class Account(NamedTuple):
    """A merchant's secrets, and the company's key that answers to them."""

    secrets: Secrets
    platform_key: RSAPrivateKey


def make_account(*, public_key_mode: bool = False) -> Account:
    """A fresh merchant, in one of the two modes of trust."""
    platform_key = new_key()
    merchant = Secrets(
        merchant=f"19{secrets.randbelow(10**8):08d}",
        application=f"wx{secrets.token_hex(8)}",
        api_v3_key=secrets.token_hex(16),
        private_key=private_pem(new_key()),
        certificate_serial=secrets.token_hex(20).upper(),
    )
    if public_key_mode:
        merchant = merchant._replace(
            public_key_id=f"PUB_KEY_ID_01{secrets.token_hex(15)}", public_key=public_pem(platform_key.public_key())
        )
    return Account(merchant, platform_key)


class WeChatStandIn:
    """The server; `state` is the account behind it.

    Args:
        account: the merchant, and the company's key.
        notify_url: where notifications go; empty: they are only kept, in `outbox`.
        fault: what the courier does wrong.
        clock: Unix seconds.
    """

    def __init__(
        self,
        account: Account,
        *,
        port: int = 0,
        notify_url: str = "",
        fault: Fault = Fault.NONE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        merchant = account.secrets
        self.secrets = merchant
        self.outbox: list[bytes] = []
        self.state = WeChatState(merchant.merchant, merchant.application, merchant.api_v3_key, self._publish, clock)
        self.state.amount_shift = -1 if fault is Fault.WRONG_AMOUNT else 0
        self.platforms = [new_platform(account.platform_key)]
        self.certificate_downloads = 0
        self.settles_at_once = True
        """Banks answer refunds as soon as they are asked; False: when `state.settle_refund` says so."""
        self._clock = clock
        key = load_pem_private_key(merchant.private_key.encode(), None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError("a merchant's key is RSA")
        self._guard = RequestGuard(merchant.merchant, merchant.certificate_serial, key.public_key())
        self._courier = Courier(notify_url, self.sign, fault)
        self._server = LoopbackServer(self.answer, port)
        self.url = self._server.url

    def start(self) -> None:
        """Serve in the background."""
        self._server.start()

    def close(self) -> None:
        """Stop."""
        self._server.close()
        self._courier.close()

    @property
    def identity(self) -> Platform:
        """Whom the company signs as: its public key's id, or its newest certificate."""
        newest = self.platforms[-1]
        return newest._replace(serial=self.secrets.public_key_id) if self.secrets.public_key_id else newest

    def rotate(self) -> None:
        """Sign with a new platform certificate from now on; the old one stays listed."""
        self.platforms.append(new_platform())

    def sign(self, body: bytes, at_s: float | None = None) -> dict[str, str]:
        """The headers of a notification sent now, or at another time."""
        return self.identity.sign(body, int(self._clock() if at_s is None else at_s))

    def answer(self, request: Request) -> Reply:
        """One request: a page, or an API call; API answers are signed."""
        if not request.path.startswith("/v3/"):
            return self._page(request)
        reply = self._call(request)
        if reply.status == 200 and request.path == "/v3/refund/domestic/refunds":
            self._settle(msgspec.json.decode(reply.body)["out_refund_no"])
        return reply._replace(headers=self.sign(reply.body))

    def _settle(self, number: str) -> None:
        if self.settles_at_once and self.state.refunds[number]["status"] == "PROCESSING":
            self.state.settle_refund(number)

    def _publish(self, body: bytes) -> None:
        self.outbox.append(body)
        self._courier.send(body)

    def _call(self, request: Request) -> Reply:
        authorization = request.headers.get("authorization", "")
        if not self._guard.admits(authorization, request.method, request.target, request.body, self._clock()):
            return json_reply(401, {"code": "SIGN_ERROR", "message": "the signature is wrong, stale or used"})
        try:
            return self._route(request)
        except Refused as refused:
            return json_reply(refused.status, refused.body)

    def _route(self, request: Request) -> Reply:
        trade = re.fullmatch(r"/v3/pay/transactions/out-trade-no/([^/]+)(/close)?", request.path)
        refund = re.fullmatch(r"/v3/refund/domestic/refunds/([^/]+)", request.path)
        params: Body = msgspec.json.decode(request.body, type=Body) if request.body else {}
        match request.method, request.path:
            case "GET", "/v3/certificates":
                self.certificate_downloads += 1
                rows = [certificate_row(platform, self.secrets.api_v3_key) for platform in self.platforms]
                return json_reply(200, {"data": rows})
            case "GET", "/v3/bill/tradebill":
                return self._announce_bill(dict(request.query)["bill_date"])
            case "GET", "/v3/billdownload/file":
                packed = gzip.compress(self.state.trade_bill(dict(request.query)["token"]))
                return Reply(200, packed, "application/octet-stream")
            case "POST", "/v3/pay/transactions/native":
                return json_reply(200, self.state.open_native(params))
            case "POST", "/v3/refund/domestic/refunds":
                return json_reply(200, self.state.open_refund(params))
            case "GET", _ if refund:
                return json_reply(200, self.state.query_refund(refund[1]))
            case "GET", _ if trade and not trade[2]:
                if dict(request.query).get("mchid") != self.secrets.merchant:
                    raise Refused(400, "PARAM_ERROR", "mchid")
                return json_reply(200, self.state.query(trade[1]))
            case "POST", _ if trade and trade[2]:
                self.state.close(trade[1])
                return Reply(204)
            case _:
                raise Refused(404, "NOT_FOUND", "no such call")

    def _announce_bill(self, day: str) -> Reply:
        digest = hashlib.sha1(self.state.trade_bill(day), usedforsecurity=False).hexdigest()
        url = f"{self.url}/v3/billdownload/file?token={day}"
        return json_reply(200, {"hash_type": "SHA1", "hash_value": digest, "download_url": url})

    def _page(self, request: Request) -> Reply:
        number = request.path.removeprefix("/pay/")
        if request.path == "/":
            links = "".join(
                f'<li><a href="/pay/{html.escape(n)}">{html.escape(n)}</a> {o["amount"]["total"] / 100:.2f} CNY'
                for n, o in self.state.orders.items()
                if o["trade_state"] == "NOTPAY"
            )
            return Reply(
                200, f"<!doctype html><title>WeChat Pay (stand-in)</title><ul>{links}</ul>".encode(), "text/html"
            )
        order = self.state.orders.get(number)
        if order is None:
            return Reply(404, b"no such order", "text/plain")
        amount = f"{order['amount']['total'] / 100:.2f} CNY"
        if request.method == "POST":
            try:
                self.state.pay(number)
            except Refused:
                return payment_page("WeChat Pay", amount, {}, "This order cannot be paid any more.")
        paid = order["trade_state"] != "NOTPAY"
        return payment_page("WeChat Pay", amount, {} if paid else {"pay": "Pay"}, "Paid." if paid else "")


def keep_account(path: Path, *, public_key_mode: bool) -> Account:
    """The account in two files, or a fresh one in new files that only their owner may read."""
    company = path.with_name(f"{path.name}.company.pem")
    if not path.exists():
        account = make_account(public_key_mode=public_key_mode)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file, content in (
            (company, private_pem(account.platform_key).encode()),
            (path, msgspec.json.encode(account.secrets._asdict())),
        ):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(content)
    key = load_pem_private_key(company.read_bytes(), None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("the company's key is RSA")
    return Account(Secrets(**msgspec.json.decode(path.read_bytes(), type=dict[str, str])), key)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="wechat_standin", description="A WeChat Pay of our own, on this machine.")
    parser.add_argument("--port", type=int, default=12112)
    parser.add_argument("--secrets", type=Path, required=True, help="file of the merchant's secrets")
    parser.add_argument("--notify", default="", help="where notifications go: .../payments/webhooks/wechat")
    parser.add_argument("--public-key-mode", action="store_true", help="sign with a public key's id, not a certificate")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), default=Fault.NONE, help="what to do wrong")
    options = parser.parse_args(arguments)
    account = keep_account(options.secrets, public_key_mode=options.public_key_mode)
    standin = WeChatStandIn(account, port=options.port, notify_url=options.notify, fault=options.fault)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    standin.start()
    print(f"WeChat Pay stand-in at {standin.url}", flush=True)
    stop.wait()
    standin.close()


if __name__ == "__main__":
    main()
