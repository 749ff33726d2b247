"""What is kept, where, why, for how long and who reads it: the page that is made from inventory.toml (C3, C56)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from handlers.site.frame import Page, link
from handlers.site.markup import Markup, element, join, table
from handlers.site.texts import Texts

FILE = Path(__file__).parent / "inventory.toml"


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the database. Kinds, purpose and period are text keys."""

    name: str
    purpose: str
    period: str
    readers: tuple[str, ...]
    fields: dict[str, str]


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A log event or a metric."""

    name: str
    fields: dict[str, str] = {}


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    table: tuple[Table, ...]
    event_lines: dict[str, str]
    """Fields of every log line."""
    event: tuple[Named, ...]
    metric: tuple[Named, ...]
    spool: dict[str, str]
    edge: dict[str, str]


@functools.cache
def load_inventory() -> Inventory:
    """The inventory of this build."""
    return msgspec.toml.decode(FILE.read_bytes(), type=Inventory)


def make_inventory_page(texts: Texts) -> Page:
    """The inventory for people."""
    inventory = load_inventory()
    parts = (
        _part("database", texts, [_table(row, texts) for row in inventory.table], note=True),
        _part("spool", texts, [_box(None, inventory.spool, texts, "metering", "moment")]),
        _part("logs", texts, _events(inventory, texts)),
        _part(
            "metrics", texts, [_box(row.name, row.fields, texts, "operation", "metrics") for row in inventory.metric]
        ),
        _part("edge", texts, [_box(None, inventory.edge, texts, "security", "edge")]),
    )
    return Page("/trust/data", texts["inventory.title"], texts["inventory.lead"], join(parts))


def list_columns(tables: tuple[str, ...] | None, texts: Texts) -> Markup:
    """The columns of these tables, or of all, folded, with the way to the whole inventory."""
    rows = [row for row in load_inventory().table if tables is None or row.name in tables]
    count = texts["inventory.columns"].format(columns=sum(len(row.fields) for row in rows), tables=len(rows))
    listed = (element("li", element("code", row.name), f": {', '.join(row.fields)}") for row in rows)
    whole = element("a", texts["inventory.title"], href=link("/trust/data", texts))
    return element(
        "details", element("summary", count), element("ul", *listed, class_="tests"), whole, class_="columns"
    )


def _part(name: str, texts: Texts, boxes: Iterable[Markup], *, note: bool = False) -> Markup:
    return element(
        "section",
        element("h2", texts[f"inventory.{name}"]),
        element("p", texts[f"inventory.{name}_lead"], class_="lead"),
        element("p", texts["inventory.note"], class_="note") if note else None,
        *boxes,
        id=name,
    )


def _events(inventory: Inventory, texts: Texts) -> list[Markup]:
    return [_box(row.name, inventory.event_lines | row.fields, texts, "operation", "logs") for row in inventory.event]


def _table(row: Table, texts: Texts) -> Markup:
    return _box(row.name, row.fields, texts, row.purpose, row.period, row.readers)


def _box(
    name: str | None,
    fields: Mapping[str, str],
    texts: Texts,
    purpose: str,
    period: str,
    readers: tuple[str, ...] | None = None,
) -> Markup:
    facts = {
        "purpose": texts[f"inventory.purposes.{purpose}"],
        "kept": texts[f"inventory.periods.{period}"],
        "readers": None if readers is None else ", ".join(readers) or "-",
    }
    described = [f"{texts[f'inventory.{fact}']}: {words}" for fact, words in facts.items() if words is not None]
    rows = ((element("code", field), texts[f"inventory.kinds.{kind}"]) for field, kind in fields.items())
    headings = (texts["inventory.field"], texts["inventory.content"])
    return element(
        "details",
        element(
            "summary", element("code", name or ", ".join(fields)), element("span", " · ".join(described), class_="note")
        ),
        table(headings, rows) if fields else None,
        class_="box",
    )
