"""Every way an upstream can fail, against what the client sees: `python -m tests.faults.upstream_faults`.

Each fault is played in each dialect and in each form (streamed; in one short body; in one of any length, for which the provider is
asked for a stream), by a provider that is alone and by one that has a healthy second beside it. The second answers correctly whatever
it is asked, so that a correct answer, and nothing but the correct answer, says that a fallback was complete; words of both would say
that two answers were spliced.

Verdicts
    served      the whole correct text, a clean end, and nothing else
    refused     an HTTP error in the dialect's own shape with a code of ours: never 401, 402 or 403 for a fault of ours
    broken off  200, a true beginning of one answer, then the dialect's error event and no clean end
    anything else is a violation and is listed.

What strikes after the first event waits until the client has that event (a `gate`). It, and what never strikes, is asked of
a gateway whose clocks are long: so the moment of a fault does not depend on how busy the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from handlers.catalog.entries import Timeouts
from handlers.store.connection import open_connection
from tests.faults.reading import Told, read_answer
from tests.gateways import Haste, extra_gateway
from tests.http_client import Answer, Client
from tests.system import RunningSystem, running_system
from tests.upstreams.addresses import refusing_port, silent_port
from tests.upstreams.answers import WORDS
from tests.upstreams.scripted import ScriptedUpstream

TEXT = "".join(WORDS)
HASTY = Timeouts(
    connect_ms=1_000,
    headers_ms=1_500,
    first_event_ms=2_000,
    between_bytes_ms=1_500,
    between_events_ms=1_700,
    total_ms=5_000,
)
HASTE = Haste(
    HASTY,
    providers=frozenset(
        {"groq", "anthropic", "cerebras", "sambanova"}
    ),  # those that fail: the healthy ones have their time
    token_lifetime_s=2,  # shorter than an attempt that times out: a fallback needs its own token
)
ASSURED = Haste(
    Timeouts(
        connect_ms=25_000,
        headers_ms=25_000,
        first_event_ms=25_000,
        between_bytes_ms=4_000,
        between_events_ms=5_000,
        total_ms=25_000,
    )
)
"""For what strikes after the first event, or never."""
CLIENTS = 16
OUTAGE_CLIENTS = 6
SETTLE_TIMEOUT_S = 20.0
CREDIT_NANO = 10**14
"""Answers of any length are held for at their worst case, and absurd usage is charged up to its hold."""
OUTAGES = frozenset({429, 502, 503, 504})
"""What a fault may be told as."""
BEFORE, AFTER, NONE = "before", "after", "none"
STREAM, WHOLE, LONG = FORMS = ("stream", "whole", "long")
"""Events; one JSON body; one JSON body whose length nobody bounds, for which the provider is asked for a stream."""


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    play: str
    """A marker's inside: a play and its options."""
    stream: str = BEFORE
    """When it strikes a stream: before or after the first semantic event, or never (a provider that lies and answers)."""
    whole: str = BEFORE
    """The same for an answer that is one body. Nothing is committed before it is whole, so it is never `after`."""
    alone: bool = False
    """Concerns the credential or the pace of the provider, and would colour what runs beside it: run by itself."""
    provider: str = ""
    """Instead of the faulty one: an address that never becomes a connection."""


