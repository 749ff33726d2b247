"""What a gateway does for customers' provider keys beside serving with them: it has them tried, and sealed anew.

Theory of operation
    A provider's room alone can open a key, has no database, and is reached by gateways alone; the admin room can do neither. So the
    admin room notes in the database what is due, one gateway takes it, carries the sealed text to the room and the answer back.
        check    the room makes a call of a few tokens under the key, as for any request; what is kept is one of three words
        reseal   the room opens the text and seals it to its newest key; the database exchanges exactly the text that was carried
    The gateway cannot open either text. A task that comes to nothing comes up again later, here or at another gateway.

Rules
    `valid` is said of a call that succeeded and `invalid_key` of one that the provider refused as unauthenticated; whatever else
    happens (no access to the model, an empty account, a rate limit, an outage, no text that opens) is `cannot_tell`.
    A check writes no usage row and costs no credit here; at the provider it costs the key's owner a few tokens.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from handlers.catalog.entries import Catalog, Endpoint
from handlers.errors import FailureClass, TheRouterError
from handlers.keys.sealing import SealBroken, read_header
from handlers.keys.wire_token import mint_wire_token
from handlers.store.gateway import ByokTask
from handlers.transport.wire import RESEAL, WireDeadlines, WireEnd, WireHead, WireRequest, WireTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.store.gateway import GatewayStore
    from handlers.translation.canonical.usage import Usage
    from handlers.transport.wire_client import WireClient

POLL_S = 2.0
TASKS_MAX = 8
ENDPOINTS_MAX = 3
"""Models that a check tries before it gives up: a key may have access to some alone."""
TOKEN_LIFETIME_S = 60
HURRIED = WireDeadlines(
    connect_ms=5_000, headers_ms=15_000, first_event_ms=15_000, between_bytes_ms=15_000, between_events_ms=15_000, total_ms=20_000
)  # fmt: skip
OUTPUT_TOKENS = 16
"""The least that every provider accepts."""
UNAUTHENTICATED = frozenset({400, 401})
"""Statuses of a key that is not known. A 403 also means one that is known and may not do this."""


class _Scope(msgspec.Struct, frozen=True):
    models: tuple[str, ...] | None = None


class _Answer:
    """A sink that keeps what ends an exchange, and nothing of what it said."""

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[WireEnd, bytes] | None] = asyncio.get_running_loop().create_future()

    def head_received(self, head: WireHead) -> None:
        pass

    def data_received(self, data: bytes, semantic: bool) -> None:  # noqa: FBT001 as the protocol has it
        pass

    def usage_received(self, usage: Usage) -> None:
        pass

    def ended(self, end: WireEnd, final: bytes) -> None:
        self._settle((end, final))

    def lost(self) -> None:
        self._settle(None)

    def _settle(self, answer: tuple[WireEnd, bytes] | None) -> None:
        if not self.done.done():
            self.done.set_result(answer)


class ByokCare:
    """The errands of one gateway process."""

    def __init__(
        self,
        store: GatewayStore,
        catalog: Catalog,
        pods: Mapping[str, WireClient],
        wire_keys: Mapping[str, bytes],
    ) -> None:
        """`wire_keys` is read anew for each errand: a rotation changes it in place."""
        self._store, self._catalog, self._pods, self._wire_keys = store, catalog, pods, wire_keys

    async def run(self) -> None:
        """Look for what is due for as long as the process lives."""
        while True:
            try:
                busy = await self.work()
            except TheRouterError:
                busy = False
            await asyncio.sleep(0 if busy else POLL_S)

    async def work(self) -> bool:
        """Do what is due, a few tasks at a time; whether there may be more."""
        tasks = await self._store.take_byok_tasks(TASKS_MAX)
        await asyncio.gather(*(self._do(task) for task in tasks))
        return len(tasks) == TASKS_MAX

    async def _do(self, task: ByokTask) -> None:
        if task.reseal_to is not None and task.provider in self._pods:
            await self._reseal(task, task.reseal_to)
        elif task.check_due:
            verdict = await self._verdict(task)
            if verdict:
                await self._store.byok_checked(task.record, task.sealed, verdict)

    async def _reseal(self, task: ByokTask, version: int) -> None:
        """Carry the text to its room and put what comes back; a room that has not heard of the new key yet is asked again."""
        answer = await self._ask(task, RESEAL, b"")
        if answer is None or answer[0].failure is not None:
            return
        sealed = answer[1].decode("ascii", "replace")
        try:
            is_new = read_header(sealed).version >= version
        except SealBroken:
            return
        if is_new:
            await self._store.byok_resealed(task.record, task.sealed, sealed)

    async def _verdict(self, task: ByokTask) -> str:
        """One of the three words, or empty when the provider's room could not be asked."""
        if task.provider not in self._pods:
            return "cannot_tell"
        for endpoint in cheapest(self._catalog, task.provider, task.scope):
            answer = await self._ask(task, endpoint.id, _minimal_body(endpoint), endpoint)
            if answer is None:
                return ""
            end, _ = answer
            if end.failure is None:
                return "valid"
            if end.failure is FailureClass.UNAUTHENTICATED_UPSTREAM and end.upstream_status in UNAUTHENTICATED:
                return "invalid_key"
            if end.failure is not FailureClass.NOT_FOUND_UPSTREAM:
                break
        return "cannot_tell"

    async def _ask(
        self, task: ByokTask, name: str, body: bytes, endpoint: Endpoint | None = None
    ) -> tuple[WireEnd, bytes] | None:
        """One exchange with the provider's room; None when it was lost."""
        answer, request_id = _Answer(), str(uuid.uuid4())
        expires_at_s = int(time.time()) + TOKEN_LIFETIME_S
        token = mint_wire_token(
            self._wire_keys[task.provider], request_id, task.account, name, task.record, expires_at_s
        )
        terms = WireTerms(
            dialect=_dialect_of(endpoint),
            operation=_operation_of(endpoint),
            endpoint=name,
            public_model=endpoint.model if endpoint else "",
            stream=False,
            deadlines=HURRIED,
            credential="byok",
        )
        request = WireRequest(terms, request_id, token, task.account, byok_record=task.record, byok_sealed=task.sealed)
        call = self._pods[task.provider].call(request, body, answer)
        try:
            return await asyncio.wait_for(answer.done, HURRIED.total_ms / 1000 + 5)
        except TimeoutError:
            call.cancel()
            return None


