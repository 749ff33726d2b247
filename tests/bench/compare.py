"""`make bench`: this gateway beside nginx in one run, everything on, and the table of what one costs in the other.

Theory of operation
    Absolute times of a shared machine mean nothing, so every figure is a ratio to nginx under the same load, formed within
    a round; the targets of a mode follow one another, in random order as the modes do, and what is shown is the median over
    the rounds. The gateway is the whole local system: API keys, holds, spool, settling in PostgreSQL, metrics, a gateway and
    a pod as two processes, as machine code and by a Python as fast as the image's (tests.bench.interpreter); their processor
    time is that of every thread of both process trees, until PostgreSQL has every usage line of the burst. What it shows,
    and what it may cost, stands in `ROWS`.

Ends with 1 when a figure is beyond its alarm line, with 2 when something that the bench needs is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from handlers.compiled import is_in_use
from tests.bench.native import Driver, Load, Unavailable, compile_programs, upstream
from tests.bench.processes import cpu_us, pss_kib
from tests.bench.reference import KEY, nginx
from tests.bench.stages import STAGES, measure
from tests.bench.system import Gateway, running_gateway
from tests.bench.traffic import chat_body

PAUSE_S = 0.4
"""After a burst, for what closes connections and syncs files; settling is waited for by name."""
IDLE_STREAMS = 500
LARGE_PROMPT_BYTES = 400_000


@dataclass(frozen=True)
class Mode:
    """One kind of load."""

    body: bytes
    connections: int
    seconds: float
    rate: float = 0
    per_event: bool = False


MODES = {
    "json": Mode(chat_body(stream=False), 16, 2.0),
    "large": Mode(chat_body(stream=False, padding=LARGE_PROMPT_BYTES), 4, 2.0),
    "alone": Mode(chat_body(stream=False), 1, 1.5),
    "steady": Mode(chat_body(stream=False), 16, 3.0, rate=200),
    "stream": Mode(chat_body(stream=True, events=50, gap_us=20_000), 20, 3.0, per_event=True),
    "busy stream": Mode(chat_body(stream=True, events=200, gap_us=5_000), 50, 2.0, per_event=True),
}


LATENCY_MODES = ("alone", "steady", "stream")
"""What the provider itself needs is measured for these, to subtract it."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured, and the lines beyond which it is too much or good."""

    name: str
    meaning: str
    alarm: float
    goal: float
    unit: str = "x nginx"


ROWS = (
    Row("json", "CPU of a JSON request", 5, 3.5),
    Row("large", "CPU of a JSON request, 400 KB prompt", 6, 4),
    Row("stream", "CPU of a streamed event, 1,000/s", 4, 3),
    Row("busy stream", "CPU of a streamed event, 10,000/s", 4.5, 3),
    Row("alone p50", "added latency p50, one connection", 6, 3),
    Row("steady p99", "added latency p99, 200 requests/s", 8, 4),
    Row("first event", "added time to first event p50", 5, 3),
    Row("stream memory", "memory of an open stream", 30, 14, "KiB"),
    Row("idle memory", "memory at rest, gateway and one pod", 100, 60, "MiB"),
    Row("cold start", "cold start of gateway and pod", 1.5, 0.5, "s"),
)


@dataclass(frozen=True)
class Target:
    """Something that answers on a port."""

    name: str
    port: int
    key: str
    roots: dict[str, int]
    """Process ids of what answers, by name."""
    wait_until_settled: Callable[[], None] = lambda: None
    """Returns when the work that a burst left behind is done, so that it is counted, and disturbs no other."""

    @property
    def pids(self) -> list[int]:
        """All of them."""
        return list(self.roots.values())


