"""WeChat Pay v3 (Native: a code to scan), through `wechatpayv3`. Foreign exceptions become ours here and nowhere else.

Theory of operation
    Two ways to trust the company, chosen by our secrets: its public key (`PUB_KEY_ID_...`), or platform certificates, which
    are downloaded sealed with our APIv3 key. The library downloads certificates whenever a serial number is unknown to it,
    and forgets the old ones first; any stranger could make it do so. So serial numbers are looked up before the library is
    called, and an unknown one causes at most one download a minute, into a new client that replaces the old one only when it
    holds certificates.
    The library verifies the signatures of answers with status 2xx only. Other answers decide nothing here: an order that is
    "not found" is an order about which nothing is known yet.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec
import requests
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core

from handlers.errors import InvalidRequest, Unavailable
from handlers.payments.company import Checkout, Kind, Notice
from handlers.payments.credentials import WeChatSecrets
from handlers.payments.wechat_bills import CHINA, bill_days, open_bill, read_bill, says_no_payments
from handlers.payments.wechat_notices import (
    CURRENCY,
    PROVIDER,
    Merchant,
    check_headers,
    order_number,
    refuse_notification,
)
from handlers.store.payments import Order, Refund

T = TypeVar("T")

TIMEOUTS_S = (5, 15)
"""To connect, and for each read."""
REFRESH_S_MIN = 60
"""Between two downloads of platform certificates."""


class _Client(WeChatPay):  # type: ignore[misc]  # the library has no type information
    """The library's client, at an address of our choice: its constructor downloads certificates from a fixed one."""

    def __init__(self, secrets: WeChatSecrets, *, base_url: str, notify_url: str) -> None:
        self._type = WeChatPayType.NATIVE
        self._mchid = secrets.merchant
        self._appid = secrets.application
        self._notify_url = notify_url
        self._partner_mode = False
        self._core = _AddressedCore(secrets, base_url)

    @property
    def core(self) -> Any:
        return self._core


class _AddressedCore(Core):  # type: ignore[misc]  # as above
    def __init__(self, secrets: WeChatSecrets, base_url: str) -> None:
        self._base_url = base_url
        super().__init__(
            mchid=secrets.merchant,
            cert_serial_no=secrets.certificate_serial,
            private_key=secrets.private_key,
            apiv3_key=secrets.api_v3_key,
            timeout=TIMEOUTS_S,
            public_key=secrets.public_key or None,
            public_key_id=secrets.public_key_id or None,
        )
        self._point_at(base_url)

    def _init_certificates(self) -> None:
        self._point_at(self._base_url)
        super()._init_certificates()

    def _point_at(self, base_url: str) -> None:
        if base_url:
            self._gate_way = base_url

    def knows(self, serial: str) -> bool:
        """Whether a signature under this serial number can be checked without asking anybody."""
        if self._public_key_id:
            return bool(serial == self._public_key_id)
        known = {certificate.serial_number for certificate in self._certificates}
        return not serial.startswith("PUB_KEY") and int(serial, 16) in known


