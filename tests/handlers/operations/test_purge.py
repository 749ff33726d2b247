from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.operations import purge as module
from handlers.operations.purge import PurgeEvent, PurgeRefused, handler, plausible, purge
from handlers.operations.sealing import Sealer
from handlers.store.operations import OperationsStore, PurgeDue
from stacks.policy import PRODUCTION
from tests.database import Database

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FIELDS = {
    "retention_days_default": PRODUCTION.metadata_retention_days_default,
    "retention_days_min": PRODUCTION.metadata_retention_days_min,
    "retention_days_max": PRODUCTION.metadata_retention_days_max,
}
EVENT = PurgeEvent(**FIELDS)
SEALER = Sealer("global", Ed25519PrivateKey.generate())


def due(**age: int) -> PurgeDue:
    return PurgeDue("tenant", NOW - timedelta(**age), 1)


@pytest.mark.claim("C10", "C11")
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ({"days": 1}, True),
        ({"days": 90}, True),
        ({"days": 730}, True),
        ({"days": 730, "minutes": 4}, True),
        ({"days": 731}, False),
        ({"hours": 23}, False),
        ({"hours": 23, "minutes": 56}, True),
        ({"days": -1}, False),
    ],
)
def test_a_cutoff_is_believed_within_the_promised_days_alone(age: dict[str, int], expected: bool) -> None:
    assert plausible(due(**age), EVENT, NOW) is expected


def test_nothing_is_due_in_an_empty_database_and_partitions_are_made(database: Database) -> None:
    store = OperationsStore(database.pool("operations"))
    first = purge(store, EVENT, datetime.now(UTC), SEALER)
    again = purge(store, EVENT, datetime.now(UTC), SEALER)
    assert (first.rows, first.refused, again.rows, again.partitions_made) == (0, (), 0, 0)


@pytest.mark.claim("C10")
def test_a_tenant_whose_cutoff_cannot_be_right_keeps_its_rows_and_the_run_fails(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(OperationsStore):
        """A database whose clock is a day ahead."""

        def purge_due(self) -> list[PurgeDue]:
            return [PurgeDue("tenant", datetime.now(UTC) - timedelta(hours=1), 7)]

        def purge(self, tenant_id: str, cutoff: datetime, limit: int = 0) -> tuple[int, int]:
            raise AssertionError((tenant_id, cutoff, limit))

    monkeypatch.setattr(module, "open_sealer", lambda: SEALER)
    monkeypatch.setattr(module, "open_restored_store", lambda: Clock(database.pool("operations")))
    with pytest.raises(PurgeRefused):
        handler(FIELDS, None)


@pytest.mark.claim("C9", "C11")
def test_the_column_promises_what_the_policy_promises() -> None:
    migrations = Path(module.__file__).parents[1] / "store" / "migrations"
    (line,) = [
        line for line in (migrations / "0001_tenants.sql").read_text().splitlines() if "retention_days int" in line
    ]
    low, high = PRODUCTION.metadata_retention_days_min, PRODUCTION.metadata_retention_days_max
    assert f"default {PRODUCTION.metadata_retention_days_default} " in line
    assert f"between {low} and {high}" in line
