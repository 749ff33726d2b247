"""What a customer may do: top up, look, cancel, send money back; with a wallet also keep methods and top up automatically."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Annotated

import msgspec

from handlers.errors import InvalidRequest, NotFound, PermissionDenied, Unavailable
from handlers.payments.authentication import Customer
from handlers.payments.company import Company, Kind, Notice, Wallet
from handlers.payments.intake import Intake
from handlers.store.payments import Order, PaymentStore, Refund

AMOUNT_MINOR_MIN = 100
AMOUNT_MINOR_MAX = 1_000_000
"""One unit of currency, and ten thousand."""
REFUSAL_S_MAX = 20 * 3600
"""So long the company surely knows a refund again that it has made: idempotency keys live for 24 hours."""
ORDER_LIFE_S = 2 * 3600
"""Stripe takes 30 minutes to 24 hours, WeChat Pay up to 7 days."""

Amount = Annotated[int, msgspec.Meta(ge=AMOUNT_MINOR_MIN, le=AMOUNT_MINOR_MAX)]


class TopUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for a checkout."""

    amount_minor: Amount
    """Cents or fen."""
    currency: str = ""
    """Empty, or the region's."""
    keep_method: bool = False


class RefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request to send money back; without an amount, all that is left of the payment."""

    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MINOR_MAX)] | None = None


class OrderView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as its tenant sees it."""

    order_id: str
    state: str
    kind: str
    amount_minor: int
    refunded_minor: int
    currency: str
    created_at: int
    expires_at: int
    paid_at: int | None = None
    url: str = ""
    """The page to pay on."""
    code_url: str = ""
    """The content of the QR code to scan."""


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as its tenant sees it."""

    refund_id: str
    order_id: str
    amount_minor: int
    state: str


def view_order(order: Order, *, url: str = "", code_url: str = "") -> OrderView:
    """The fields that a tenant sees."""
    return OrderView(
        order_id=order.order_id,
        state=order.state,
        kind=order.kind,
        amount_minor=order.amount_minor,
        refunded_minor=order.refunded_minor,
        currency=order.currency,
        created_at=order.created_at,
        expires_at=order.expires_at,
        paid_at=order.paid_at,
        url=url,
        code_url=code_url,
    )


def view_refund(refund: Refund) -> RefundView:
    """The fields that a tenant sees."""
    return RefundView(
        refund_id=refund.refund_id, order_id=refund.order_id, amount_minor=refund.amount_minor, state=refund.state
    )


def require_manager(customer: Customer) -> None:
    """Refuse whoever may only look and top up.

    Raises:
        PermissionDenied: the key is limited, or not an owner's or admin's.
    """
    if not customer.manages:
        raise PermissionDenied("Use a key without limits that belongs to an owner or admin of the tenant.")


def _order_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise _no_order() from None


def _no_order() -> NotFound:
    return NotFound("There is no such order; list the orders to see their ids.", param="order_id")


class TopUps:
    """The customer's side of the payments room, for one company.

    Args:
        mode: live | test.
        wallet: the same company where it offers more; None otherwise.
        new_id: a fresh UUID as text.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: PaymentStore,
        company: Company,
        wallet: Wallet | None,
        intake: Intake,
        *,
        mode: str,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._company = company
        self._wallet = wallet
        self._intake = intake
        self._mode = mode
        self._new_id = new_id
        self._clock = clock

    def open(self, customer: Customer, request: TopUp, request_key: str) -> OrderView:
        """Begin a top-up; the answer says where to pay. The order exists before the company hears of it."""
        if request.currency not in {"", self._company.currency}:
            raise InvalidRequest(f"In this region currency is {self._company.currency}.", param="currency")
        if request.keep_method and self._wallet is None:
            raise InvalidRequest("Payment methods are not kept in this region.", param="keep_method")
        if request.keep_method:
            require_manager(customer)
        order = self._store.open_order(
            self._new_id(),
            customer.tenant,
            provider=self._company.provider,
            amount_minor=request.amount_minor,
            currency=self._company.currency,
            mode=self._mode,
            keep_method=request.keep_method,
            customer=self._open_customer(customer.tenant),
            request_key=request_key,
            life_s=ORDER_LIFE_S,
        )
        if order.state != "pending":
            return view_order(order)
        checkout = self._company.open_checkout(order, customer=order.customer, keep_method=order.keep_method)
        if checkout.company_order:
            self._store.bind_order(order.order_id, checkout.company_order)
        return view_order(order, url=checkout.url, code_url=checkout.code_url)

    def orders(self, customer: Customer) -> list[OrderView]:
        """The latest orders."""
        return [view_order(order) for order in self._store.list_orders(customer.tenant)]

    def show(self, customer: Customer, order_id: str) -> OrderView:
        """One order. If it is pending the company is asked, so a customer who waits need not wait for a notification."""
        order_id = _order_id(order_id)
        claimed = self._store.claim_order(order_id, customer.tenant)
        if claimed is not None:
            try:
                self._intake.apply(self._company.ask(claimed))
            except Unavailable:
                return view_order(claimed)
        return view_order(self._find(customer, order_id))

    def close(self, customer: Customer, order_id: str) -> OrderView:
        """Take no payment any more. If the customer paid at the same moment, the order is paid and not closed."""
        order = self._find(customer, _order_id(order_id))
        if order.state == "pending":
            self._company.close(order)
            answer = self._company.ask(order)
            if answer.kind is Kind.PENDING:
                answer = msgspec.structs.replace(answer, kind=Kind.EXPIRED, order_id=order.order_id)
            self._intake.apply(answer)
        return view_order(self._find(customer, order.order_id))

    def refund(self, customer: Customer, order_id: str, request: RefundRequest, request_key: str) -> RefundView:
        """Send money back: out of the balance first, then asked of the company, which may take days to say yes."""
        require_manager(customer)
        order_id = _order_id(order_id)
        refund = self._store.open_refund(
            self._new_id(), customer.tenant, order_id, amount_minor=request.amount_minor, request_key=request_key
        )
        if refund.state == "pending":
            with contextlib.suppress(Unavailable):  # it stays pending, and is asked for again
                self.ask_refund(self._find(customer, order_id), refund)
        refunds = self._store.list_refunds(customer.tenant, order_id)
        return view_refund(next(r for r in refunds if r.refund_id == refund.refund_id))

    def ask_refund(self, order: Order, refund: Refund) -> None:
        """Ask the company for a refund that the balance has paid for, or what became of it.

        Raises:
            Unavailable: it cannot answer now; ask again.
        """
        try:
            answer = self._company.ask_refund(order, refund)
        except InvalidRequest:
            if refund.company_refund or self._clock() - refund.created_at > REFUSAL_S_MAX:
                # It was made before, or may have been: "refused" is then no reason to give the money twice.
                raise Unavailable("The payment company's answer contradicts itself; a person looks at it.") from None
            # Refused for good: the money goes back to the balance.
            answer = Notice(
                kind=Kind.REFUND_FAILED,
                provider=order.provider,
                mode=order.mode,
                order_id=order.order_id,
                refund_id=refund.refund_id,
            )
        if answer.reference:
            self._store.bind_refund(refund.refund_id, answer.reference)
        self._intake.apply(answer)

    def refunds(self, customer: Customer, order_id: str) -> list[RefundView]:
        """The refunds of an order."""
        return [view_refund(refund) for refund in self._store.list_refunds(customer.tenant, _order_id(order_id))]

    def _find(self, customer: Customer, order_id: str) -> Order:
        order = self._store.find_order(order_id, customer.tenant)
        if order is None:
            raise _no_order()
        return order

    def _open_customer(self, tenant: str) -> str:
        if self._wallet is None:
            return ""
        known = self._store.profile(tenant).customer
        return known or self._store.set_customer(tenant, self._wallet.open_customer(tenant))
