"""What notifications should have told us and did not: pending orders and refunds are asked about, on a schedule.

Each pass asks about the orders and refunds whose time has come (the database hands each to one asker), charges the standing
orders that are due, and closes what has expired. A lost notification costs seconds, not a credit: three passes a minute, and
a young order's time comes every 15 seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from handlers.errors import TheRouterError
from handlers.payments.company import Company, Kind, Notice, Wallet
from handlers.payments.intake import Intake
from handlers.payments.topups import TopUps
from handlers.store.payments import Order, PaymentStore, Refund
from handlers.telemetry.logs import Log, Room

PASSES = 3
PAUSE_S = 20.0
"""Three passes a minute."""
PASSES_MAX = 20
BATCH = 50
EVENT_DAYS = 30
"""How long the ids of notifications are remembered."""


class Pass(msgspec.Struct, frozen=True):
    """What one pass did."""

    orders: int = 0
    refunds: int = 0
    charged: int = 0
    failed: int = 0
    """Questions that found no answer; they are asked again."""


class Questions:
    """Asks the company.

    Args:
        mode: live | test.
        wallet: the same company where it offers more; None otherwise.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: PaymentStore,
        company: Company,
        wallet: Wallet | None,
        intake: Intake,
        topups: TopUps,
        *,
        mode: str,
        log: Log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._company = company
        self._wallet = wallet
        self._intake = intake
        self._topups = topups
        self._mode = mode
        self._log = log
        self._clock = clock

    def run(self) -> Pass:
        """One pass."""
        orders = self._store.claim_orders(BATCH)
        refunds = self._store.claim_refunds(BATCH)
        due = self._open_automatic()
        failed = sum(not self._try(self._ask, order) for order in (*orders, *due))
        failed += sum(not self._try(self._ask_refund, refund) for refund in refunds)
        self._store.forget_events(EVENT_DAYS)
        return Pass(orders=len(orders), refunds=len(refunds), charged=len(due), failed=failed)

    def _open_automatic(self) -> list[Order]:
        if self._wallet is None:
            return []
        return self._store.open_automatic(self._company.provider, self._company.currency, self._mode, BATCH)

    def _try(self, step: Callable[..., None], *arguments: object) -> bool:
        try:
            step(*arguments)
        except TheRouterError:
            return False
        except Exception as error:  # noqa: BLE001 -- one order that trips over a bug must not keep the others waiting
            self._log.fault(Room.PAYMENTS, error)
            return False
        return True

    def _ask(self, order: Order) -> None:
        if order.kind == "automatic" and not order.company_order and self._wallet is not None:
            self._intake.apply(self._charge(order, self._wallet))
            return
        expired = self._clock() > order.expires_at
        if expired:
            self._company.close(order)
        answer = self._company.ask(order)
        if expired and answer.kind is Kind.PENDING:
            answer = msgspec.structs.replace(answer, kind=Kind.EXPIRED, order_id=order.order_id)
        self._intake.apply(answer)

    def _charge(self, order: Order, wallet: Wallet) -> Notice:
        # The first try, or one after a crash: the company charges once for one order, however often it is asked.
        answer = wallet.charge(order, customer=order.customer, method=order.method)
        if answer.company_payment:
            self._store.bind_order(order.order_id, answer.company_payment)
        return answer

    def _ask_refund(self, refund: Refund) -> None:
        order = self._store.find_order(refund.order_id)
        if order is not None:
            self._topups.ask_refund(order, refund)


def make_passes(questions: Questions, passes: int = PASSES, pause_s: float = PAUSE_S) -> Pass:
    """Several passes with pauses between them; returns their sum."""
    total = Pass()
    for number in range(min(passes, PASSES_MAX)):
        if number:
            time.sleep(pause_s)
        made = msgspec.structs.asdict(questions.run())
        total = Pass(**{name: value + made[name] for name, value in msgspec.structs.asdict(total).items()})
    return total
