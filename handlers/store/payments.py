"""What the payment service asks of PostgreSQL: money in and out, each movement once by its natural key."""

from __future__ import annotations

from handlers.store.pool import Pool


class PaymentsStore:
    """The payments room's façade; blocking. Amounts are nano-units, answers are `ok` or `exists`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def top_up(self, key: str, tenant_id: str, amount_nano: int) -> str:
        """Money that arrived."""
        return self._book("credit_topup", key, tenant_id, amount_nano)

    def refund(self, key: str, tenant_id: str, amount_nano: int) -> str:
        """Money that went back to the payer."""
        return self._book("credit_refund", key, tenant_id, amount_nano)

    def charge_back(self, key: str, tenant_id: str, amount_nano: int) -> str:
        """Money that the payer's bank took back; freezes the account."""
        return self._book("credit_chargeback", key, tenant_id, amount_nano)

    def _book(self, statement: str, key: str, tenant_id: str, amount_nano: int) -> str:
        return str(self._pool.run(statement, key=key, tenant=tenant_id, amount_nano=amount_nano)[0][0])
