"""What a payment company can do for us, and the one shape in which it tells us what happened.

Nouns
    *Order*: one top-up that a tenant asked for; ours, in the database (`handlers.store.payments.Order`).
    *Notice*: one fact told by the company, in a verified notification or in answer to a question, reduced to these fields.
    *Checkout*: where the customer pays: a page (Stripe) or a code to scan (WeChat Pay).

A notice is only ever compared with the order it names; nothing in it is believed beyond that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from handlers.store.payments import Order, Refund

FRESHNESS_S = 300
"""A notification older, or further in the future, is refused, whoever signed it."""
NOTIFICATION_BYTES_MAX = 256 * 1024


class Kind(StrEnum):
    """What happened, in the words of `payment_apply` (0200_payments.sql)."""

    PENDING = "pending"
    """Nothing yet: the answer to a question asked early."""
    PROCESSING = "processing"
    """The customer has done all there is to do, and the bank takes its time: perhaps days."""
    PAID = "paid"
    DECLINED = "declined"
    """One try failed; the customer of a checkout may try again, an automatic top-up may not."""
    EXPIRED = "expired"
    """The company will not take this payment any more."""
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    DISPUTED = "disputed"
    DISPUTE_WON = "dispute_won"
    IGNORED = "ignored"
    """Verified, and of no interest."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One fact. Empty text and zero mean that the company did not say."""

    kind: Kind
    provider: str
    mode: str
    """live | test."""
    event_id: str = ""
    """The company's id of the notification: the replay token. Empty for answers to our questions."""
    order_id: str = ""
    tenant: str = ""
    amount_minor: int = 0
    """Cents or fen: of the payment, or of the refund or dispute that the notice is about."""
    currency: str = ""
    company_order: str = ""
    """Checkout session or payment intent."""
    company_payment: str = ""
    """Payment intent, or WeChat Pay transaction."""
    refund_id: str = ""
    """Our id of a refund that we asked for."""
    reference: str = ""
    """The company's id of the refund or dispute."""
    receipt: str = ""
    """The company's id of an invoice or charge that a receipt can be fetched for."""
    method: str = ""
    """Id of a payment method that the customer agreed to keep."""


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """Where to pay."""

    company_order: str = ""
    url: str = ""
    """A page of the company's."""
    code_url: str = ""
    """The content of a QR code."""


class Company(Protocol):
    """What both companies offer."""

    provider: str
    currency: str
    """Of every order in this region, lower case."""
    list_days: int
    """After so many days the company's list of a day (UTC) is complete."""

    def open_checkout(self, order: Order, *, customer: str, keep_method: bool) -> Checkout:
        """Let the customer pay this order; asking again for the same order gives the same checkout."""
        ...

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify a notification over its raw bytes and reduce it.

        Raises:
            Unauthenticated: signature, freshness or form is wrong.
            InvalidRequest: properly signed, and not understood.
            Unavailable: it cannot be decided now.
        """
        ...

    def ask(self, order: Order) -> Notice:
        """What became of the order; Kind.PENDING when nothing did."""
        ...

    def close(self, order: Order) -> None:
        """Take no payment for the order any more."""
        ...

    def ask_refund(self, order: Order, refund: Refund) -> Notice:
        """Have the money sent back if that was not asked for yet, and say what became of it; the money is sent once.

        Raises:
            InvalidRequest: the company refuses for good.
        """
        ...

    def list_paid(self, since_s: int, until_s: int) -> Iterator[Notice]:
        """Every payment that the company says was made in a time, given in Unix seconds; perhaps some around it."""
        ...


class Wallet(Protocol):
    """What only Stripe offers: customers, methods kept for later, tax ids, receipts."""

    def open_customer(self, tenant: str) -> str:
        """The id of the tenant's customer record; asking again gives the same."""
        ...

    def charge(self, order: Order, *, customer: str, method: str) -> Notice:
        """Pay an order with a kept method while the customer is away."""
        ...

    def detach_method(self, method: str) -> None:
        """Forget a kept method."""
        ...

    def set_tax_id(self, customer: str, kind: str, value: str) -> str:
        """Print this tax id on receipts; returns the company's id of it."""
        ...

    def remove_tax_id(self, customer: str, tax_id: str) -> None:
        """Print it no more."""
        ...

    def receipt_url(self, receipt: str) -> str:
        """The page of an invoice or receipt; empty when there is none."""
        ...

    def find_order(self, company_payment: str) -> str:
        """The id of the order that a payment was made for; empty when it is not ours."""
        ...
