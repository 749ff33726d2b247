from __future__ import annotations

import asyncio

import msgspec
import pytest

from handlers.errors import Unavailable
from handlers.gateway.byok import NO_RECORDS, ByokBook
from handlers.keys.principal import Principal
from handlers.store.gateway import ByokRecord

KEY = "u" + "1" * 15


def principal(**more: object) -> Principal:
    base: dict[str, object] = {
        "key_id": KEY, "account": "a", "user": "person", "account_state": "active", "expires_at": None, "limits": {},
        "retention_days": 90, "byok_mode": "prefer",
    }  # fmt: skip
    return msgspec.convert({**base, **more}, Principal)


def row(record: str, provider: str = "openai", **scope: object) -> ByokRecord:
    return ByokRecord(record, provider, f"sealed-{record}", 1, msgspec.json.encode(scope).decode())


def book_of(*rows: ByokRecord) -> ByokBook:
    async def read(_account: str) -> list[ByokRecord]:
        return list(rows)

    book = ByokBook(read)
    asyncio.run(book.load("a"))
    return book


def test_an_account_is_read_once_until_it_changes() -> None:
    asked = []

    async def read(account: str) -> list[ByokRecord]:
        asked.append(account)
        return [row("r1")]

    book = ByokBook(read)

    async def story() -> None:
        assert not book.knows("a")
        await book.load("a")
        await book.load("a")
        assert asked == ["a"]
        book.forget("a")
        assert not book.knows("a")
        assert book.sealed("a", "r1") == ""
        await book.load("a")
        assert asked == ["a", "a"]

    asyncio.run(story())


def test_what_changed_while_it_was_read_is_read_again() -> None:
    rows = [row("old")]

    async def read(_account: str) -> list[ByokRecord]:
        seen = list(rows)
        if rows[0].record == "old":
            rows[0] = row("new")
            book.forget("a")
        return seen

    book = ByokBook(read)
    asyncio.run(book.load("a"))
    assert book.choice(principal()).record_for("openai", "m") == "new"


def test_an_account_that_never_rests_is_an_outage_and_never_a_shared_credential() -> None:
    async def read(_account: str) -> list[ByokRecord]:
        book.forget("a")
        return []

    book = ByokBook(read)
    with pytest.raises(Unavailable):
        asyncio.run(book.load("a"))
    assert not book.knows("a")


def test_scopes_of_keys_users_and_models() -> None:
    book = book_of(
        row("mini", models=["openai/*-mini"]),
        row("keys", "anthropic", keys=[KEY]),
        row("other-key", "google", keys=["x"]),
        row("user", "mistral", users=["person"]),
        row("nobody", "cohere", users=[]),
        row("all"),
        row("later"),
    )
    choice = book.choice(principal())
    assert choice.record_for("openai", "openai/gpt-4o-mini") == "mini"
    assert choice.record_for("openai", "openai/gpt-4o") == "all"
    assert choice.record_for("anthropic", "x") == "keys"
    assert choice.record_for("mistral", "x") == "user"
    for refused in ("google", "cohere", "unknown"):
        assert choice.record_for(refused, "x") == ""
    assert book.choice(principal(byok_mode="off")) == book.choice(principal(account="b")) == NO_RECORDS
    assert book.sealed("a", "mini") == "sealed-mini"
    assert book.sealed("b", "mini") == book.sealed("a", "gone") == ""
