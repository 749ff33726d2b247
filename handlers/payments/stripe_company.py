"""Stripe, through its own library. Foreign exceptions become ours here and nowhere else."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec
import stripe

from handlers.errors import ClientError, InvalidRequest, PaymentRequired, Unavailable
from handlers.payments.company import Checkout, Kind, Notice
from handlers.payments.credentials import StripeSecrets
from handlers.payments.stripe_notices import (
    PROVIDER,
    read_event,
    read_payment,
    read_refund,
    read_session,
    verify_signature,
)
from handlers.store.payments import Order, Refund

if TYPE_CHECKING:
    from stripe.params import PaymentIntentCreateParams, RefundCreateParams
    from stripe.params.checkout import SessionCreateParams

NETWORK_RETRIES = 2
TIMEOUT_S = 20
PAGE = 100
"""Payments in one answer of a list; Stripe gives no more."""


@contextlib.contextmanager
def _map_errors() -> Iterator[None]:
    """Turn the library's exceptions into ours: their texts may quote what a customer typed."""
    try:
        yield
    except stripe.CardError:
        raise PaymentRequired("The payment was declined; use another payment method.", code="declined") from None
    except stripe.IdempotencyError:
        raise Unavailable("The payment company is still at work on this; retry shortly.", retry_after_s=2) from None
    except stripe.InvalidRequestError:
        raise InvalidRequest("The payment company refused the request; check its values.", code="refused") from None
    except stripe.StripeError:
        raise Unavailable("The payment company cannot be reached; retry shortly.", retry_after_s=5) from None
    except msgspec.ValidationError:
        raise Unavailable("The payment company's answer was not understood; retry later.", retry_after_s=60) from None