def cheapest(catalog: Catalog, provider: str, scope: str) -> list[Endpoint]:
    """The endpoints that a check of a record tries, best first: within its scope, chat before embeddings, then by price."""
    patterns = msgspec.json.decode(scope, type=_Scope).models
    found = [
        endpoint
        for model in catalog.models.values()
        for endpoint in model.endpoints
        if endpoint.provider == provider
        and _operation_of(endpoint)
        and (patterns is None or any(fnmatchcase(model.id, pattern) for pattern in patterns))
    ]
    return sorted(found, key=_effort)[:ENDPOINTS_MAX]


def _effort(endpoint: Endpoint) -> tuple[bool, bool, int, str]:
    able = endpoint.capabilities
    rates = endpoint.price.tiers[0][1] if endpoint.price else None
    nano = rates.input + rates.output if rates else 2**62
    return "chat" not in able.operations, able.reasoning, nano, endpoint.id


def _operation_of(endpoint: Endpoint | None) -> str:
    operations = endpoint.capabilities.operations if endpoint else frozenset[str]()
    return next((name for name in ("chat", "embeddings") if name in operations), "")


def _dialect_of(endpoint: Endpoint | None) -> str:
    return "openai_embeddings" if _operation_of(endpoint) == "embeddings" else "openai_chat"


def _minimal_body(endpoint: Endpoint) -> bytes:
    if _operation_of(endpoint) == "embeddings":
        return msgspec.json.encode({"model": endpoint.model, "input": "Hi"})
    messages = [{"role": "user", "content": "Hi"}]
    return msgspec.json.encode({"model": endpoint.model, "messages": messages, "max_tokens": OUTPUT_TOKENS})
