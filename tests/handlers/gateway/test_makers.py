"""Who made what: the same for all replicas, kept apart by account, and nothing lost but what nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec
import pytest

from handlers.errors import Unavailable
from handlers.gateway import makers
from handlers.gateway.call import Call
from handlers.gateway.gate import read_call
from handlers.gateway.makers import NOBODY, Maker, Makers, carries_material, kept_by, latest_maker
from handlers.gateway.routes import ROUTES
from handlers.store.gateway import GatewayStore
from handlers.translation.canonical.bound_material import fingerprint
from tests.database import Database

KEY, OLDER = b"k" * 32, b"o" * 32
OURS, OTHERS = Maker("anthropic", "shared"), Maker("anthropic", "byok:1")


def call(*signatures: str, path: bytes = b"/v1/messages") -> Call:
    thoughts = [{"type": "thinking", "thinking": "t", "signature": signature} for signature in signatures]
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": thoughts}]
    body = msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": said})
    return read_call(ROUTES[path], path, path, None, body)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class NoDatabase:
    """As the store is while PostgreSQL is down."""

    asked = 0

    async def note_makers(self, rows: bytes) -> None:
        raise Unavailable(rows.decode()[:0] or "down")

    async def find_makers(self, digests: list[str]) -> list[tuple[str, str, str]]:
        self.asked += len(digests)
        raise Unavailable("down")


def spawn(work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.exception())
    _tasks.append(task)


_tasks: list[asyncio.Future[None]] = []


def replica(store: makers.MakerStore, *, keys: tuple[bytes, ...] = (KEY,), clock: Clock | None = None) -> Makers:
    return Makers(store, keys, clock or Clock(), spawn)


def stores(database: Database) -> list[GatewayStore]:
    return [GatewayStore(database.pool("gateway"), pod=name) for name in ("a", "b")]


def test_another_replica_knows_at_once_and_asks_once(database: Database) -> None:
    first, second = (replica(store) for store in stores(database))

    async def scene() -> None:
        first.made("account", OURS, (fingerprint("sig1"), fingerprint("sig2")))
        assert first.known("account", call("sig1")) == ((fingerprint("sig1"), OURS),)
        assert second.known("account", call("sig1")) is None
        # No wait for the other's batch: what is on its way is found by the second question.
        found = await second.find("account", call("sig1", "sig2", "sig3"))
        assert found == ((fingerprint("sig1"), OURS), (fingerprint("sig2"), OURS), (fingerprint("sig3"), NOBODY))
        assert second.known("account", call("sig2", "sig3")) is not None, "also that nobody made it"
        assert await second.find("other account", call("sig1")) == ((fingerprint("sig1"), NOBODY),)

    asyncio.run(scene())
    rows = database.query("select encode(digest, 'hex') as digest, provider, credential from bound_maker")
    text = msgspec.json.encode(rows).decode()
    assert len(rows) >= 2
    assert fingerprint("sig1") not in text, "kept under a key, and the account is part of it"
    assert "sig1" not in text


def test_a_rotation_of_the_key_forgets_nothing(database: Database) -> None:
    store = stores(database)[0]
    before, after = replica(store, keys=(OLDER,)), replica(store, keys=(KEY, OLDER))

    async def scene() -> None:
        before.made("account", OTHERS, (fingerprint("sig4"),))
        assert await after.find("account", call("sig4")) == ((fingerprint("sig4"), OTHERS),)
        after.renew((KEY,))
        assert await after.find("account", call("sig4")) == ((fingerprint("sig4"), NOBODY),)

    asyncio.run(scene())


def test_what_has_expired_is_not_found_and_leaves(database: Database) -> None:
    store = stores(database)[0]

    async def scene() -> None:
        room = replica(store)
        room.made("account", OURS, (fingerprint("sig5"),))
        await _tasks[-1]
        database.query("update bound_maker set expires_at = now() - interval '1 second'")
        assert await replica(store).find("account", call("sig5")) == ((fingerprint("sig5"), NOBODY),)
        room.made("account", OURS, (fingerprint("sig6"),))
        await _tasks[-1]

    asyncio.run(scene())
    assert len(database.query("select 1 as one from bound_maker")) == 1


def test_without_a_database_a_process_knows_what_it_has_seen() -> None:
    store, clock = NoDatabase(), Clock()
    room = replica(store, clock=clock)

    async def scene() -> None:
        room.made("account", OURS, (fingerprint("sig1"),))
        assert await room.find("account", call("sig1", "sig2")) == (
            (fingerprint("sig1"), OURS),
            (fingerprint("sig2"), NOBODY),
        )
        assert store.asked == 1, "and asks for the rest once"
        assert room.known("account", call("sig2")) is None, "what could not be asked is asked for again"
        clock.now += makers.REMEMBERED_S + 1
        assert room.known("account", call("sig1")) is None

    asyncio.run(scene())


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(makers, "REMEMBERED_MAX", 10)

    async def scene() -> int:
        room = replica(NoDatabase())
        for number in range(100):
            room.made("account", OURS, (str(number),))
        return len(room._known)

    assert asyncio.run(scene()) == 10


def test_calls_without_material_are_told_by_a_search() -> None:
    assert carries_material(call("sig"))
    assert not carries_material(call())
    assert not carries_material(plain_chat())


def plain_chat() -> Call:
    path = b"/v1/chat/completions"
    said = [{"role": "user", "content": 'what is a "signature"?'}, {"role": "assistant", "content": "a name"}]
    return read_call(ROUTES[path], path, path, None, msgspec.json.encode({"model": "m", "messages": said}))


def test_only_its_maker_keeps_a_piece() -> None:
    made = (("1", OURS), ("2", OTHERS), ("3", NOBODY))
    assert kept_by(made, "anthropic", "shared") == ("1",)
    assert kept_by(made, "anthropic", "byok:1") == ("2",)
    assert kept_by(made, "openai", "shared") == ()
    assert latest_maker(made) == OTHERS
    assert latest_maker(None) == NOBODY