class StripeCompany:
    """The `Company` and the `Wallet` of the global region.

    Args:
        mode: live | test: notices of the other mode never match an order.
        return_url: where the company's page sends the customer back to.
        base_url: another address of the API, for the stand-in; empty for Stripe's own.
        clock: Unix seconds.
    """

    provider = PROVIDER
    currency = "usd"
    list_days = 1

    def __init__(
        self,
        secrets: StripeSecrets,
        *,
        mode: str,
        return_url: str,
        base_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._mode = mode
        self._return_url = return_url
        self._clock = clock
        self._webhook_secret = secrets.webhook_secret
        self._client = stripe.StripeClient(
            secrets.secret_key,
            base_addresses={"api": base_url} if base_url else {},
            max_network_retries=NETWORK_RETRIES,
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
        ).v1

    def open_checkout(self, order: Order, *, customer: str, keep_method: bool) -> Checkout:
        """Make the page on which the customer pays this order."""
        marks = {"order_id": order.order_id, "tenant": order.tenant}
        params: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": order.order_id,
            "customer": customer,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": order.currency,
                        "unit_amount": order.amount_minor,
                        "product_data": {"name": "TheRouter credit"},
                    },
                }
            ],
            "metadata": marks,
            "payment_intent_data": {"metadata": marks},
            "invoice_creation": {"enabled": True},
            # The amount and the currency on the page are those of the order, whatever the customer's country.
            "adaptive_pricing": {"enabled": False},
            "expires_at": order.expires_at,
            "success_url": f"{self._return_url}?order={order.order_id}",
            "cancel_url": f"{self._return_url}?order={order.order_id}&cancelled=1",
        }
        if keep_method:
            params["payment_intent_data"] = {"metadata": marks, "setup_future_usage": "off_session"}
        with _map_errors():
            session = self._client.checkout.sessions.create(params, {"idempotency_key": f"order:{order.order_id}"})
        return Checkout(company_order=session.id, url=session.url or "")

    def read_notification(self, headers: Mapping[str, str], body: bytes) -> Notice:
        """Verify over raw bytes, reduce."""
        verify_signature(headers.get("stripe-signature", ""), body, self._webhook_secret, self._clock())
        return read_event(body)

    def ask(self, order: Order) -> Notice:
        """What became of a checkout or of an automatic payment; one that Stripe does not know is pending."""
        unknown = Notice(kind=Kind.PENDING, provider=PROVIDER, mode=self._mode, order_id=order.order_id)
        if not order.company_order:
            return unknown
        try:
            with _map_errors():
                if order.company_order.startswith("pi_"):
                    return read_payment(self._client.payment_intents.retrieve(order.company_order).to_dict())
                session = self._client.checkout.sessions.retrieve(order.company_order, {"expand": ["payment_intent"]})
                return read_session(session.to_dict())
        except InvalidRequest:
            return unknown

    def close(self, order: Order) -> None:
        """Expire the checkout page, or cancel the payment; one that is over already stays as it is."""
        with contextlib.suppress(ClientError), _map_errors():
            if order.company_order.startswith("cs_"):
                self._client.checkout.sessions.expire(order.company_order)
            elif order.company_order.startswith("pi_"):
                self._client.payment_intents.cancel(order.company_order)

    def ask_refund(self, order: Order, refund: Refund) -> Notice:
        """What became of a refund; one that Stripe never heard of is asked for again, with the same key."""
        if not refund.company_refund:
            return self._refund(order, refund)
        with _map_errors():
            return read_refund(self._client.refunds.retrieve(refund.company_refund).to_dict(), self._mode)

    def _refund(self, order: Order, refund: Refund) -> Notice:
        params: RefundCreateParams = {
            "payment_intent": order.company_payment,
            "amount": refund.amount_minor,
            "metadata": {"order_id": order.order_id, "refund_id": refund.refund_id},
        }
        with _map_errors():
            answer = self._client.refunds.create(params, {"idempotency_key": f"refund:{refund.refund_id}"})
            return read_refund(answer.to_dict(), self._mode)

    def list_paid(self, since_s: int, until_s: int) -> Iterator[Notice]:
        """All payments of the account that succeeded, those of other applications too."""
        with _map_errors():
            listed = self._client.payment_intents.list({"created": {"gte": since_s, "lt": until_s}, "limit": PAGE})
            for payment in listed.auto_paging_iter():
                notice = read_payment(payment.to_dict())
                if notice.kind is Kind.PAID:
                    yield notice

    def open_customer(self, tenant: str) -> str:
        """The tenant's customer record; it holds the tenant's id and nothing else of ours."""
        with _map_errors():
            return self._client.customers.create(
                {"metadata": {"tenant": tenant}}, {"idempotency_key": f"customer:{tenant}"}
            ).id

    def charge(self, order: Order, *, customer: str, method: str) -> Notice:
        """Pay with a kept method, the customer away; asking again for the same order pays once."""
        params: PaymentIntentCreateParams = {
            "amount": order.amount_minor,
            "currency": order.currency,
            "customer": customer,
            "payment_method": method,
            "off_session": True,
            "confirm": True,
            "metadata": {"order_id": order.order_id, "tenant": order.tenant},
        }
        try:
            with _map_errors():
                intent = self._client.payment_intents.create(params, {"idempotency_key": f"order:{order.order_id}"})
                return read_payment(intent.to_dict())
        except (PaymentRequired, InvalidRequest):
            # A decline, or a method that is gone: either way this order will never be paid.
            return Notice(kind=Kind.DECLINED, provider=PROVIDER, mode=self._mode, order_id=order.order_id)

    def detach_method(self, method: str) -> None:
        """Forget a kept method; one that is gone already is fine."""
        with contextlib.suppress(InvalidRequest), _map_errors():
            self._client.payment_methods.detach(method)

    def set_tax_id(self, customer: str, kind: str, value: str) -> str:
        """Print a tax id on the tenant's receipts."""
        with _map_errors():
            # The kinds are Stripe's own enumeration, which grows: Stripe judges them.
            return self._client.customers.tax_ids.create(customer, {"type": kind, "value": value}).id

    def remove_tax_id(self, customer: str, tax_id: str) -> None:
        """Print it no more."""
        with contextlib.suppress(InvalidRequest), _map_errors():
            self._client.customers.tax_ids.delete(customer, tax_id)

    def receipt_url(self, receipt: str) -> str:
        """The page of an invoice (`in_`) or of a charge's receipt (`ch_`)."""
        with _map_errors():
            if receipt.startswith("in_"):
                return self._client.invoices.retrieve(receipt).hosted_invoice_url or ""
            return self._client.charges.retrieve(receipt).receipt_url or ""

    def find_order(self, company_payment: str) -> str:
        """The order that a payment intent names in its metadata."""
        if not company_payment.startswith("pi_"):
            return ""
        with _map_errors():
            return read_payment(self._client.payment_intents.retrieve(company_payment).to_dict()).order_id
