"""Notices meet orders here, whichever way they came: by notification, by our own question, or as the answer to a request.

Theory of operation
    The database compares and acts (`payments_apply`), at most once. What it cannot know is the order of events: a refund or
    dispute may arrive before the payment it is about, because that notification was lost or is late. Then the company is asked
    about the payment first. A notification that still makes no sense is refused, and the company sends it again later.
"""

from __future__ import annotations

import re
import uuid

import msgspec

from handlers.errors import Conflict
from handlers.payments.company import Company, Kind, Notice, Wallet
from handlers.store.payments import Application, PaymentStore
from handlers.telemetry.logs import Level, Log, PaymentNoted, identifier

_COMPANY_ID = re.compile(r"[A-Za-z0-9_-]{0,128}")
_STRANGER = str(uuid.UUID(int=0))
"""No tenant has this id: a notice that names a malformed tenant contradicts its order."""
UNEXPECTED = frozenset({"mismatch", "unknown_order", "premature"})


def _uuid_or_none(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _company_id(text: str) -> str:
    # What is not an id in form cannot be one of ours; it is not stored, and matches nothing.
    return text if _COMPANY_ID.fullmatch(text) else "malformed"


def to_application(notice: Notice) -> Application:
    """A notice as the database takes it: every value in the form of its column."""
    return Application(
        provider=notice.provider,
        event=_company_id(notice.event_id),
        kind=notice.kind.value,
        order_id=_uuid_or_none(notice.order_id) or (_STRANGER if notice.order_id else None),
        tenant=(_uuid_or_none(notice.tenant) or _STRANGER) if notice.tenant else None,
        amount_minor=notice.amount_minor if 0 <= notice.amount_minor < 2**53 else -1,
        currency=notice.currency,
        mode=notice.mode,
        company_order=_company_id(notice.company_order),
        company_payment=_company_id(notice.company_payment),
        refund_id=_uuid_or_none(notice.refund_id),
        reference=_company_id(notice.reference),
        receipt=_company_id(notice.receipt),
        method=_company_id(notice.method),
    )


class Intake:
    """Applies notices.

    Args:
        wallet: the same company where it offers more; None otherwise.
    """

    def __init__(self, store: PaymentStore, company: Company, wallet: Wallet | None, log: Log) -> None:
        self._store = store
        self._company = company
        self._wallet = wallet
        self._log = log

    def apply(self, notice: Notice) -> str:
        """Let a notice act, at most once.

        Returns:
            The outcome, one of the words of 0201_payment_notices.sql.

        Raises:
            Conflict: it is about a payment that, as far as we and the company know, has not been made.
        """
        if notice.kind in {Kind.PENDING, Kind.PROCESSING, Kind.IGNORED}:
            return notice.kind.value
        outcome = self._store.apply(to_application(notice))
        if outcome == "unknown_order" and (order_id := self._look_up(notice)):
            notice = msgspec.structs.replace(notice, order_id=order_id)
            outcome = self._store.apply(to_application(notice))
        if outcome == "premature":
            self._ask_first(notice)
            outcome = self._store.apply(to_application(notice))
        self._note(notice, outcome)
        if outcome == "premature":
            raise Conflict("The payment that this is about is not known yet; send it again later.", code="premature")
        return outcome

    def _look_up(self, notice: Notice) -> str:
        # A payment names its order or none of ours; a dispute or a refund in the console names the payment only.
        if self._wallet is None or notice.kind is Kind.PAID or notice.order_id or not notice.company_payment:
            return ""
        return self._wallet.find_order(notice.company_payment)

    def _ask_first(self, notice: Notice) -> None:
        order_id = to_application(notice).order_id
        order = self._store.find_order(order_id) if order_id else None
        if order is not None:
            answer = self._company.ask(order)
            if answer.kind is Kind.PAID:
                self._note(answer, self._store.apply(to_application(answer)))

    def _note(self, notice: Notice, outcome: str) -> None:
        self._log.emit(
            PaymentNoted(
                level=Level.WARNING if outcome in UNEXPECTED else Level.INFO,
                provider=identifier(notice.provider),
                kind=identifier(notice.kind.value),
                outcome=identifier(outcome),
                order_id=identifier(_uuid_or_none(notice.order_id) or "unknown"),
            )
        )
