"""WeChat Pay's notifications and answers, reduced to notices. No I/O.

Rules
    The headers' grammar and the freshness of the timestamp are checked here, before the library sees them: it raises on an
    empty serial number, and accepts a notification that is a day old.
    Merchant and application must be ours: WeChat Pay has no test flag, so they are what separates live from test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from handlers.errors import InvalidRequest, Unauthenticated
from handlers.payments.company import FRESHNESS_S, Kind, Notice

PROVIDER = "wechat"
CURRENCY = "cny"
SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"
_GRAMMAR = {
    "wechatpay-timestamp": re.compile(r"[1-9][0-9]{0,11}"),
    "wechatpay-nonce": re.compile(r"[A-Za-z0-9]{1,64}"),
    "wechatpay-serial": re.compile(r"[0-9A-Fa-f]{1,64}|PUB_KEY_ID_[0-9A-Za-z]{1,64}"),
    # A probe's signature begins with WECHATPAY/SIGNTEST/: it is base64 in form, and verifies under no key.
    "wechatpay-signature": re.compile(r"[A-Za-z0-9+/]{300,1024}={0,2}"),
    "wechatpay-signature-type": re.compile(re.escape(SIGNATURE_TYPE)),
}


class _Amount(msgspec.Struct, frozen=True):
    total: int = 0
    currency: str = "CNY"
    refund: int = 0


class _Transaction(msgspec.Struct, frozen=True):
    mchid: str
    out_trade_no: str
    trade_state: str
    appid: str = ""
    transaction_id: str = ""
    attach: str = ""
    amount: _Amount = _Amount()


class _Refund(msgspec.Struct, frozen=True):
    out_trade_no: str
    out_refund_no: str
    refund_id: str
    amount: _Amount
    transaction_id: str = ""
    mchid: str = ""
    refund_status: str = ""
    status: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    """A notification after decryption, as the library returns it."""

    id: str
    event_type: str
    resource: dict[str, object]


def refuse_notification() -> Unauthenticated:
    """The one answer to everything that is not a fresh notification signed by the company."""
    return Unauthenticated(
        "The notification is not signed by the payment company, or not fresh.", code="invalid_signature"
    )


def check_headers(headers: Mapping[str, str], now_s: float) -> dict[str, str]:
    """The five signature headers, each of its form, with a fresh timestamp.

    Raises:
        Unauthenticated: one is missing, malformed, stale or from the future.
    """
    found = {name: headers.get(name, "") for name in _GRAMMAR}
    if not all(pattern.fullmatch(found[name]) for name, pattern in _GRAMMAR.items()):
        raise refuse_notification()
    if abs(now_s - int(found["wechatpay-timestamp"])) > FRESHNESS_S:
        raise refuse_notification()
    return found


def order_number(order_id: str) -> str:
    """Our order id as WeChat Pay takes it: 32 characters without dashes."""
    return order_id.replace("-", "")


def order_id_of(number: str) -> str:
    """The order id in an order number of ours; empty when it is none."""
    if not re.fullmatch(r"[0-9a-f]{32}", number):
        return ""
    return "-".join((number[:8], number[8:12], number[12:16], number[16:20], number[20:]))


class Merchant(msgspec.Struct, frozen=True):
    """Whose notices we believe."""

    merchant: str
    application: str
    mode: str
    """live | test."""

    def read_transaction(self, answer: Mapping[str, object], event_id: str = "") -> Notice:
        """Reduce a transaction, from a notification or from a query."""
        transaction = msgspec.convert(answer, type=_Transaction)
        kinds = {
            "SUCCESS": Kind.PAID,
            "REFUND": Kind.PAID,
            "CLOSED": Kind.EXPIRED,
            "REVOKED": Kind.EXPIRED,
            "USERPAYING": Kind.PROCESSING,
        }
        ours = (transaction.mchid, transaction.appid) == (self.merchant, self.application)
        return Notice(
            kind=kinds.get(transaction.trade_state, Kind.PENDING),
            provider=PROVIDER,
            # Another merchant's or application's notice is of another world, and matches no order of ours.
            mode=self.mode if ours or transaction.trade_state not in {"SUCCESS", "REFUND"} else "foreign",
            event_id=event_id,
            order_id=order_id_of(transaction.out_trade_no),
            tenant=transaction.attach,
            amount_minor=transaction.amount.total,
            currency=transaction.amount.currency.lower(),
            company_payment=transaction.transaction_id,
            receipt=transaction.transaction_id,
        )

    def read_refund(self, answer: Mapping[str, object], event_id: str = "") -> Notice:
        """Reduce a refund, from a notification (`refund_status`) or from an answer (`status`)."""
        refund = msgspec.convert(answer, type=_Refund)
        kinds = {"SUCCESS": Kind.REFUNDED, "CLOSED": Kind.REFUND_FAILED, "ABNORMAL": Kind.REFUND_FAILED}
        return Notice(
            kind=kinds.get(refund.refund_status or refund.status, Kind.PENDING),
            provider=PROVIDER,
            mode=self.mode if refund.mchid in {"", self.merchant} else "foreign",
            event_id=event_id,
            order_id=order_id_of(refund.out_trade_no),
            amount_minor=refund.amount.refund,
            currency=CURRENCY,
            company_payment=refund.transaction_id,
            refund_id=order_id_of(refund.out_refund_no),
            reference=refund.refund_id,
        )

    def read_event(self, envelope: Mapping[str, object]) -> Notice:
        """Reduce a verified and decrypted notification.

        Raises:
            InvalidRequest: a notification of a type we follow lacks what we need.
        """
        try:
            event = msgspec.convert(envelope, type=_Envelope)
            if event.event_type == "TRANSACTION.SUCCESS":
                return self.read_transaction(event.resource, event.id)
            if event.event_type.startswith("REFUND."):
                return self.read_refund(event.resource, event.id)
        except msgspec.ValidationError:
            raise InvalidRequest("The notification is signed but not understood.", code="invalid_event") from None
        return Notice(kind=Kind.IGNORED, provider=PROVIDER, mode=self.mode, event_id=event.id)
