"""The abort matrix: clients of every dialect leave at every moment, and each request is metered once and charged what it used.

{before the first byte, after the first event, in the middle, before the end, after the finish} x 5 dialects x stream or not
x 3 providers. Each request has exactly one usage row; a finished one is charged what the upstream counted, to the nano-unit;
an abandoned one is charged what its row says it produced, flagged where that was counted from text; all sums are exact.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgspec
import pytest

from handlers.gateway.recorder import BUSY_DELAY_S
from handlers.store.connection import open_connection
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream

MODELS = {
    "openai": "openai/gpt-4o-mini",
    "anthropic": "anthropic/claude-sonnet-4.5",
    "gemini": "google/gemini-2.5-flash",
}
DIALECTS = (
    "openai_chat",
    "anthropic_messages",
    "openai_responses",
    "google_generate",
    "google_interactions",
    "openai_completions",
)
MOMENTS = ("before_first_byte", "first_event", "middle", "before_end", "finished")
WORDS = 9
TEXT = "{{play well delay_ms=12}}"
MARKS = {"first_event": 1, "middle": WORDS // 2, "before_end": WORDS - 1}


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    provider: str
    dialect: str
    stream: bool
    moment: str

    def request(self) -> tuple[str, bytes]:
        """Path and body."""
        model, message = MODELS[self.provider], [{"role": "user", "content": TEXT}]
        if self.dialect == "google_generate":
            verb = "streamGenerateContent?alt=sse" if self.stream else "generateContent"
            return f"/v1beta/models/{model}:{verb}", msgspec.json.encode({"contents": [{"parts": [{"text": TEXT}]}]})
        shapes: dict[str, tuple[str, dict[str, Any]]] = {
            "openai_chat": ("/v1/chat/completions", {"messages": message}),
            "anthropic_messages": ("/v1/messages", {"messages": message, "max_tokens": 256}),
            "openai_responses": ("/v1/responses", {"input": TEXT}),
            "google_interactions": ("/v1beta/interactions", {"input": TEXT}),
            "openai_completions": ("/v1/completions", {"prompt": TEXT}),
        }
        path, body = shapes[self.dialect]
        return path, msgspec.json.encode({"model": model, "stream": self.stream, **body})


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


@pytest.fixture(scope="module")
def system(upstream: ScriptedUpstream) -> Iterator[RunningSystem]:
    addresses = {"openai": f"{upstream.url}/v1", "anthropic": f"{upstream.url}/v1", "gemini": f"{upstream.url}/v1beta"}
    with running_system(addresses, log_level="error") as running:
        yield running


async def play(port: int, key: str, case: Case) -> str | None:
    """Send the request, leave at the moment; the request id if a head was seen."""
    path, body = case.request()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"anthropic-version: 2023-06-01\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    try:
        if case.moment == "before_first_byte":
            await asyncio.sleep(0.03)
            return None
        seen = b""
        while True:
            data = await asyncio.wait_for(reader.read(65_536), 20)
            seen += data
            if not data or (case.moment in MARKS and case.stream and seen.count(b"data: ") > MARKS[case.moment]):
                break
            if case.moment in MARKS and not case.stream:
                break
        assert seen.startswith(b"HTTP/1.1 200"), seen[:300]
        return next(
            line.partition(b": ")[2].decode()
            for line in seen.split(b"\r\n")
            if line.lower().startswith(b"x-request-id")
        )
    finally:
        writer.close()


def rows_of(system: RunningSystem, count: int) -> list[dict[str, Any]]:
    columns = (
        "request_id",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "cache_read_tokens",
        "cost_nano",
        "http_status",
        "error_type",
        "estimated",
    )
    connection = open_connection(system.local.postgres.superuser("therouter"), timeout_s=30)
    deadline = time.monotonic() + 30
    before = -1
    while True:
        rows = connection.run(
            "select request_id::text, model, prompt_tokens, completion_tokens, cache_read_tokens, cost_nano, http_status, error_type, estimated"
            " from therouter.usage_event"
        )
        found = len(rows or [])
        if (found >= count and found == before) or time.monotonic() > deadline:
            connection.close()
            return [dict(zip(columns, row, strict=True)) for row in rows or []]
        before = found
        time.sleep(2 * BUSY_DELAY_S)


def price_of(system: RunningSystem, row: dict[str, Any]) -> int:
    endpoint = system.local.catalog.models[row["model"]].endpoints[0]
    assert endpoint.price is not None
    rates = endpoint.price.rates_at(row["prompt_tokens"])
    full_price = row["prompt_tokens"] - row["cache_read_tokens"]
    grains = (
        full_price * rates.input + row["cache_read_tokens"] * rates.cache_read + row["completion_tokens"] * rates.output
    )
    return math.ceil(Fraction(grains, 1_000_000))


@pytest.mark.claim("A68", "A71", "C12")
def test_a71_every_abort_leaves_exactly_one_row_and_exact_sums(
    system: RunningSystem, upstream: ScriptedUpstream
) -> None:
    key = system.new_key("aborts")
    cases = [Case(*cell) for cell in itertools.product(MODELS, DIALECTS, (True, False), MOMENTS)]

    async def scene() -> dict[str, Case]:
        known: dict[str, Case] = {}
        for start in range(0, len(cases), 10):
            some = cases[start : start + 10]
            ids = await asyncio.gather(*(play(system.port, key, case) for case in some))
            known |= {found: case for found, case in zip(ids, some, strict=True) if found is not None}
        return known

    known = asyncio.run(scene())
    rows = rows_of(system, len(upstream.received))
    dispatched = Counter(row["request_id"] for row in rows)
    assert max(dispatched.values()) == 1
    # A client that leaves at once may be gone before anything is dispatched; then there is nothing to meter.
    at_once = sum(case.moment == "before_first_byte" for case in cases)
    assert len(cases) - at_once <= len(rows) <= len(cases)
    assert known.keys() <= dispatched.keys()
    # Or after that, and before the provider has heard of it: then there is a row that costs nothing.
    unheard = len(rows) - len(upstream.received)
    assert 0 <= unheard <= sum(row["request_id"] not in known and not row["cost_nano"] for row in rows)
    wrong = []
    for row in rows:
        case = known.get(row["request_id"])
        finished = case is not None and (case.moment == "finished" or not case.stream)
        # Counted from text where the provider could not tell any more: near its count, and flagged.
        full = row["completion_tokens"] <= (2 if row["estimated"] else 1) * full_count(case or cases[0])
        # Free is allowed only where nothing had reached the client: zero-completion insurance.
        charged = row["cost_nano"] == price_of(system, row) or (case is None and row["cost_nano"] == 0)
        if finished:
            assert case is not None
            charged = charged and row["completion_tokens"] == full_count(case) and not row["estimated"]
        if not (full and charged and row["http_status"] in {200, 499}):
            wrong.append((case, row))
    assert not wrong, wrong[:6]
    assert all(rule.difference == 0 for rule in system.access.store.check_ledger())


def full_count(case: Case) -> int:
    """What the scripted upstream counts for a whole answer."""
    from tests.upstreams.answers import Answer  # noqa: PLC0415 - the upstream's own arithmetic

    assert case.provider in MODELS
    usage = Answer(format="openai_chat", model="m", stream=False).usage
    assert usage is not None
    return int(usage["output"])
