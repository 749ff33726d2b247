"""The data inventory against the system: what is not listed in handlers/site/inventory.toml is not allowed to exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest

from handlers.gateway.observations import GatewayMetrics
from handlers.gateway.usage_line import UsageLine
from handlers.site.inventory import FILE, load_inventory
from handlers.site.texts import LANGUAGES, load_texts
from handlers.store.migrate import ROLES
from handlers.telemetry.logs import Event
from stacks.policy import PRODUCTION
from tests.database import Database
from tests.handlers.site.pages import ask, make_site

HANDLERS = Path(__file__).parents[1] / "handlers"
WHERE = f"list it in {FILE.name} beside its neighbours, with what it holds"
METRIC_KINDS = {"Counter", "Gauge", "Histogram", "gauge"}
COLUMNS = """
select c.relname, a.attname
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'p', 'v', 'm') and a.attnum > 0 and not a.attisdropped and not c.relispartition
  and c.relnamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information_schema$|test_seed$)')
order by 1, a.attnum
"""
FUNCTIONS = """
select p.proname, lower(pg_get_functiondef(p.oid)),
  array(select r from unnest(:rooms ::text[]) r where has_function_privilege(r, p.oid, 'execute'))
from pg_proc p where p.pronamespace = 'therouter'::regnamespace and p.prokind in ('f', 'p')
"""
PRIVILEGES = """
select r, c.relname from unnest(:rooms ::text[]) r, pg_class c
where c.relnamespace = 'therouter'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
  and (has_any_column_privilege(r, c.oid, 'select') or has_table_privilege(r, c.oid, 'insert, update, delete, truncate'))
