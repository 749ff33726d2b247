"""Stripe's notifications and objects, reduced to notices. No I/O.

Rules
    The signature is checked over the raw bytes before anything is parsed; the header must have exactly one timestamp, and
    it must lie within five minutes on either side (the library accepts the future).
    Only the fields declared here are read; nothing else of a notification leaves this module. Types that are not in
    `_READERS` are verified and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec
import stripe

from handlers.errors import InvalidRequest, Unauthenticated
from handlers.payments.company import FRESHNESS_S, Kind, Notice

PROVIDER = "stripe"
_HEADER_PART = re.compile(r"\s*(t|v\d+)=([0-9A-Za-z]{1,256})\s*")
_HEADER_BYTES_MAX = 2_048


class _Marks(msgspec.Struct, frozen=True):
    """Our own metadata on Stripe's objects."""

    order_id: str = ""
    tenant: str = ""
    refund_id: str = ""


class _Payment(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount: int
    currency: str
    livemode: bool
    metadata: _Marks = _Marks()
    payment_method: str | None = None
    setup_future_usage: str | None = None
    latest_charge: str | None = None
    amount_received: int = 0


class _Session(msgspec.Struct, frozen=True):
    id: str
    livemode: bool
    payment_status: str
    status: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    client_reference_id: str | None = None
    metadata: _Marks = _Marks()
    payment_intent: str | _Payment | None = None
    invoice: str | None = None


class _Refund(msgspec.Struct, frozen=True):
    id: str
    status: str | None
    amount: int
    currency: str
    payment_intent: str | None = None
    metadata: _Marks | None = None


class _Dispute(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount: int
    currency: str
    payment_intent: str | None = None


class _Data(msgspec.Struct, frozen=True):
    object: msgspec.Raw


class _Event(msgspec.Struct, frozen=True):
    id: str
    type: str
    livemode: bool
    data: _Data


def refuse_notification() -> Unauthenticated:
    """The one answer to everything that is not a fresh notification signed by the company."""
    return Unauthenticated(
        "The notification is not signed by the payment company, or not fresh.", code="invalid_signature"
    )


def verify_signature(header: str, body: bytes, secret: str, now_s: float) -> None:
    """Check a `Stripe-Signature` header over the raw body.

    Raises:
        Unauthenticated: malformed, stale, from the future, or not signed with the secret.
    """
    parts = [_HEADER_PART.fullmatch(part) for part in header[:_HEADER_BYTES_MAX].split(",")]
    if not header or not all(parts):
        raise refuse_notification()
    times = [part[2] for part in parts if part and part[1] == "t"]
    if len(times) != 1 or not re.fullmatch(r"[1-9][0-9]{0,11}", times[0]) or abs(now_s - int(times[0])) > FRESHNESS_S:
        raise refuse_notification()
    try:
        stripe.WebhookSignature.verify_header(body, header, secret)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        # Their messages carry the body, so the cause is cut off here.
        raise refuse_notification() from None


def mode_of(livemode: bool) -> str:  # noqa: FBT001 -- Stripe's own flag, named by it
    """Live | test, from Stripe's flag."""
    return "live" if livemode else "test"


def payment_notice(payment: _Payment, event_id: str = "") -> Notice:
    """What a payment intent says."""
    kinds = {
        "succeeded": Kind.PAID,
        "processing": Kind.PROCESSING,
        "canceled": Kind.EXPIRED,
        "requires_payment_method": Kind.DECLINED,
    }
    kind = kinds.get(payment.status, Kind.PENDING)
    kept = payment.setup_future_usage == "off_session"
    return Notice(
        kind=kind,
        provider=PROVIDER,
        mode=mode_of(payment.livemode),
        event_id=event_id,
        order_id=payment.metadata.order_id,
        tenant=payment.metadata.tenant,
        amount_minor=payment.amount_received if kind is Kind.PAID else payment.amount,
        currency=payment.currency,
        company_payment=payment.id,
        receipt=payment.latest_charge or "",
        method=(payment.payment_method or "") if kept and kind is Kind.PAID else "",
    )


def session_notice(session: _Session, event_id: str = "") -> Notice:
    """What a checkout session says."""
    kind = Kind.PENDING
    if session.payment_status == "paid":
        kind = Kind.PAID
    elif session.status == "expired":
        kind = Kind.EXPIRED
    elif session.status == "complete":
        kind = Kind.PROCESSING  # a bank debit, say: the page is done, the money is not here
    payment = session.payment_intent
    full = payment if isinstance(payment, _Payment) else None
    return Notice(
        kind=kind,
        provider=PROVIDER,
        mode=mode_of(session.livemode),
        event_id=event_id,
        order_id=session.client_reference_id or session.metadata.order_id,
        tenant=session.metadata.tenant,
        amount_minor=session.amount_total or 0,
        currency=session.currency or "",
        company_order=session.id,
        company_payment=full.id if full else (payment if isinstance(payment, str) else ""),
        receipt=session.invoice or (full.latest_charge or "" if full else ""),
        method=payment_notice(full).method if full else "",
    )


def refund_notice(refund: _Refund, livemode: bool, event_id: str = "") -> Notice:  # noqa: FBT001 -- Stripe's flag
    """What a refund says; the amount is that of this refund."""
    kinds = {"succeeded": Kind.REFUNDED, "failed": Kind.REFUND_FAILED, "canceled": Kind.REFUND_FAILED}
    marks = refund.metadata or _Marks()
    return Notice(
        kind=kinds.get(refund.status or "", Kind.PENDING),
        provider=PROVIDER,
        mode=mode_of(livemode),
        event_id=event_id,
        order_id=marks.order_id,
        amount_minor=refund.amount,
        currency=refund.currency,
        company_payment=refund.payment_intent or "",
        refund_id=marks.refund_id,
        reference=refund.id,
    )


def _read_dispute(event: _Event) -> Notice:
    dispute = msgspec.json.decode(event.data.object, type=_Dispute)
    withdrawn = event.type in {"charge.dispute.created", "charge.dispute.funds_withdrawn"}
    if withdrawn:
        # An inquiry ("warning_...") moves no money.
        kind = Kind.IGNORED if dispute.status.startswith("warning_") else Kind.DISPUTED
    else:
        won = event.type == "charge.dispute.funds_reinstated" or dispute.status == "won"
        kind = Kind.DISPUTE_WON if won else Kind.IGNORED
    return Notice(
        kind=kind,
        provider=PROVIDER,
        mode=mode_of(event.livemode),
        event_id=event.id,
        amount_minor=dispute.amount,
        currency=dispute.currency,
        company_payment=dispute.payment_intent or "",
        reference=dispute.id,
    )


def _read_session(event: _Event) -> Notice:
    return session_notice(msgspec.json.decode(event.data.object, type=_Session), event.id)


def _read_payment(event: _Event) -> Notice:
    return payment_notice(msgspec.json.decode(event.data.object, type=_Payment), event.id)


def _read_refund(event: _Event) -> Notice:
    return refund_notice(msgspec.json.decode(event.data.object, type=_Refund), event.livemode, event.id)


_READERS: dict[str, Callable[[_Event], Notice]] = {
    "checkout.session.completed": _read_session,
    "checkout.session.async_payment_succeeded": _read_session,
    "checkout.session.expired": _read_session,
    "payment_intent.succeeded": _read_payment,
    "payment_intent.payment_failed": _read_payment,
    "payment_intent.canceled": _read_payment,
    "refund.created": _read_refund,
    "refund.updated": _read_refund,
    "refund.failed": _read_refund,
    "charge.dispute.created": _read_dispute,
    "charge.dispute.funds_withdrawn": _read_dispute,
    "charge.dispute.funds_reinstated": _read_dispute,
    "charge.dispute.closed": _read_dispute,
}


def read_event(body: bytes) -> Notice:
    """Reduce the body of a verified notification.

    Raises:
        InvalidRequest: a notification of a type we follow lacks what we need.
    """
    try:
        event = msgspec.json.decode(body, type=_Event)
        read = _READERS.get(event.type)
        if read is None:
            return Notice(kind=Kind.IGNORED, provider=PROVIDER, mode=mode_of(event.livemode), event_id=event.id)
        notice = read(event)
        # The event and its object must say the same about the mode, or it is of neither.
        agreed = notice.mode == mode_of(event.livemode)
        return notice if agreed else msgspec.structs.replace(notice, mode="foreign")
    except msgspec.MsgspecError:
        raise InvalidRequest(
            "The notification is signed but not understood: check the endpoint's API version.", code="invalid_event"
        ) from None


def read_session(answer: Mapping[str, object]) -> Notice:
    """Reduce an API answer with a checkout session, its payment expanded."""
    return session_notice(msgspec.convert(answer, type=_Session))


def read_payment(answer: Mapping[str, object]) -> Notice:
    """Reduce an API answer with a payment intent."""
    return payment_notice(msgspec.convert(answer, type=_Payment))


def read_refund(answer: Mapping[str, object], mode: str) -> Notice:
    """Reduce an API answer with a refund, which carries no mode of its own."""
    return refund_notice(msgspec.convert(answer, type=_Refund), mode == "live")