FAULTS = (
    Fault("F01 connection refused", "well", provider="cerebras"),
    Fault("F02 no answer to the handshake", "well", provider="sambanova"),
    Fault("accepted, read, reset", "slam"),
    Fault("F03 silence before the head", "hang-before-headers"),
    Fault("F04 silence after the head", "hang-after-headers"),
    Fault("F04 silence after the first piece", "hang-after k=2", whole=NONE),
    Fault("F05 reset within the head", "reset-at k=10"),
    Fault("F05 reset after the head", "reset-at k=90"),
    Fault("F05 reset in the middle", "reset-at", stream=AFTER),
    Fault("F06 closed within the head", "truncate-at k=10"),
    Fault("F06 closed after the head", "truncate-at k=90"),
    Fault("F06 closed in the middle", "truncate-at", stream=AFTER),
    Fault("F04 silence in the middle", "hang-after k=6", stream=AFTER, whole=NONE),
    Fault("F07 garbage", "garbage"),
    Fault("F08 200, then an error", "error-in-200"),
    Fault("F08 an error in the middle", "error-in-200 k=5 delay_ms=20", stream=AFTER),
    Fault("F10 status 500", "status code=500"),
    Fault("status 502", "status code=502"),
    Fault("status 503", "status code=503"),
    Fault("status 504", "status code=504"),
    Fault("status 529", "status code=529 type=overloaded_error"),
    Fault("status 408", "status code=408"),
    Fault("status 404", "status code=404"),
    Fault("F09 status 429", "status code=429", alone=True),
    Fault("F09 status 429 with Retry-After", "status code=429 retry_after=1", alone=True),
    Fault("A83 status 429, Retry-After 10^9", "status code=429 retry_after=1000000000", alone=True),
    Fault("status 401", "status code=401 type=authentication_error", alone=True),
    Fault("A57 an error that quotes everything", "echo", alone=True),
    Fault("F11 slow drip", "drip delay_ms=0", stream=NONE, whole=NONE),
    Fault("F12 endless pings", "endless kind=ping k=1 delay_ms=20"),
    Fault("F12 endless comments", "endless kind=comment k=1 delay_ms=20"),
    Fault("F12 endless empty words", "endless kind=empty k=1 delay_ms=20"),
    Fault("F12 endless text", "endless kind=text delay_ms=20 size=100", stream=AFTER),
    Fault("F14 no usage", "usage kind=missing", stream=NONE, whole=NONE),
    Fault("F13 usage twice", "usage kind=twice", stream=NONE, whole=NONE),
    Fault("A55 negative usage", "usage kind=negative", stream=NONE, whole=NONE),
    Fault("A55 absurd usage", "usage kind=huge", stream=NONE, whole=NONE),
    Fault("A55 more cached than read", "usage kind=cached-over-prompt", stream=NONE, whole=NONE),
    Fault("A51 CR line ends", "sse kind=cr", stream=NONE, whole=NONE),
    Fault("A51 byte order mark", "sse kind=bom", stream=NONE),
    Fault("A53 a page of HTML", "html"),
    Fault("A53 an empty body", "empty"),
    Fault("A53 status 204", "no-content"),
    Fault("A53 a redirect", "redirect"),
    Fault("A53 a flood of 103", "informational n=2000"),
    Fault("A53 a length that is not reached", "wrong-length by=10", stream=NONE),
    Fault("A53 compressed against our wish", "compressed"),
    Fault("A53 a bomb", "compressed mb=10"),
    Fault("A56 a head of 1 MB", "headers kind=huge"),
    Fault("A56 5,000 headers", "headers kind=many"),
    Fault("A56 unsafe headers", "headers kind=unsafe", stream=NONE, whole=NONE),
    Fault("A59 bytes that are no UTF-8", "bent-json kind=bytes"),
    Fault("A59 depth 10,000", "bent-json kind=depth"),
)


@dataclass(frozen=True)
class Pair:
    """A faulty provider and a healthy one for the same model."""

    wire: str
    model: str
    faulty: str
    healthy: str


PAIRS = (
    Pair("openai_chat", "meta-llama/llama-3.3-70b-instruct", "groq", "together"),
    Pair("anthropic_messages", "anthropic/claude-sonnet-4.6", "anthropic", "deepinfra"),
)
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "anthropic_messages": "/v1/messages",
    "openai_responses": "/v1/responses",
}


@dataclass(frozen=True)
class Case:
    """One request of the table."""

    fault: Fault
    pair: Pair
    dialect: str
    form: str
    """One of `FORMS`."""
    has_second: bool

    @property
    def stream(self) -> bool:
        """The client gets events."""
        return self.form == STREAM

    @property
    def moment(self) -> str:
        """When the fault strikes this case."""
        if self.form == LONG:
            return NONE if self.fault.stream == NONE else BEFORE
        return self.fault.stream if self.stream else self.fault.whole

    @property
    def name(self) -> str:
        """For the list of violations."""
        second = "one of two" if self.has_second else "only provider"
        return f"{self.fault.name} | {self.pair.wire} | {self.dialect} | {self.form} | {second}"

    @property
    def gate(self) -> str:
        """What the fault waits for, unique to the case; empty: it does not wait."""
        if self.moment != AFTER:
            return ""
        place = f"{FAULTS.index(self.fault)}.{self.pair.wire}.{self.dialect}"
        return f"{place}.{'second' if self.has_second else 'alone'}"

    def body(self) -> bytes:
        """The request."""
        faulty = self.fault.provider or self.pair.faulty
        gate = f" gate={self.gate}" if self.gate else ""
        marker = f"{{{{play {self.fault.play}{gate}}}}}"
        fields: dict[str, Any] = {"model": self.pair.model, "stream": self.stream}
        if self.form != LONG or self.dialect == "anthropic_messages":
            cap = "max_output_tokens" if self.dialect == "openai_responses" else "max_tokens"
            fields[cap] = 8_192 if self.form == LONG else 64
        fields["provider"] = {"order": [faulty, self.pair.healthy], "allow_fallbacks": False}
        if not self.has_second:
            fields["provider"] = {"only": [faulty]}
        said = [{"role": "user", "content": marker}]
        fields["input" if self.dialect == "openai_responses" else "messages"] = said
        return msgspec.json.encode(fields)