"""


def columns_of(database: Database) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in database.query(COLUMNS):
        found.setdefault(str(table), []).append(str(column))
    return found


@pytest.mark.claim("C3", "C6", "C8", "C56")
def test_every_column_of_the_database_is_listed(database: Database) -> None:
    listed = {row.name: set(row.fields) for row in load_inventory().table}
    live = {table: set(columns) for table, columns in columns_of(database).items()}
    unlisted = {f"{table}.{column}" for table, columns in live.items() for column in columns - listed.get(table, set())}
    gone = {f"{table}.{column}" for table, columns in listed.items() for column in columns - live.get(table, set())}
    assert not unlisted, f"{WHERE}: {', '.join(sorted(unlisted))}"
    assert gone == set(), "these are listed and do not exist: take them out"


@pytest.mark.claim("C3")
def test_an_unlisted_column_is_noticed(database: Database) -> None:
    database.altered = True
    database.query("alter table therouter.tenant add column shoe_size integer")
    listed = {row.name: set(row.fields) for row in load_inventory().table}
    assert set(columns_of(database)["tenant"]) - listed["tenant"] == {"shoe_size"}


@pytest.mark.claim("C56")
def test_each_room_reads_the_listed_tables_and_through_functions_alone(database: Database) -> None:
    assert database.query(PRIVILEGES, rooms=list(ROLES)) == []
    live = {table: sorted(rooms) for table, rooms in tables_by_room(database).items()}
    listed = {row.name: sorted(row.readers) for row in load_inventory().table}
    changed = {table: rooms for table, rooms in live.items() if listed.get(table) != rooms}
    lines = "".join(
        f"\n    {table}: readers = {msgspec.json.encode(rooms).decode()}" for table, rooms in changed.items()
    )
    assert not changed, f"functions changed who reads these tables; write into {FILE.name}:{lines}"


def tables_by_room(database: Database) -> dict[str, set[str]]:
    """Table -> the rooms that may execute a function that names it, itself or through functions that it calls."""
    tables = set(columns_of(database))
    sources: dict[str, str] = {}
    rooms: dict[str, set[str]] = {}
    for name, source, allowed in database.query(FUNCTIONS, rooms=list(ROLES)):
        assert isinstance(allowed, list)
        sources[str(name)] = sources.get(str(name), "") + str(source)
        rooms.setdefault(str(name), set()).update(allowed)
    used = {name: _tables_in(source, tables) for name, source in sources.items()}
    calls = {name: {other for other in sources if other != name and re.search(rf"\b{other}\s*\(", source)}
             for name, source in sources.items()}  # fmt: skip
    while any(used[called] - used[name] for name in used for called in calls[name]):
        used = {name: used[name].union(*(used[called] for called in calls[name])) for name in used}
    return {table: {room for name in used if table in used[name] for room in rooms[name]} for table in tables}


def _tables_in(source: str, tables: set[str]) -> set[str]:
    after = r"\b(?:from|join|into|update|using|,)\s+(?:only\s+)?(?:therouter\.)?"
    return {table for table in tables if re.search(rf"(?:{after}|,\s*){table}\b(?!\s*\()", source)}


@pytest.mark.claim("C3", "C6", "C8")
def test_no_column_can_hold_content(database: Database) -> None:
    """Free text and JSON exist only where the inventory says whose words they are."""
    allowed_kinds = {"name", "email", "subject", "change", "limit", "role", "ciphertext", "signature", "digest", "hash",
                     "provider", "key_id", "process", "id", "state"}  # fmt: skip
    kinds = {(row.name, field): kind for row in load_inventory().table for field, kind in row.fields.items()}
    wide = database.query(
        "select table_name, column_name from information_schema.columns where table_schema = 'therouter' "
        "and data_type in ('text', 'json', 'jsonb', 'bytea', 'xml') and table_name !~ '^usage_event_'"
    )
    assert wide
    assert {f"{t}.{c}": kinds[str(t), str(c)] for t, c in wide if kinds[str(t), str(c)] not in allowed_kinds} == {}


@pytest.mark.claim("C3", "C17", "C32")
def test_every_field_of_every_log_line_is_listed() -> None:
    inventory = load_inventory()
    listed = {row.name: set(row.fields) for row in inventory.event}
    live = {
        str(kind.__struct_config__.tag): {field.name for field in msgspec.structs.fields(kind)}
        - set(inventory.event_lines)
        for kind in Event.__subclasses__()
    }
    assert listed == live, WHERE
    assert set(inventory.event_lines) == {"ts", "event", *(field.name for field in msgspec.structs.fields(Event))}


@pytest.mark.claim("C3", "C18")
def test_every_metric_and_label_is_listed() -> None:
    listed = {row.name: set(row.fields) for row in load_inventory().metric}
    live = {metric.name: set(metric.labels) for metric in GatewayMetrics(["openai"]).registry}
    assert {name: listed.get(name) for name in live} == live, WHERE
    assert set(listed) == metric_names(), WHERE


def metric_names() -> set[str]:
    """Every metric that any code makes, by the constant that names it."""
    found = set()
    for path in HANDLERS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _name_of(node.func) in METRIC_KINDS and node.args:
                match node.args[0]:
                    case ast.Constant(value=str(name)):
                        found.add(name)
    return found


def _name_of(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


@pytest.mark.claim("C3", "C8", "C29")
def test_every_field_of_the_spool_is_listed() -> None:
    assert set(load_inventory().spool) == {field.name for field in msgspec.structs.fields(UsageLine)}, WHERE


@pytest.mark.claim("C3", "C26")
def test_every_field_of_the_edge_log_is_listed() -> None:
    assert tuple(load_inventory().edge) == PRODUCTION.edge_log_fields, WHERE


@pytest.mark.claim("C3")
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_lists_all_of_it(language: str) -> None:
    page = ask(make_site(), "/trust/data", f"lang={language}").body
    trust = ask(make_site(), "/trust", f"lang={language}").body
    inventory = load_inventory()
    fields = {field for row in inventory.table for field in row.fields} | set(inventory.edge) | set(inventory.spool)
    fields |= {field for row in (*inventory.event, *inventory.metric) for field in row.fields}
    assert {field for field in fields if f"<code>{field}</code>" not in page} == set()
    assert {
        row.name for row in inventory.table if f"<code>{row.name}</code>: {', '.join(row.fields)}" not in trust
    } == set()


def test_every_kind_purpose_and_period_has_words_and_is_used() -> None:
    inventory = load_inventory()
    texts = load_texts("en")
    kinds = {kind for row in inventory.table for kind in row.fields.values()}
    kinds |= {kind for row in (*inventory.event, *inventory.metric) for kind in row.fields.values()}
    kinds |= {*inventory.event_lines.values(), *inventory.spool.values(), *inventory.edge.values()}
    used = {
        "kinds": kinds,
        "purposes": {row.purpose for row in inventory.table} | {"operation", "metering", "security"},
        "periods": {row.period for row in inventory.table} | {"logs", "metrics", "edge", "moment"},
    }
    for group, names in used.items():
        written = {key.rpartition(".")[2] for key in texts.keys() if key.startswith(f"inventory.{group}.")}  # noqa: SIM118
        assert written == names, group
