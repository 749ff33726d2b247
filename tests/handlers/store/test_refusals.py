from __future__ import annotations

import re

import pytest

from handlers.errors import Conflict, InvalidRequest, NotFound, TheRouterError, Unavailable
from handlers.store.migrate import MIGRATIONS
from handlers.store.refusals import REFUSALS, StatementRefused, explain
from tests.database import Database


@pytest.mark.parametrize(("sqlstate", "constraint", "expected"), [
    ("23505", "api_key_pkey", Conflict),
    ("23514", "tenant_retention_days_check", InvalidRequest),
    ("TR404", "tenant_unknown", NotFound),
    ("23505", "a_constraint_nobody_foresaw", StatementRefused),
    ("22P02", "", StatementRefused),
    ("57014", "", Unavailable),
    ("57P01", "", Unavailable),
    ("53300", "", Unavailable),
    ("40P01", "", Unavailable),
    ("25006", "", Unavailable),
    ("42501", "", Unavailable),
    ("", "", Unavailable),
    ("53100", "api_key_pkey", Unavailable),
])  # fmt: skip
def test_what_is_about_our_values_is_refused_and_all_else_is_an_outage(
    sqlstate: str, constraint: str, expected: type[TheRouterError]
) -> None:
    assert type(explain(sqlstate, constraint)) is expected


def test_an_outage_is_never_the_clients_fault() -> None:
    for sqlstate_class in ("08", "25", "28", "40", "42", "53", "54", "55", "57", "58", "XX"):
        assert explain(f"{sqlstate_class}000", "").http_status == 503


def test_every_refusal_that_a_function_raises_has_its_words(database: Database) -> None:
    raised = set(
        re.findall(r"constraint = '([a-z_]+)'", "".join(p.read_text("utf-8") for p in MIGRATIONS.glob("00*.sql")))
    )
    internal = {"append_only", "login_invalid", "usage_too_old"}
    assert raised - internal <= set(REFUSALS)
    in_database = {name for (name,) in database.query("select conname from pg_constraint")}
    unknown = {name for name in REFUSALS if name not in in_database and name not in raised}
    others = set(
        re.findall(r"constraint = '([a-z_]+)'", "".join(p.read_text("utf-8") for p in MIGRATIONS.glob("*.sql")))
    )
    assert unknown - others == set()