def cases(dialects: tuple[str, ...] = tuple(PATHS)) -> list[Case]:
    """The whole table."""
    return [
        Case(fault, pair, dialect, form, has_second)
        for fault in FAULTS
        for pair in PAIRS
        for dialect in dialects
        for form in FORMS
        for has_second in (True, False)
        if not fault.provider or pair.wire == "openai_chat"
        if not (fault.play.startswith("usage kind=twice") and form == WHOLE)
    ]


def sample(seed: int) -> list[Case]:
    """A cross-section: each fault beside a healthy provider and alone, in one of its combinations."""
    generator = random.Random(seed)
    rows: dict[tuple[str, bool], list[Case]] = {}
    for case in cases():
        rows.setdefault((case.fault.name, case.has_second), []).append(case)
    return [generator.choice(row) for row in rows.values()]


VERDICTS = frozenset({"served", "refused", "broken off"})


def verdict(case: Case, told: Told) -> str:
    """One of `VERDICTS`, or what is wrong."""
    if told.wrong:
        return told.wrong
    if case.moment == NONE or (case.has_second and case.moment == BEFORE):
        if told.error:
            return f"no success although one was possible: {told.status} {told.error}"
        return "served" if told.text == TEXT and told.ended else f"not the answer: {len(told.text)} characters"
    if not told.error:
        return "success although there was none"
    if case.moment == AFTER:
        if told.status != 200:
            return f"status {told.status} for a stream that had begun"
        whole = told.text.strip("x")  # what `endless` says
        begun = told.text and TEXT.startswith(whole) and not told.ended
        return "broken off" if begun else "not a beginning of one answer"
    return "refused" if told.status in OUTAGES else f"status {told.status}"


@dataclass
class Table:
    """What happened."""

    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    requests: int = 0
    rescued: int = 0
    """Served by the second, of `possible`."""
    possible: int = 0
    seen: list[str] = field(default_factory=list)
    """Request ids of all answers."""
    rows_wrong: int = 0
    attempts_in_outage: float = 0.0
    """Upstream attempts for each request while everything is down."""

    def note(self, case: Case, answer: Answer) -> None:
        """Judge one answer."""
        self.requests += 1
        word = verdict(case, read_answer(case.dialect, answer, stream=case.stream))
        self.verdicts.setdefault(case.fault.name, Counter())[word] += 1
        if word not in VERDICTS:
            self.violations.append(f"{case.name}: {word}")
        if case.has_second and case.moment == BEFORE:
            self.possible += 1
            self.rescued += word == "served"
        self.seen.append(answer.headers.get("x-request-id", ""))

    def __str__(self) -> str:
        width = max(len(name) for name in self.verdicts)
        rows = [
            f"  {name:{width}}  " + "  ".join(f"{word} {count}" for word, count in sorted(counts.items()))
            for name, counts in self.verdicts.items()
        ]
        share = self.rescued / self.possible if self.possible else 1.0
        return "\n".join(
            [
                *rows,
                f"  faults {len(self.verdicts)}, requests {self.requests}",
                f"  success where a healthy alternative exists before the commit: {share:.2%} of {self.possible}",
                f"  usage rows that are missing or doubled: {self.rows_wrong}",
                f"  upstream attempts for each request in a total outage: {self.attempts_in_outage:.2f}",
                f"  violations: {len(self.violations)}",
                *(f"    {line}" for line in self.violations[:40]),
            ]
        )

    @property
    def clean(self) -> bool:
        """Nothing is wrong."""
        return not self.violations and not self.rows_wrong and self.attempts_in_outage <= 1.2


@dataclass
class Bench:
    """What the table is run on."""

    system: RunningSystem
    port: int
    """Of a gateway in haste."""
    assured_port: int
    """Of one that waits longer for the first event."""
    key: str
    faulty: ScriptedUpstream
    healthy: ScriptedUpstream


