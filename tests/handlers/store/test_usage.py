from __future__ import annotations

import msgspec
import pytest

from handlers.store.usage import UsageRow
from tests.database import Database

NINE_OF_THE_TRUST_PAGE = {
    "ts", "user_id", "model", "prompt_tokens", "completion_tokens", "cost_nano", "latency_ms", "http_status", "error_type",
}  # fmt: skip
TECHNICAL = {
    "request_id", "tenant_id", "key_id", "provider", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "stream",
    "first_event_ms", "estimated", "credential", "attempts", "price_version", "final",
}  # fmt: skip


@pytest.mark.claim("C8")
def test_the_row_has_the_fields_of_the_page_and_no_other(database: Database) -> None:
    columns = database.query(
        "select attname from pg_attribute where attrelid = 'therouter.usage_event'::regclass and attnum > 0 "
        "and not attisdropped order by attnum"
    )
    names = [name for (name,) in columns]
    assert set(names) == NINE_OF_THE_TRUST_PAGE | TECHNICAL
    assert names == [field.name for field in msgspec.structs.fields(UsageRow)], "rows are read by position"


@pytest.mark.claim("C4")
def test_no_column_can_hold_a_body(database: Database) -> None:
    """Text is bounded to what names need, by its type or by a check; JSON is only where its shape and size are checked."""
    roomy = database.query(
        "select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
        "left join pg_type t on t.oid = a.atttypid "
        "where c.relnamespace = 'therouter'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped "
        "and (coalesce(nullif(t.typbasetype, 0), t.oid) in ('text'::regtype, 'bytea'::regtype, 'json'::regtype, 'xml'::regtype) "
        "or (coalesce(nullif(t.typbasetype, 0), t.oid) = 'varchar'::regtype and greatest(a.atttypmod, t.typtypmod) < 0)) "
        "and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'c' and a.attnum = any (k.conkey))"
    )
    assert [row for row in roomy if row[0] != "migration"] == []
    unchecked = database.query(
        "select c.relname, a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid "
        "where c.relnamespace = 'therouter'::regnamespace and c.relkind in ('r', 'p') and a.atttypid = 'jsonb'::regtype "
        "and not exists (select from pg_constraint k where k.conrelid = c.oid and a.attnum = any (k.conkey))"
    )
    assert unchecked == []
