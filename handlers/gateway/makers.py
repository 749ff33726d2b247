"""Whose credential made the encrypted reasoning and the signatures that a request carries: known to all replicas.

Theory of operation
    A pod reports fingerprints of what an answer carried (translation/canonical/bound_material.py). They are remembered
    here, and written to PostgreSQL in batches before the client has heard the answer's end in all but a race: the next
    batch is on its way as soon as the one before it is done. A request that carries such material is looked up in memory,
    and only what this process does not know, in one query for all of it; what the database does not know either is asked
    for once more after RETRY_S, because its batch may still be on its way from another replica.
    What nobody knows was made elsewhere, or longer ago than a day: it is nobody's, and no pod will send it on.
    While the database is down each process knows what it has seen itself.

Nothing of the material is kept: a row is a keyed digest of a fingerprint and the account, the provider, the credential's
id, and the time at which it expires. The key comes from the mint keys and changes with them; those before still find.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from handlers.errors import TheRouterError
from handlers.translation.canonical.bound_material import fingerprints_in, may_hold_material

if TYPE_CHECKING:
    from handlers.gateway.call import Call

PURPOSE = b"bound material"
"""Of the subkeys of the mint keys under which digests are made."""
REMEMBERED_MAX = 100_000
REMEMBERED_S = 86_400.0
NOBODYS_S = 600.0
"""For so long what nobody knows is not asked for again."""
RETRY_S = 0.15
WAITING_MAX = 10_000
"""Rows that wait to be written; while the database is down more than these are known here only."""


class Maker(NamedTuple):
    """Who made something; both empty when nobody knows."""

    provider: str
    credential: str
    """Health key of the attempt: shared, or byok:<record>."""


NOBODY = Maker("", "")
Made = tuple[str, Maker]
"""A fingerprint and who made it."""


class MakerRow(msgspec.Struct, frozen=True):
    """As the database keeps it."""

    digest: str
    provider: str
    credential: str


class MakerStore(Protocol):
    """The part of the store that this needs; see handlers.store.gateway. Both raise Unavailable."""

    async def note_makers(self, rows: bytes) -> None:
        """Keep a JSON array of `MakerRow` for a day."""

    async def find_makers(self, digests: list[str]) -> list[tuple[str, str, str]]:
        """(digest, provider, credential) of those that are known."""


class Makers:
    """What this process knows, and its way to what the others know. All methods belong to the event loop's thread."""

    def __init__(
        self,
        store: MakerStore,
        keys: tuple[bytes, ...],
        monotonic: Callable[[], float],
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._store = store
        self._keys = keys
        self._monotonic = monotonic
        self._spawn = spawn
        self._known: dict[str, tuple[Maker, float]] = {}
        """Digest under the newest key -> who, until when."""
        self._waiting: dict[str, Maker] = {}
        self._is_writing = False

    def renew(self, keys: tuple[bytes, ...]) -> None:
        """Use these keys from now on, newest first."""
        if keys != self._keys:
            self._keys = keys
            self._known.clear()

    def made(self, account: str, maker: Maker, fingerprints: tuple[str, ...]) -> None:
        """An answer carried these."""
        for mark in fingerprints:
            digest = _digest(self._keys[0], account, mark)
            self._remember(digest, maker, REMEMBERED_S)
            if len(self._waiting) < WAITING_MAX:
                self._waiting[digest] = maker
        if not self._is_writing:
            self._is_writing = True
            self._spawn(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                rows = [MakerRow(digest, *maker) for digest, maker in batch.items()]
                await self._store.note_makers(msgspec.json.encode(rows))
        finally:
            self._is_writing = False

    def known(self, account: str, call: Call) -> tuple[Made, ...] | None:
        """Who made what the call carries, in its order; None when that takes a question to the database."""
        found = []
        for mark in fingerprints_in(call.body):
            maker = self._recall(_digest(self._keys[0], account, mark))
            if maker is None:
                return None
            found.append((mark, maker))
        return tuple(found)

    async def find(self, account: str, call: Call) -> tuple[Made, ...]:
        """As `known`, having asked for what is not known here."""
        marks = fingerprints_in(call.body)
        missing = [mark for mark in marks if self._recall(_digest(self._keys[0], account, mark)) is None]
        try:
            missing = await self._ask(account, missing)
            if missing:
                await asyncio.sleep(RETRY_S)
                missing = await self._ask(account, missing)
        except TheRouterError:
            missing = []  # unknown for this request, and asked for again by the next one
        for mark in missing:
            self._remember(_digest(self._keys[0], account, mark), NOBODY, NOBODYS_S)
        return tuple((mark, self._recall(_digest(self._keys[0], account, mark)) or NOBODY) for mark in marks)

    async def _ask(self, account: str, marks: list[str]) -> list[str]:
        """Ask for these; those that stay unknown."""
        if not marks:
            return []
        asked = {_digest(key, account, mark): mark for mark in marks for key in self._keys}
        for digest, provider, credential in await self._store.find_makers(list(asked)):
            self._remember(_digest(self._keys[0], account, asked[digest]), Maker(provider, credential), REMEMBERED_S)
        return [mark for mark in marks if self._recall(_digest(self._keys[0], account, mark)) is None]

    def _recall(self, digest: str) -> Maker | None:
        known = self._known.get(digest)
        return known[0] if known is not None and self._monotonic() < known[1] else None

    def _remember(self, digest: str, maker: Maker, span_s: float) -> None:
        self._known.pop(digest, None)
        self._known[digest] = (maker, self._monotonic() + span_s)
        if len(self._known) > REMEMBERED_MAX:
            del self._known[next(iter(self._known))]


def carries_material(call: Call) -> bool:
    """Whether who made what matters for this call."""
    return call.route.operation in {"chat", "count_tokens"} and may_hold_material(call.route.dialect, call.body)


def latest_maker(made: tuple[Made, ...] | None) -> Maker:
    """Who made the newest piece of those whose maker is known."""
    return next((maker for _, maker in reversed(made or ()) if maker != NOBODY), NOBODY)


def kept_by(made: tuple[Made, ...], provider: str, credential: str) -> tuple[str, ...]:
    """The fingerprints that may go to this credential."""
    return tuple(mark for mark, maker in made if maker == (provider, credential))


def _digest(key: bytes, account: str, mark: str) -> str:
    return blake2b(f"{account} {mark}".encode(), key=key, digest_size=16).hexdigest()
