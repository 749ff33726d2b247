"""Kill everything under load, then count: `python -m tests.faults.crashes --kills 200 --database-crashes 5`.

A request is *acknowledged* when its client has the complete answer: the whole JSON, or the stream up to [DONE]. After any
number of SIGKILLs of the gateway and of a provider pod, and immediate shutdowns of PostgreSQL, every acknowledged request
has exactly one usage row with the tokens that the client was told and the price that follows from them, and every sum of
the ledger is exact. The price is computed here again, with fractions.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from handlers.store.connection import open_connection
from tests.http_client import Answer, Client
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream

MODEL = "openai/gpt-4o-mini"
CLIENTS = 12
SETTLE_TIMEOUT_S = 60.0
OUTAGE_STATUSES = frozenset({200, 429, 500, 502, 503, 504})


@dataclass
class Tally:
    """What the clients saw, and what the database says about it."""

    sent: int = 0
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    gateway_kills: int = 0
    pod_kills: int = 0
    database_crashes: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    sums_off: int = 0
    rows: int = 0
    cost_nano: int = 0

    def table(self) -> str:
        """The counts, for people."""
        values = {
            "requests sent": self.sent, "acknowledged": len(self.acknowledged), "statuses": dict(sorted(self.statuses.items())),
            "SIGKILLs of the gateway": self.gateway_kills, "SIGKILLs of the provider pod": self.pod_kills,
            "immediate shutdowns of PostgreSQL": self.database_crashes, "usage rows": self.rows, "charged (nano)": self.cost_nano,
            "acknowledged and lost": self.lost, "doubled": self.doubled, "wrong": self.wrong, "ledger sums off": self.sums_off,
        }  # fmt: skip
        return "\n".join(f"  {name:36} {value}" for name, value in values.items())

    @property
    def exact(self) -> bool:
        """Nothing lost, doubled, wrong or off."""
        return not (self.lost or self.doubled or self.wrong or self.sums_off)


def request_body(generator: random.Random) -> bytes:
    stream = generator.random() < 0.5
    marker = f"{{{{play well n={generator.randint(1, 12)} delay_ms={generator.choice((0, 0, 1, 5))}}}}}"
    body = {
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": f"{marker} {'x' * generator.randint(0, 400)}"}],
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode(body)


def told_usage(answer: Answer) -> dict[str, Any] | None:
    """The usage that a complete, successful answer carries."""
    if not answer.complete or answer.status != 200:
        return None
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        if not answer.body.rstrip().endswith(b"data: [DONE]"):
            return None
        events = [line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
        return next((u for event in reversed(events) if (u := msgspec.json.decode(event).get("usage"))), None)
    usage: dict[str, Any] | None = msgspec.json.decode(answer.body).get("usage")
    return usage


async def keep_asking(system: RunningSystem, key: str, tally: Tally, seed: int, until: asyncio.Event) -> None:
    generator = random.Random(seed)
    client = Client(system.port, key)
    while not until.is_set():
        tally.sent += 1
        answer = await client.post("/v1/chat/completions", request_body(generator), timeout_s=20)
        if answer.status:
            tally.statuses[answer.status] += 1
        usage = told_usage(answer)
        if usage is not None:
            tally.acknowledged[answer.headers["x-request-id"]] = usage
        elif not answer.complete or answer.status != 200:
            await asyncio.sleep(0.02)
    client.close()


async def break_things(system: RunningSystem, tally: Tally, kills: int, database_crashes: int, seed: int) -> None:
    generator = random.Random(seed)
    acts = ["gateway"] * (kills - kills // 3) + ["pod"] * (kills // 3) + ["database"] * database_crashes
    generator.shuffle(acts)
    local = system.local
    for act in acts:
        await asyncio.sleep(generator.uniform(0.05, 0.5))
        if act == "gateway":
            local.gateway.kill()
            await asyncio.to_thread(local.start_gateway)
            tally.gateway_kills += 1
        elif act == "pod":
            local.pods["openai"].kill()
            local.start_pod("openai")
            tally.pod_kills += 1
        else:
            await asyncio.to_thread(local.postgres.crash)
            await asyncio.sleep(generator.uniform(0.0, 1.0))
            await asyncio.to_thread(local.postgres.start)
            tally.database_crashes += 1
    await asyncio.sleep(1.0)


async def run(system: RunningSystem, kills: int, database_crashes: int, seed: int) -> Tally:
    """Load, break, settle, count."""
    tally, over, key = Tally(), asyncio.Event(), system.new_key()
    clients = [asyncio.create_task(keep_asking(system, key, tally, seed + n, over)) for n in range(CLIENTS)]
    await break_things(system, tally, kills, database_crashes, seed)
    over.set()
    await asyncio.gather(*clients)
    await asyncio.to_thread(count, system, tally)
    return tally


def price_again(system: RunningSystem, usage: dict[str, Any], model: str = "", provider: str = "openai") -> int:
    """Nano-units for a usage as the client was told it, from the catalogue's rates, by fractions."""
    endpoint = next(e for e in system.local.catalog.models[model or MODEL].endpoints if e.provider == provider)
    assert endpoint.price is not None
    rates = endpoint.price.rates_at(usage["prompt_tokens"])
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0)
    per_million = (
        (usage["prompt_tokens"] - cached) * rates.input
        + cached * rates.cache_read
        + (usage["completion_tokens"] - reasoning) * rates.output
        + reasoning * rates.reasoning
    )
    return math.ceil(Fraction(per_million, 1_000_000))


def count(system: RunningSystem, tally: Tally) -> None:
    """Compare what clients were told with what the database holds, once everything is settled."""
    connection = open_connection(system.local.postgres.superuser("therouter"), timeout_s=30)
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    found: dict[str, list[tuple[int, int, int, int]]] = {}
    while time.monotonic() < deadline:
        rows = connection.run(
            "select request_id::text, prompt_tokens, completion_tokens, cost_nano, http_status from therouter.usage_event"
        )
        found = {}
        for request_id, *rest in rows or []:
            found.setdefault(request_id, []).append(tuple(rest))
        if tally.acknowledged.keys() <= found.keys():
            break
        time.sleep(0.5)
    connection.close()
    tally.rows = sum(len(rows) for rows in found.values())
    tally.cost_nano = sum(row[2] for rows in found.values() for row in rows)
    tally.doubled = sum(len(rows) - 1 for rows in found.values())
    for request_id, usage in tally.acknowledged.items():
        if request_id not in found:
            tally.lost += 1
            continue
        wanted = (usage["prompt_tokens"], usage["completion_tokens"], price_again(system, usage), 200)
        tally.wrong += found[request_id][0] != wanted
    tally.sums_off = sum(1 for rule in system.access.store.check_ledger() if rule.difference)


def main() -> int:
    """The slow tier."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database-crashes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}: {options.kills} kills, {options.database_crashes} database crashes", flush=True)
    with ScriptedUpstream() as upstream, running_system({"openai": f"{upstream.url}/v1"}, log_level="error") as system:
        tally = asyncio.run(run(system, options.kills, options.database_crashes, options.seed))
    print(tally.table())
    strange = set(tally.statuses) - OUTAGE_STATUSES
    print("exact" if tally.exact and not strange else f"NOT EXACT {strange or ''}")
    return 0 if tally.exact and not strange else 1


if __name__ == "__main__":
    sys.exit(main())