class Bench:
    """Collects figures over rounds."""

    def __init__(self, driver: Driver, direct: Target, reference: Target, ours: Target) -> None:
        self._driver, self._direct, self._reference, self._ours = driver, direct, reference, ours
        self.figures: dict[str, list[float]] = defaultdict(list)
        """By the name of a row."""
        self.costs: dict[tuple[str, str], list[float]] = defaultdict(list)
        """Microseconds of processor time per request or event, by mode and process."""

    def round(self, modes: dict[str, Mode]) -> None:
        """Every mode on every target once. What is compared runs one after the other: a machine has its minutes."""
        targets = (self._direct, self._reference, self._ours)
        bursts = [
            (name, target)
            for name in random.sample(list(modes), len(modes))
            for target in random.sample(targets, len(targets))
        ]
        loads: dict[tuple[str, str], Load] = {}
        costs: dict[tuple[str, str], float] = {}
        """By mode and process, or mode and target."""
        for name, target in bursts:
            mode = modes[name]
            if target is self._direct and name not in LATENCY_MODES:
                continue
            before = {process: cpu_us([pid]) for process, pid in target.roots.items()}
            load = self._driver.run(
                target.port, target.key, mode.body, connections=mode.connections, seconds=mode.seconds, rate=mode.rate
            )
            time.sleep(PAUSE_S)
            target.wait_until_settled()
            units = load.events if mode.per_event else load.requests
            loads[name, target.name] = load
            for process, pid in target.roots.items():
                costs[name, process] = (cpu_us([pid]) - before[process]) / units
            costs[name, target.name] = sum(costs[name, process] for process in target.roots)
        self._note(modes, loads, costs)

    def _note(
        self, modes: dict[str, Mode], loads: dict[tuple[str, str], Load], costs: dict[tuple[str, str], float]
    ) -> None:
        ours, reference = self._ours.name, self._reference.name
        for name in modes:
            self.figures[name].append(costs[name, ours] / costs[name, reference])
            for process in (*self._ours.roots, reference):
                self.costs[name, process].append(costs[name, process])
        self._note_added("alone p50", "alone", loads, lambda load: load.p50_us)
        self._note_added("steady p99", "steady", loads, lambda load: load.p99_us)
        self._note_added("first event", "stream", loads, lambda load: load.first_event_p50_us)

    def _note_added(
        self, row: str, mode: str, loads: dict[tuple[str, str], Load], read: Callable[[Load], float]
    ) -> None:
        """Latency beyond the provider's own, in that of nginx."""
        if (mode, self._direct.name) not in loads:
            return
        direct, reference, ours = (
            read(loads[mode, target.name]) for target in (self._direct, self._reference, self._ours)
        )
        if reference > direct:
            self.figures[row].append((ours - direct) / (reference - direct))

    def memory(self) -> None:
        """What a stream costs that is open and silent, and what is there without any."""
        self._driver.run(self._ours.port, self._ours.key, MODES["json"].body, connections=16, seconds=0.5)
        time.sleep(1.0)
        idle = pss_kib(self._ours.pids)
        if idle is None:
            print("memory is not measured: hardened processes show it to root only")
            return
        self.figures["idle memory"].append(idle / 1024)
        body = chat_body(stream=True, events=4, gap_us=2_000_000)
        with self._driver.start(
            self._ours.port, self._ours.key, body, connections=IDLE_STREAMS, seconds=6.0
        ) as process:
            time.sleep(4.0)
            open_kib = pss_kib(self._ours.pids) or idle
            process.communicate(timeout=30)
        self.figures["stream memory"].append((open_kib - idle) / IDLE_STREAMS)


def judge(figures: Mapping[str, list[float]]) -> tuple[list[str], list[str]]:
    """The lines of the table, and the meanings of the rows that are beyond their alarm line."""
    lines = [f"{'':40}{'now':>8}{'alarm':>8}{'goal':>7}{'':9}{'over the rounds':>18}"]
    crossed = []
    for row in ROWS:
        values = sorted(figures.get(row.name, ()))
        if not values:
            continue
        now = statistics.median(values)
        if now > row.alarm:
            crossed.append(row.meaning)
        verdict = "ALARM" if now > row.alarm else "goal met" if now <= row.goal else ""
        spread = f"{values[0]:.2f} to {values[-1]:.2f}"
        lines.append(f"{row.meaning:40}{now:8.2f}{row.alarm:8g}{row.goal:7g}  {row.unit:7}{spread:>18}  {verdict}")
    return lines, crossed


def print_costs(costs: Mapping[tuple[str, str], list[float]]) -> None:
    """Where the processor time goes: by process, and by stage of the Python of one request."""
    print("\nmicroseconds of CPU")
    for mode in MODES:
        parts = [f"{process} {statistics.median(v):.1f}" for (name, process), v in costs.items() if name == mode]
        if parts:
            print(f"  {mode:14}{'   '.join(parts)}")
    figures = asyncio.run(measure(10, 200))
    stages = "   ".join(f"{stage} {us:.1f}" for stage, us in zip(STAGES, figures["json"], strict=True))
    print(f"  of json, Python in warm caches: {stages}\n")


@contextmanager
def bench() -> Iterator[tuple[Bench, Gateway]]:
    """Everything that the bench needs, started; everything it started, stopped."""
    folder = Path(tempfile.mkdtemp(prefix="tr-bench-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        compile_programs(folder)
        with (
            upstream(folder) as upstream_port,
            nginx(folder, upstream_port) as (nginx_port, nginx_pid),
            running_gateway(folder, upstream_port) as gateway,
        ):
            direct = Target("direct", upstream_port, "none", {})
            reference = Target("nginx", nginx_port, KEY, {"nginx": nginx_pid})
            ours = Target("ours", gateway.port, gateway.key, gateway.roots, gateway.wait_until_settled)
            yield Bench(Driver(folder), direct, reference, ours), gateway
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modes", default=",".join(MODES), help="separated by commas (default: all)")
    arguments = parser.parse_args()
    modes = {name: MODES[name] for name in arguments.modes.split(",")}
    try:
        with bench() as (measured, gateway):
            measured.figures["cold start"].append(gateway.cold_start_s)
            for number in range(arguments.rounds):
                print(f"round {number + 1} of {arguments.rounds}", flush=True)
                measured.round(modes)
            measured.memory()
    except Unavailable as missing:
        print(missing, file=sys.stderr)
        return 2
    lines, crossed = judge(measured.figures)
    print("\n".join(lines))
    print_costs(measured.costs)
    print(
        f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; latencies mean little on a busy machine"
    )
    print(
        "gateway and pod run",
        "as machine code," if is_in_use() else "from source, not what the image runs (make compile),",
        f"by Python {platform.python_version()} of {sys.base_prefix}",
    )
    print("usage records lost or doubled when processes are killed: `make faults`")
    if crossed:
        print(f"beyond the alarm line: {', '.join(crossed)}")
    return 1 if crossed else 0
