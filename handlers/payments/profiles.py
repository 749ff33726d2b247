"""What a tenant keeps with the company: payment methods, a standing order, a tax id; and its receipts."""

from __future__ import annotations

from typing import Annotated

import msgspec

from handlers.errors import InvalidRequest, NotFound
from handlers.payments.authentication import Customer
from handlers.payments.company import Wallet
from handlers.payments.topups import Amount, require_manager
from handlers.store.payments import PaymentStore, Profile, Receipt


class StandingOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Top up by `amount_minor` whenever the available credit falls below `threshold_minor`."""

    threshold_minor: Amount
    amount_minor: Amount
    method: Annotated[str, msgspec.Meta(pattern="^pm_[A-Za-z0-9]{1,120}$")]


class TaxId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tax id for receipts, in the company's words (`eu_vat`, `us_ein`, ...)."""

    type: Annotated[str, msgspec.Meta(pattern="^[a-z]{2}_[a-z0-9_]{2,20}$")]
    value: Annotated[str, msgspec.Meta(min_length=4, max_length=32)]


class ReceiptView(msgspec.Struct, frozen=True):
    """A receipt and the company's page of it; the page may be missing."""

    receipt_id: str
    url: str


class Profiles:
    """The wallet's side of the payments room; where there is no wallet only receipts are offered.

    Args:
        wallet: the company where it keeps things for a tenant; None otherwise.
    """

    def __init__(self, store: PaymentStore, wallet: Wallet | None) -> None:
        self._store = store
        self._wallet = wallet

    def receipts(self, customer: Customer) -> list[Receipt]:
        """The latest receipts."""
        return self._store.list_receipts(customer.tenant)

    def receipt(self, customer: Customer, receipt_id: str) -> ReceiptView:
        """One receipt, with the address of the company's page."""
        if not self._store.owns_receipt(customer.tenant, receipt_id):
            raise NotFound("There is no such receipt; list the receipts to see their ids.", param="receipt_id")
        return ReceiptView(receipt_id, self._wallet.receipt_url(receipt_id) if self._wallet else "")

    def methods(self, customer: Customer) -> list[str]:
        """Ids of the kept methods; what they are is known to the company alone."""
        return self._store.list_methods(customer.tenant)

    def remove_method(self, customer: Customer, method: str) -> None:
        """Forget a method here first, so that it is charged no more whatever the company answers."""
        require_manager(customer)
        if not self._store.remove_method(customer.tenant, method):
            raise NotFound("There is no such payment method; list the methods to see their ids.", param="method")
        self._require_wallet().detach_method(method)

    def standing(self, customer: Customer) -> Profile:
        """The standing order as it is."""
        return self._store.profile(customer.tenant)

    def set_standing(self, customer: Customer, order: StandingOrder) -> Profile:
        """Set the standing order and forget past declines."""
        require_manager(customer)
        self._require_wallet()
        self._store.set_automatic(
            customer.tenant,
            threshold_minor=order.threshold_minor,
            amount_minor=order.amount_minor,
            method=order.method,
        )
        return self._store.profile(customer.tenant)

    def end_standing(self, customer: Customer) -> Profile:
        """End the standing order."""
        require_manager(customer)
        self._store.set_automatic(customer.tenant, threshold_minor=0, amount_minor=0, method="")
        return self._store.profile(customer.tenant)

    def set_tax_id(self, customer: Customer, tax_id: TaxId) -> Profile:
        """Print a tax id on receipts from now on, instead of the one before. Only the company's id of it is kept here."""
        require_manager(customer)
        wallet = self._require_wallet()
        profile = self._store.profile(customer.tenant)
        company_customer = profile.customer or self._store.set_customer(
            customer.tenant, wallet.open_customer(customer.tenant)
        )
        self._store.set_tax_id(customer.tenant, wallet.set_tax_id(company_customer, tax_id.type, tax_id.value))
        if profile.tax_id:
            wallet.remove_tax_id(company_customer, profile.tax_id)
        return self._store.profile(customer.tenant)

    def remove_tax_id(self, customer: Customer) -> Profile:
        """Print none."""
        require_manager(customer)
        profile = self._store.profile(customer.tenant)
        if profile.tax_id:
            self._require_wallet().remove_tax_id(profile.customer, profile.tax_id)
            self._store.set_tax_id(customer.tenant, "")
        return self._store.profile(customer.tenant)

    def _require_wallet(self) -> Wallet:
        if self._wallet is None:
            raise InvalidRequest("This is not offered in this region.")
        return self._wallet