@contextmanager
def bench() -> Iterator[Bench]:
    """Two upstreams, one of which does as it is told; two addresses that nobody answers; two gateways."""
    with ExitStack() as stack:
        faulty = stack.enter_context(ScriptedUpstream())
        healthy = stack.enter_context(ScriptedUpstream(obedient=False))
        addresses = {
            "groq": f"{faulty.url}/openai/v1",
            "anthropic": f"{faulty.url}/v1",
            "together": f"{healthy.url}/v1",
            "deepinfra": f"{healthy.url}/v1/openai",
            "cerebras": f"http://127.0.0.1:{stack.enter_context(refusing_port())}/v1",
            "sambanova": f"http://127.0.0.1:{stack.enter_context(silent_port())}/v1",
        }
        system = stack.enter_context(running_system(addresses, log_level="error"))
        gateway = stack.enter_context(extra_gateway(system, HASTE))
        assured = stack.enter_context(extra_gateway(system, ASSURED, "assured"))
        yield Bench(system, gateway.port, assured.port, system.new_account("faults", CREDIT_NANO), faulty, healthy)


async def heal(bench: Bench, pair: Pair) -> None:
    """A good request to the faulty provider ends what its last failures left behind."""
    client = Client(bench.port, bench.key)
    body = {"model": pair.model, "max_tokens": 8, "provider": {"only": [pair.faulty]}}
    said = {"messages": [{"role": "user", "content": "hello"}]}
    await client.post(PATHS["openai_chat"], msgspec.json.encode(body | said))
    client.close()


def tell_heard(upstream: ScriptedUpstream, gate: str, answer: Answer) -> None:
    """The client has content of the answer: what it was waiting for, the fault may strike."""
    if WORDS[0].encode().strip() in answer.body or b"xxx" in answer.body:
        upstream.tell_heard(gate)


async def play(bench: Bench, chosen: list[Case]) -> Table:
    """Run the cases, those beside one another that may be."""
    table = Table()
    slow_last = sorted(chosen, key=lambda case: case.fault.play.startswith(("hang", "endless")))
    waiting = [case for case in slow_last if not case.fault.alone]  # taken from its end

    async def work() -> None:
        clients = {port: Client(port, bench.key) for port in (bench.port, bench.assured_port)}
        while waiting:
            case = waiting.pop()
            client = clients[bench.port if case.moment == BEFORE else bench.assured_port]
            heard = partial(tell_heard, bench.faulty, case.gate) if case.gate else None
            table.note(case, await client.post(PATHS[case.dialect], case.body(), timeout_s=60, on_data=heard))
        for client in clients.values():
            client.close()

    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    client = Client(bench.port, bench.key)
    for case in (case for case in chosen if case.fault.alone):
        await heal(bench, case.pair)
        table.note(case, await client.post(PATHS[case.dialect], case.body(), timeout_s=20))
    for pair in PAIRS:
        await heal(bench, pair)
    client.close()
    await asyncio.to_thread(count_rows, bench, table)
    return table


async def play_outage(bench: Bench, requests: int) -> float:
    """Upstream attempts for each request while both providers fail."""
    body = msgspec.json.encode(
        {
            "model": PAIRS[0].model,
            "max_tokens": 8,
            "provider": {"order": ["groq", "cerebras"], "allow_fallbacks": False},
            "messages": [{"role": "user", "content": "{{play status code=500}}"}],
        }
    )
    clients = [Client(bench.port, bench.key) for _ in range(OUTAGE_CLIENTS)]
    attempts = 0
    for _ in range(requests // OUTAGE_CLIENTS):
        answers = await asyncio.gather(*(client.post(PATHS["openai_chat"], body) for client in clients))
        strange = [answer.body for answer in answers if "x-therouter-attempts" not in answer.headers]
        assert not strange, strange
        attempts += sum(int(answer.headers["x-therouter-attempts"]) for answer in answers)
    for client in clients:
        client.close()
    return attempts / (requests // OUTAGE_CLIENTS * OUTAGE_CLIENTS)


def count_rows(bench: Bench, table: Table) -> None:
    """Each request that was answered has exactly one usage row."""
    wanted = set(table.seen)
    with closing(open_connection(bench.system.local.postgres.superuser("therouter"), timeout_s=30)) as connection:
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            rows = connection.run("select request_id::text from therouter.usage_event") or []
            found = Counter(row[0] for row in rows)
            if wanted <= found.keys() or time.monotonic() > deadline:
                break
            time.sleep(0.3)
    table.rows_wrong = sum(found[request_id] != 1 for request_id in table.seen)


def main() -> int:
    """The slow tier: the whole table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="faults whose name contains this")
    parser.add_argument("--requests", type=int, default=3000, help="in the total outage")
    options = parser.parse_args()
    chosen = [case for case in cases() if options.only in case.fault.name]
    random.Random(1).shuffle(chosen)
    with bench() as made:
        table = asyncio.run(play(made, chosen))
        table.attempts_in_outage = asyncio.run(play_outage(made, options.requests))
    print(table)
    return 0 if table.clean else 1


if __name__ == "__main__":
    sys.exit(main())
