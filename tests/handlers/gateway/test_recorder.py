"""Recording: settled once, whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from handlers.errors import Unavailable
from handlers.gateway import recorder as module
from handlers.gateway.recorder import Recorder
from handlers.gateway.request_ids import new_request_id
from handlers.gateway.spool import Spool
from handlers.gateway.usage_line import UsageLine
from handlers.telemetry.logs import Level, Log
from tests.waiting import PATIENCE_S, eventually

LINE = UsageLine(
    request_id="", tenant_id="t", user_id="u", key_id="k", model="a/m", provider="p", prompt_tokens=1, completion_tokens=2,
    cache_read_tokens=0, cache_write_tokens=0, reasoning_tokens=0, cost_nano=3, latency_ms=4, first_event_ms=None,
    http_status=200, error_type=None, stream=False, estimated=False, credential="shared", attempts=1, price_version="v",
    lease_id="lease",
)  # fmt: skip


class Database:
    """Settles idempotently; can be down."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.down = False
        self.calls = 0

    async def settle(self, lines: list[bytes]) -> list[tuple[str, str]]:
        self.calls += 1
        if self.down:
            raise Unavailable("down")
        outcomes = []
        for line in lines:
            row = msgspec.json.decode(line, type=UsageLine)
            outcomes.append((row.request_id, "exists" if row.request_id in self.rows else "ok"))
            self.rows.setdefault(row.request_id, row.cost_nano)
        return outcomes


def line() -> UsageLine:
    return msgspec.structs.replace(LINE, request_id=new_request_id())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S_MIN", 0.01)
    monkeypatch.setattr(module, "SETTLE_DELAY_S", 0.01)


def test_lines_are_settled_and_the_account_hears_of_it(tmp_path: Path) -> None:
    async def scene() -> None:
        database, heard = Database(), list[str]()
        recorder = Recorder(Spool(tmp_path / "spool"), database.settle, Log(Level.ERROR), settled=heard.append)
        recorder.start()
        for _ in range(50):
            recorder.record(line())
        await eventually(lambda: len(database.rows) == 50)
        await recorder.stop(PATIENCE_S)
        assert heard == ["lease"] * 50
        assert list((tmp_path / "spool").iterdir()) == []

    asyncio.run(scene())


@pytest.mark.claim("C66")
def test_c66_an_outage_only_makes_the_spool_longer(tmp_path: Path) -> None:
    async def scene() -> None:
        database = Database()
        database.down = True
        recorder = Recorder(Spool(tmp_path / "spool"), database.settle, Log(Level.ERROR))
        recorder.start()
        for _ in range(20):
            recorder.record(line())
        await asyncio.sleep(0.1)
        assert database.rows == {}
        assert recorder.can_write
        database.down = False
        await eventually(lambda: len(database.rows) == 20)
        await recorder.stop(PATIENCE_S)

    asyncio.run(scene())


@pytest.mark.claim("C66")
def test_c66_what_a_stop_leaves_the_next_start_settles_once(tmp_path: Path) -> None:
    async def scene() -> None:
        database = Database()
        database.down = True
        first = Recorder(Spool(tmp_path / "spool"), database.settle, Log(Level.ERROR))
        first.start()
        for _ in range(10):
            first.record(line())
        await first.stop(0.05)
        database.down = False
        second = Recorder(Spool(tmp_path / "spool"), database.settle, Log(Level.ERROR))
        second.start()
        await eventually(lambda: len(database.rows) == 10)
        await second.stop(PATIENCE_S)
        assert sum(database.rows.values()) == 30

    asyncio.run(scene())


@pytest.mark.from_source
def test_a_full_disk_stops_admission_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        database = Database()
        spool = Spool(tmp_path / "spool")
        recorder = Recorder(spool, database.settle, Log(Level.ERROR))
        recorder.start()
        append = spool.append

        def refuse(_: bytes) -> None:
            raise OSError(28, "no space")

        monkeypatch.setattr(spool, "append", refuse)
        recorder.record(line())
        refusing = recorder.can_write
        assert refusing is False
        recorder.record(line())
        monkeypatch.setattr(spool, "append", append)
        monkeypatch.setattr(module, "RETRY_S_MAX", 0.02)
        await eventually(lambda: len(database.rows) == 2)
        assert recorder.can_write
        await recorder.stop(PATIENCE_S)

    asyncio.run(scene())
