"""What is due for provider keys: taken by one gateway at a time, and written back only where nothing has changed meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import pytest

from handlers.errors import InvalidRequest
from handlers.store.admin import AdminStore
from handlers.store.gateway import ByokTask, GatewayStore
from tests.database import Database

T = TypeVar("T")
SEALED = "tr1.global.local.openai.{version}.{text}"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class Shelf:
    """A tenant with provider keys."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tenant = str(uuid.uuid4())
        AdminStore(database.pool("founder")).create_tenant(self.tenant, "t")
        self.store = GatewayStore(database.pool("gateway"), "pod")

    def put(self, text: str = "abcd", version: int = 1) -> tuple[str, str]:
        """(record, sealed text) of a new key."""
        record, sealed = str(uuid.uuid4()), SEALED.format(version=version, text=text)
        self.database.query(
            "insert into therouter.byok_key (record_id, tenant_id, provider, sealed, key_version) "
            "values (:record, :tenant, 'openai', :sealed, :version)",
            record=record, tenant=self.tenant, sealed=sealed, version=version,
        )  # fmt: skip
        return record, sealed

    def take(self) -> list[ByokTask]:
        return run(self.store.take_byok_tasks(10))

    def want_resealed(self, record: str, version: int) -> None:
        self.database.query(
            "update therouter.byok_care set check_due = false, reseal_to = :v, next_at = now() where record_id = :r",
            v=version, r=record,
        )  # fmt: skip

    def held(self, record: str) -> tuple[str, int]:
        rows = self.database.query("select sealed, key_version from therouter.byok_key where record_id = :r", r=record)
        return str(rows[0][0]), int(str(rows[0][1]))


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


def test_a_new_key_is_tried_once_by_one_gateway(shelf: Shelf) -> None:
    record, sealed = shelf.put()
    (task,) = shelf.take()
    assert (task.record, task.account, task.sealed, task.check_due) == (record, shelf.tenant, sealed, True)
    assert shelf.take() == []
    assert run(shelf.store.byok_checked(record, sealed, "valid"))
    assert shelf.database.query("select check_due, verdict from therouter.byok_care") == [[False, "valid"]]
    assert not run(shelf.store.byok_checked(record, sealed, "invalid_key"))


def test_a_task_whose_gateway_died_comes_up_again(shelf: Shelf) -> None:
    record, _ = shelf.put()
    shelf.take()
    shelf.database.query("update therouter.byok_care set next_at = next_at - interval '2 minutes'")
    assert [task.record for task in shelf.take()] == [record]


def test_a_verdict_about_a_key_that_was_replaced_meanwhile_counts_for_nothing(shelf: Shelf) -> None:
    record, sealed = shelf.put()
    shelf.take()
    digest = "hmac:v1:" + "0" * 64
    shelf.database.query(
        "update therouter.byok_key set sealed = :s, digest = :d", s=SEALED.format(version=1, text="other"), d=digest
    )
    assert not run(shelf.store.byok_checked(record, sealed, "invalid_key"))
    assert [task.check_due for task in shelf.take()] == [True]


@pytest.mark.claim("C16")
def test_a_key_sealed_anew_is_audited_and_not_tried_again(shelf: Shelf) -> None:
    record, sealed = shelf.put()
    shelf.want_resealed(record, 2)
    (task,) = shelf.take()
    assert (task.check_due, task.reseal_to) == (False, 2)
    fresh = SEALED.format(version=2, text="efgh")
    assert run(shelf.store.byok_resealed(record, sealed, fresh))
    assert shelf.held(record) == (fresh, 2)
    assert shelf.database.query("select check_due, reseal_to from therouter.byok_care") == [[False, None]]
    last = shelf.database.query("select record from therouter.audit_row order by seq desc limit 1")[0][0]
    row = msgspec.json.decode(str(last))
    assert (row["action"], row["target"], row["reason"]) == ("byok.update", record, "sealed anew")
    assert row["after"] == {"sealed": "(hidden)", "key_version": 2}


def test_what_changed_or_went_meanwhile_is_not_overwritten(shelf: Shelf) -> None:
    record, sealed = shelf.put()
    shelf.database.query("update therouter.byok_key set sealed = :s", s=SEALED.format(version=1, text="other"))
    assert not run(shelf.store.byok_resealed(record, sealed, SEALED.format(version=2, text="efgh")))
    shelf.database.query("delete from therouter.byok_key")
    assert not run(shelf.store.byok_resealed(record, sealed, SEALED.format(version=2, text="efgh")))
    assert shelf.database.query("select count(*) from therouter.byok_care") == [[0]]


@pytest.mark.claim("C16")
@pytest.mark.parametrize(
    "sealed",
    [
        "tr1.china.local.openai.2.efgh", "tr1.global.production.openai.2.efgh", "tr1.global.local.anthropic.2.efgh",
        "tr2.global.local.openai.2.efgh", "tr1.global.local.openai.0.efgh", "tr1.global.local.openai.2.ef.gh", "garbage",
    ],
)  # fmt: skip
def test_a_text_for_another_place_is_refused(shelf: Shelf, sealed: str) -> None:
    record, before = shelf.put()
    with pytest.raises(InvalidRequest):
        run(shelf.store.byok_resealed(record, before, sealed))


def test_an_older_or_equal_version_changes_nothing(shelf: Shelf) -> None:
    record, before = shelf.put(version=2)
    for version in (1, 2):
        assert not run(shelf.store.byok_resealed(record, before, SEALED.format(version=version, text="efgh")))
    assert shelf.held(record) == (before, 2)
