from __future__ import annotations

import hashlib

import msgspec
import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.errors import InvalidRequest, Unauthenticated
from handlers.payments.company import Kind
from handlers.payments.stripe_notices import read_event, verify_signature

SECRET = f"whsec_{hashlib.sha256(b'ours').hexdigest()}"
ANOTHER = f"whsec_{hashlib.sha256(b'another').hexdigest()}"
"""The same in every process, because test ids are made of what follows from them."""
NOW_S = 1_795_400_000
BODY = b'{"id": "evt_1", "object": "event"}'


def _header(body: bytes = BODY, at_s: int = NOW_S, secret: str = SECRET) -> str:
    header: str = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at_s)
    return header


def _event(kind: str, content: dict[str, object], *, livemode: bool = False) -> bytes:
    return msgspec.json.encode({"id": "evt_1", "type": kind, "livemode": livemode, "data": {"object": content}})


@pytest.mark.parametrize("offset_s", [-300, 0, 300])
def test_what_the_official_library_signs_is_believed_for_five_minutes(offset_s: int) -> None:
    verify_signature(_header(at_s=NOW_S + offset_s), BODY, SECRET, NOW_S)


@pytest.mark.claim("A64")
@pytest.mark.parametrize("offset_s", [-86_400, -301, 301, 86_400])
def test_a64_outside_them_it_is_not(offset_s: int) -> None:
    with pytest.raises(Unauthenticated):
        verify_signature(_header(at_s=NOW_S + offset_s), BODY, SECRET, NOW_S)


_GOOD = _header()


@pytest.mark.claim("A64")
@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=",
        "v1=",
        f"t={NOW_S}",
        f"t={NOW_S},v0={_GOOD.split('v1=')[1]}",
        f"t={NOW_S},v1=",
        f"t={NOW_S},v1=zz",
        f"t={NOW_S},v1=\u00e9",
        f"t={NOW_S},{_GOOD}",
        f"{_GOOD},t={NOW_S}",
        f"t={NOW_S}.0,v1={_GOOD.split('v1=')[1]}",
        f"t=-{NOW_S},v1={_GOOD.split('v1=')[1]}",
        f"t= {NOW_S},v1={_GOOD.split('v1=')[1]}",
        f"t=0{NOW_S},v1={_GOOD.split('v1=')[1]}",
        f"t={NOW_S}v1={_GOOD.split('v1=')[1]}",
        _GOOD + ",",
        _GOOD + ",x=1",
        _GOOD[:-1],
        _GOOD + "0",
        "," * 5_000,
        "t=" + "9" * 5_000,
        _header(secret=ANOTHER),
        _header(secret=" "),
    ],
)
def test_a64_malformed_or_foreign_signatures_are_refused(header: str) -> None:
    with pytest.raises(Unauthenticated):
        verify_signature(header, BODY, SECRET, NOW_S)


@pytest.mark.claim("A64")
@given(position=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
@settings(max_examples=200)
def test_a64_a_body_with_any_bit_changed_is_refused(position: int, bit: int) -> None:
    changed = bytearray(BODY)
    changed[position] ^= 1 << bit
    with pytest.raises(Unauthenticated):
        verify_signature(_GOOD, bytes(changed), SECRET, NOW_S)


@pytest.mark.claim("A64")
@given(header=st.text(max_size=80), body=st.binary(max_size=80))
@settings(max_examples=300)
def test_a64_whatever_a_stranger_sends_is_refused_and_nothing_else_is_raised(header: str, body: bytes) -> None:
    with pytest.raises(Unauthenticated):
        verify_signature(header, body, SECRET, NOW_S)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("checkout.session.completed", {"payment_status": "paid"}, Kind.PAID),
        ("checkout.session.completed", {"payment_status": "unpaid"}, Kind.PENDING),
        ("checkout.session.completed", {"payment_status": "unpaid", "status": "complete"}, Kind.PROCESSING),
        ("checkout.session.async_payment_succeeded", {"payment_status": "paid"}, Kind.PAID),
        ("checkout.session.expired", {"payment_status": "unpaid", "status": "expired"}, Kind.EXPIRED),
    ],
)
def test_sessions(kind: str, content: dict[str, object], expected: Kind) -> None:
    session = {
        "id": "cs_1",
        "livemode": False,
        "amount_total": 7,
        "currency": "usd",
        "client_reference_id": "o",
        **content,
    }
    notice = read_event(_event(kind, session))
    assert (notice.kind, notice.order_id, notice.amount_minor, notice.currency) == (expected, "o", 7, "usd")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("succeeded", Kind.PAID),
        ("requires_payment_method", Kind.DECLINED),
        ("canceled", Kind.EXPIRED),
        ("processing", Kind.PROCESSING),
        ("requires_action", Kind.PENDING),
    ],
)
def test_payments(status: str, expected: Kind) -> None:
    payment = {"id": "pi_1", "status": status, "amount": 9, "amount_received": 9, "currency": "usd", "livemode": False}
    assert read_event(_event("payment_intent.succeeded", payment)).kind is expected


def test_a_payment_counts_what_was_received_and_not_what_was_asked() -> None:
    payment = {
        "id": "pi_1",
        "status": "succeeded",
        "amount": 900,
        "amount_received": 1,
        "currency": "usd",
        "livemode": False,
    }
    assert read_event(_event("payment_intent.succeeded", payment)).amount_minor == 1


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("charge.dispute.created", "needs_response", Kind.DISPUTED),
        ("charge.dispute.created", "warning_needs_response", Kind.IGNORED),
        ("charge.dispute.funds_withdrawn", "needs_response", Kind.DISPUTED),
        ("charge.dispute.closed", "won", Kind.DISPUTE_WON),
        ("charge.dispute.closed", "lost", Kind.IGNORED),
        ("charge.dispute.funds_reinstated", "won", Kind.DISPUTE_WON),
    ],
)
def test_disputes(kind: str, status: str, expected: Kind) -> None:
    dispute = {"id": "du_1", "status": status, "amount": 5, "currency": "usd", "payment_intent": "pi_1"}
    notice = read_event(_event(kind, dispute))
    assert (notice.kind, notice.company_payment, notice.reference) == (expected, "pi_1", "du_1")


def test_event_and_object_of_different_modes_are_of_neither() -> None:
    session = {"id": "cs_1", "livemode": False, "payment_status": "paid", "amount_total": 7, "currency": "usd"}
    assert read_event(_event("checkout.session.completed", session, livemode=True)).mode == "foreign"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"id":1}', b"[" * 100_000])
def test_signed_nonsense_is_named_as_such(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_event(body)


def test_a_followed_type_without_what_we_need_is_named_as_such() -> None:
    with pytest.raises(InvalidRequest):
        read_event(_event("checkout.session.completed", {"id": "cs_1"}))