class WeChatCompany:
    """The `Company` of the china region.

    Args:
        mode: live | test.
        notify_url: where the company sends its notifications.
        base_url: another address of the API, for the stand-in; empty for the company's own.
        clock: Unix seconds.
    """

    provider = PROVIDER
    currency = CURRENCY
    list_days = (
        3  # the bill of a day in Beijing is ready at ten the next morning; a day of ours ends in the next of theirs
    )

    def __init__(
        self,
        secrets: WeChatSecrets,
        *,
        mode: str,
        notify_url: str,
        base_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._merchant = Merchant(secrets.merchant, secrets.application, mode)
        self._notify_url = notify_url
        self._base_url = base_url
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: _Client | None = None
        self._refreshed_at = float("-inf")

    def open_checkout(self, order: Order, *, customer: str, keep_method: bool) -> Checkout:
        """Ask for the code that the customer scans; the same order number gives a code for the same order."""
        del customer, keep_method  # WeChat Pay keeps neither for us
        expires = dt.datetime.fromtimestamp(order.expires_at, CHINA).isoformat(timespec="seconds")
        answer = self._call(
            "pay",
            description="TheRouter credit",
            out_trade_no=order_number(order.order_id),
            amount={"total": order.amount_minor, "currency": order.currency.upper()},
            attach=order.tenant,
            time_expire=expires,
        )
        code_url = answer.get("code_url")
        if not isinstance(code_url, str) or not code_url.startswith("weixin://"):
            raise _not_understood()
        return Checkout(code_url=code_url)

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify over raw bytes, decrypt, reduce."""
        marks = check_headers(headers, self._clock())
        client = self._client_for(marks["wechatpay-serial"])
        try:
            envelope = client.callback(marks, body)
        except Exception:  # noqa: BLE001 -- the library raises bare exceptions on what strangers send
            raise refuse_notification() from None
        if not envelope:
            raise refuse_notification()
        return self._merchant.read_event(envelope)

    def ask(self, order: Order) -> Notice:
        """What became of the order; an order that the company does not know is pending."""
        unknown = Notice(kind=Kind.PENDING, provider=PROVIDER, mode=self._merchant.mode, order_id=order.order_id)
        try:
            answer = self._call("query", out_trade_no=order_number(order.order_id))
        except InvalidRequest:
            return unknown
        return _understand(lambda: self._merchant.read_transaction(answer))

    def close(self, order: Order) -> None:
        """Close the order; one that is paid, closed or unknown stays as it is."""
        try:
            self._call("close", out_trade_no=order_number(order.order_id))
        except InvalidRequest:
            return

    def ask_refund(self, order: Order, refund: Refund) -> Notice:
        """What became of a refund; one that the company never heard of is asked for again, with the same number."""
        try:
            answer = self._call("query_refund", out_refund_no=order_number(refund.refund_id))
        except InvalidRequest:
            return self._refund(order, refund)
        return _understand(lambda: self._merchant.read_refund(answer))

    def list_paid(self, since_s: int, until_s: int) -> Iterator[Notice]:
        """The payments in the trade bills of the days that the time touches."""
        for day in bill_days(since_s, until_s):
            status, content = self._ask_library("trade_bill", bill_date=day, bill_type="SUCCESS")
            if status == 400 and says_no_payments(content):
                continue
            if status != 200:
                raise _unreachable()  # being made, perhaps: a list with a hole would accuse the innocent
            answer = _read_object(content)
            status, content = self._ask_library("download_bill", url=str(answer.get("download_url", "")))
            if status != 200 or not isinstance(content, bytes):
                raise _unreachable()
            bill = open_bill(content, str(answer.get("hash_type", "")), str(answer.get("hash_value", "")))
            yield from read_bill(bill, self._merchant)

    def _refund(self, order: Order, refund: Refund) -> Notice:
        answer = self._call(
            "refund",
            out_refund_no=order_number(refund.refund_id),
            out_trade_no=order_number(order.order_id),
            amount={"refund": refund.amount_minor, "total": order.amount_minor, "currency": order.currency.upper()},
        )
        return _understand(lambda: self._merchant.read_refund(answer))

    def _call(self, name: str, **arguments: object) -> dict[str, object]:
        """One call; its answer, empty for 204.

        Raises:
            InvalidRequest: the company refused the values (400) or knows no such order (404).
            Unavailable: no answer, a bad one, or a refusal that is not about this order.
        """
        status, content = self._ask_library(name, **arguments)
        if status == 204:
            return {}
        if status in {400, 404}:
            raise InvalidRequest("The payment company refused the request; check its values.", code="refused")
        if status != 200:
            raise _unreachable()
        return _read_object(content)

    def _ask_library(self, name: str, **arguments: object) -> tuple[int, str | bytes]:
        client = self._client()
        try:
            status, content = getattr(client, name)(**arguments)
        except requests.RequestException:
            raise _unreachable() from None
        except Exception:  # noqa: BLE001 -- the library's only sign of an answer whose signature is wrong
            raise _not_understood() from None
        return status, content

    def _client(self) -> _Client:
        client = self._opened
        if client is not None:
            return client
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _client_for(self, serial: str) -> _Client:
        client = self._client()
        if client.core.knows(serial):
            return client
        if self._secrets.public_key_id:
            raise refuse_notification()
        with self._lock:
            now = self._clock()
            if now - self._refreshed_at >= REFRESH_S_MIN:
                self._refreshed_at = now
                self._opened = self._open()
            client = self._opened or client
        if not client.core.knows(serial):
            raise refuse_notification()
        return client

    def _open(self) -> _Client:
        try:
            return _Client(self._secrets, base_url=self._base_url, notify_url=self._notify_url)
        except Exception:  # noqa: BLE001 -- the library raises bare exceptions when certificates cannot be had
            raise _unreachable() from None


def _understand(read: Callable[[], T]) -> T:
    try:
        return read()
    except msgspec.MsgspecError:
        raise _not_understood() from None


def _read_object(content: str | bytes) -> dict[str, object]:
    return _understand(lambda: msgspec.json.decode(content, type=dict[str, object]))


def _unreachable() -> Unavailable:
    return Unavailable("The payment company cannot be reached; retry shortly.", retry_after_s=5)


def _not_understood() -> Unavailable:
    return Unavailable("The payment company's answer was not understood; retry later.", retry_after_s=60)
