"""The gateway under test: the whole local system over a scripted provider, durable as in production."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.bench.traffic import PROVIDER, chat_body

READY_TIMEOUT_S = 10.0
SETTLED_TIMEOUT_S, LOOK_S = 30.0, 0.1
_UNSETTLED = re.compile(r"^therouter_spool_bytes (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Gateway:
    """A gateway and one pod that serve."""

    port: int
    key: str
    roots: dict[str, int]
    """Process ids of gateway and pod."""
    cold_start_s: float
    """From nothing but a database to the first answer: both processes."""

    def wait_until_settled(self) -> None:
        """Return once PostgreSQL has every usage line: what a burst left behind is part of it, and not of the next one."""
        give_up = time.monotonic() + SETTLED_TIMEOUT_S
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            while True:
                found = _UNSETTLED.search(client.get("/metrics").text)
                if found is None:
                    raise RuntimeError("the gateway's metrics do not say how much is unsettled")
                if not float(found[1]):
                    return
                if time.monotonic() > give_up:
                    raise RuntimeError(f"usage is not settled after {SETTLED_TIMEOUT_S:g} s")
                time.sleep(LOOK_S)


@contextmanager
def running_gateway(folder: Path, upstream_port: int) -> Iterator[Gateway]:
    """Start everything; the gateway and the pod are then restarted once, for the clock."""
    options = Options(
        port=0,
        model=False,
        addresses={PROVIDER: f"http://127.0.0.1:{upstream_port}/v1"},
        credentials={PROVIDER: "credential-of-the-bench"},
        log_level="warning",
    )
    local = LocalSystem(Home(folder / "system" / "global"), options)
    (folder / "system").mkdir(mode=0o711)
    try:
        local.start()
        access = Access.open(local.home)
        try:
            access.ensure_tenant()
            key = access.create_key("bench")
        finally:
            access.close()
        cold_start_s = _restart(local, key)
        yield Gateway(local.port, key, {"gateway": local.gateway.pid, "pod": local.pods[PROVIDER].pid}, cold_start_s)
    finally:
        local.stop()


def _restart(local: LocalSystem, key: str) -> float:
    local.gateway.stop()
    local.pods[PROVIDER].stop()
    began = time.monotonic()
    local.start_pod(PROVIDER)
    local.start_gateway()
    with httpx.Client(base_url=local.url, headers={"authorization": f"Bearer {key}"}, trust_env=False) as client:
        while True:
            answer = client.post("/v1/chat/completions", content=chat_body(stream=False))
            if answer.status_code == 200:
                return time.monotonic() - began
            if time.monotonic() - began > READY_TIMEOUT_S:
                raise RuntimeError(f"the gateway answers {answer.status_code} and not 200")
            time.sleep(0.02)
