"""A Stripe account that remembers: what each call does to its objects, and which events follow.

Two cards exist on the payment page, one that pays and one that declines; a kept method pays until the account is told to
decline everything (`decline_everything`).
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable

import msgspec

from handlers.local.payments_stripe_bodies import (
    Body,
    charge_body,
    customer_body,
    dispute_body,
    error_body,
    event_body,
    invoice_body,
    method_body,
    new_id,
    payment_body,
    refund_body,
    session_body,
    tax_id_body,
)

AMOUNT_MIN = 50


class Refused(Exception):
    """A call that Stripe answers with an error."""

    def __init__(self, status: int, body: Body, *, done: bool = False) -> None:
        super().__init__("refused")
        self.status = status
        self.body = body
        self.done = done
        """Something was done before it failed, so an idempotency key remembers it."""


def _missing(kind: str, identity: str) -> Refused:
    complaint = f"No such {kind}: '{identity}'"
    return Refused(404, error_body("invalid_request_error", complaint, code="resource_missing", param="id"))


def _invalid(complaint: str, *, param: str | None = None, code: str | None = None) -> Refused:
    return Refused(400, error_body("invalid_request_error", complaint, code=code, param=param))


def _amount(params: Body, name: str) -> int:
    text = params.get(name)
    if not isinstance(text, str):
        raise _invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    if not text.isdecimal():
        raise _invalid(f"Invalid integer: {text}", param=name, code="parameter_invalid_integer")
    return int(text)


class StripeState:
    """One account in test mode.

    Args:
        publish: takes each event as the bytes that are to be signed and delivered.
        clock: Unix seconds.
    """

    def __init__(self, publish: Callable[[bytes], None], clock: Callable[[], float] = time.time) -> None:
        self.base_url = ""
        self.decline_everything = False
        self.objects: dict[str, Body] = {}
        self.events: list[Body] = []
        self._publish = publish
        self._clock = clock
        self._lock = threading.RLock()

    # What the API does.

    def create_customer(self, params: Body) -> Body:
        """POST /v1/customers."""
        return self._add(customer_body(self._now(), params.get("metadata", {}), params.get("email")))

    def create_tax_id(self, customer: str, params: Body) -> Body:
        """POST /v1/customers/<id>/tax_ids."""
        self.get("customer", customer)
        if not params.get("type") or not params.get("value"):
            raise _invalid("Missing required param: value.", param="value", code="parameter_missing")
        if params["type"] == "eu_vat" and not params["value"][:2].isalpha():
            raise _invalid("Invalid value for eu_vat.", param="value", code="tax_id_invalid")
        return self._add(tax_id_body(self._now(), customer, params["type"], params["value"]))

    def delete_tax_id(self, customer: str, identity: str) -> Body:
        """DELETE /v1/customers/<id>/tax_ids/<id>."""
        if self.get("tax_id", identity)["customer"] != customer:
            raise _missing("tax_id", identity)
        del self.objects[identity]
        return {"id": identity, "object": "tax_id", "deleted": True}

    def create_session(self, params: Body) -> Body:
        """POST /v1/checkout/sessions: payment mode, hosted page, prices given inline."""
        if params.get("mode") != "payment":
            raise _invalid("This stand-in takes payments only: mode must be payment.", param="mode")
        lines = params.get("line_items") or []
        if not lines:
            raise _invalid("You must provide line_items.", param="line_items", code="parameter_missing")
        for line in lines:
            _amount(line.get("price_data", {}), "unit_amount")
        if params.get("customer"):
            self.get("customer", params["customer"])
        expires_at = int(params.get("expires_at", self._now() + 86_400))
        # Stripe refuses under 30 minutes; the clocks of client and server may differ a little.
        if not self._now() + 1_790 <= expires_at <= self._now() + 86_410:
            raise _invalid("expires_at must be 30 minutes to 24 hours from now.", param="expires_at")
        with self._lock:
            session = self._add(session_body(self._now(), params, self.base_url))
            self._add_hidden(session["id"], params.get("payment_intent_data", {}))
            return session

    def expire_session(self, identity: str) -> Body:
        """POST /v1/checkout/sessions/<id>/expire."""
        with self._lock:
            session = self.get("checkout.session", identity)
            if session["status"] != "open":
                raise _invalid(f"This Session is {session['status']}: only open Sessions can be expired.")
            return self._expire(session)

    def create_payment(self, params: Body) -> Body:
        """POST /v1/payment_intents, confirmed at once with a kept method."""
        amount, currency = _amount(params, "amount"), params.get("currency", "")
        if amount < AMOUNT_MIN:
            raise _invalid("Amount must be at least $0.50 usd.", param="amount", code="amount_too_small")
        method = self.get("payment_method", params.get("payment_method", ""))
        if method["customer"] != params.get("customer"):
            raise _invalid("The PaymentMethod does not belong to the Customer you supplied.", param="payment_method")
        with self._lock:
            payment = payment_body(
                self._now(),
                amount=amount,
                currency=currency,
                customer=params.get("customer"),
                metadata=params.get("metadata", {}),
                keep=None,
            )
            self._add(payment)
            if params.get("confirm") == "true":
                self._confirm(payment, method)
            return payment

    def list_payments(self, params: Body) -> Body:
        """GET /v1/payment_intents: latest first, a page at a time."""
        created = params.get("created", {})
        limit, after = int(params.get("limit", 10)), params.get("starting_after")
        found = [body for body in self.objects.values() if body["object"] == "payment_intent"]
        found = [
            body
            for body in reversed(found)
            if int(created.get("gte", 0)) <= body["created"] < int(created.get("lt", 2**62))
        ]
        start = next((place + 1 for place, body in enumerate(found) if body["id"] == after), 0)
        page = found[start : start + limit]
        return {"object": "list", "data": page, "has_more": start + limit < len(found), "url": "/v1/payment_intents"}

    def cancel_payment(self, identity: str) -> Body:
        """POST /v1/payment_intents/<id>/cancel."""
        with self._lock:
            payment = self.get("payment_intent", identity)
            if payment["status"] in {"succeeded", "canceled"}:
                raise _invalid(
                    f"This PaymentIntent's status is {payment['status']}.", code="payment_intent_unexpected_state"
                )
            payment |= {"status": "canceled", "canceled_at": self._now()}
            self._emit("payment_intent.canceled", payment)
            return payment

    def detach_method(self, identity: str) -> Body:
        """POST /v1/payment_methods/<id>/detach."""
        method = self.get("payment_method", identity)
        if method["customer"] is None:
            raise _invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
        method["customer"] = None
        return method

    def create_refund(self, params: Body) -> Body:
        """POST /v1/refunds."""
        with self._lock:
            payment = self.get("payment_intent", params.get("payment_intent", ""))
            charge = self.get("charge", payment["latest_charge"] or "")
            left = charge["amount"] - charge["amount_refunded"]
            amount = _amount(params, "amount") if "amount" in params else left
            if charge["disputed"]:
                raise _invalid("The charge has been charged back.", code="charge_disputed")
            if left == 0:
                raise _invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
            if not 0 < amount <= left:
                raise _invalid(
                    f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
                )
            refund = self._add(refund_body(self._now(), payment, amount, params.get("metadata", {})))
            charge["amount_refunded"] += amount
            charge["refunded"] = charge["amount_refunded"] == charge["amount"]
            self._emit("refund.created", refund)
            self._emit("charge.refunded", charge)
            return refund

    def get(self, kind: str, identity: str) -> Body:
        """An object of this kind."""
        found = self.objects.get(identity)
        if found is None or found["object"] != kind:
            raise _missing(kind, identity)
        if kind == "checkout.session" and found["status"] == "open" and found["expires_at"] < self._now():
            self._expire(found)
        return found

    # What customers, banks and merchants do.

    def pay(self, session_id: str) -> Body:
        """The customer enters a good card on the page of an open session."""
        with self._lock:
            session = self.get("checkout.session", session_id)
            if session["status"] != "open":
                raise _invalid(f"This Session is {session['status']}.")
            payment = self._payment_of(session)
            self._confirm(payment, self._add(method_body(self._now(), session["customer"])))
            session |= {"payment_status": "paid", "status": "complete", "payment_intent": payment["id"]}
            if session["invoice_creation"]["enabled"]:
                invoice = self._add(invoice_body(self._now(), session, self.base_url))
                session["invoice"] = invoice["id"]
            self._emit("checkout.session.completed", session)
            return session

    def decline(self, session_id: str) -> None:
        """The customer enters a bad card; the session stays open."""
        with self._lock:
            session = self.get("checkout.session", session_id)
            payment = self._payment_of(session)
            payment["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
            self._emit("payment_intent.payment_failed", payment)

    def dispute(self, payment_id: str) -> Body:
        """The customer's bank takes the money back."""
        with self._lock:
            payment = self.get("payment_intent", payment_id)
            self.get("charge", payment["latest_charge"])["disputed"] = True
            dispute = self._add(dispute_body(self._now(), payment))
            self._emit("charge.dispute.created", dispute)
            self._emit("charge.dispute.funds_withdrawn", dispute)
            return dispute

    def win(self, dispute_id: str) -> None:
        """The bank gives it back."""
        with self._lock:
            dispute = self.get("dispute", dispute_id)
            dispute["status"] = "won"
            self._emit("charge.dispute.closed", dispute)
            self._emit("charge.dispute.funds_reinstated", dispute)

    def fail_refund(self, refund_id: str) -> None:
        """The customer's bank does not take a refund: the money comes back to the merchant."""
        with self._lock:
            refund = self.get("refund", refund_id)
            refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
            self._emit("refund.failed", refund)

    # How.

    def _now(self) -> int:
        return int(self._clock())

    def _add(self, body: Body) -> Body:
        self.objects[body["id"]] = body
        return body

    def _add_hidden(self, session_id: str, intent_params: Body) -> None:
        self.objects[f"intent-of:{session_id}"] = {"object": "hidden", "params": intent_params}

    def _payment_of(self, session: Body) -> Body:
        hidden = self.objects[f"intent-of:{session['id']}"]
        if "payment" not in hidden:
            params = hidden["params"]
            hidden["payment"] = self._add(
                payment_body(
                    self._now(),
                    amount=session["amount_total"],
                    currency=session["currency"],
                    customer=session["customer"],
                    metadata=params.get("metadata", {}),
                    keep=params.get("setup_future_usage"),
                )
            )
        payment: Body = hidden["payment"]
        return payment

    def _confirm(self, payment: Body, method: Body) -> None:
        payment["payment_method"] = method["id"]
        if self.decline_everything:
            payment["status"] = "requires_payment_method"
            payment["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
            self._emit("payment_intent.payment_failed", payment)
            declined = error_body("card_error", "Your card was declined.", code="card_declined")
            declined["error"] |= {"decline_code": "generic_decline", "payment_intent": copy.deepcopy(payment)}
            raise Refused(402, declined, done=True)
        charge = self._add(charge_body(self._now(), payment, self.base_url))
        payment |= {"status": "succeeded", "amount_received": payment["amount"], "latest_charge": charge["id"]}
        self._emit("payment_intent.succeeded", payment)
        self._emit("charge.succeeded", charge)

    def _expire(self, session: Body) -> Body:
        session["status"] = "expired"
        self._emit("checkout.session.expired", session)
        return session

    def _emit(self, kind: str, content: Body) -> None:
        event = event_body(self._now(), kind, copy.deepcopy(content))
        event["request"]["id"] = new_id("req_", 14)
        self.events.append(event)
        self._publish(msgspec.json.encode(event))
