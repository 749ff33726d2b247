"""The purge against a model: random tenants, retentions and changes, a clock that moves, and processes that are killed.

Each killed run is a process of its own that gets SIGKILL between or within its statements. After every one of them nothing too
young may be gone; after the next run that ends, nothing too old may remain, and every row that went is in one signed receipt.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import open_note
from handlers.operations import purge as module
from handlers.operations.purge import PurgeEvent, purge, receipt_text
from handlers.operations.sealing import Sealer
from handlers.store.admin import AdminStore
from handlers.store.dsn import Dsn
from handlers.store.operations import OperationsStore, PurgePending
from handlers.store.pool import Pool
from tests.database import Database
from tests.handlers.operations.clocks import Clock
from tests.handlers.store.world import new_request_id

EVENT = PurgeEvent(90, 1, 730)
BATCH = 3
RETENTIONS = (1, 2, 7, 30, 90, 365, 729, 730)
COST_NANO = 7


class SmallBatches(OperationsStore):
    """Removes few rows at a time, so that a run has many places to die in."""

    def purge(self, tenant_id: str, cutoff: datetime, limit: int = BATCH) -> tuple[int, int]:
        return super().purge(tenant_id, cutoff, min(limit, BATCH))


class Talking(Pool):
    """Says so before each statement, and waits for leave: so it is still at work when it is killed, however busy the machine is."""

    listener: Connection

    def run(self, name: str, /, **parameters: object) -> list[tuple[Any, ...]]:
        self.listener.send_bytes(b".")
        self.listener.recv_bytes()
        return super().run(name, **parameters)


def run_purge(dsn: Dsn, key: bytes, shift: timedelta, listener: Connection) -> None:
    """One run, in a process of its own."""
    setattr(module, "PURGE_BATCH", BATCH)  # noqa: B010 - as the test itself does
    pool = Talking(dsn, connections_max=1)
    pool.listener = listener
    sealer = Sealer("global", Ed25519PrivateKey.from_private_bytes(key))
    purge(SmallBatches(pool), EVENT, datetime.now().astimezone() + shift, sealer)


class World:
    """Tenants, what they have asked for and when, and who runs the purge."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database, self.chance, self.clock = database, random.Random(seed), Clock(database)
        self.key = Ed25519PrivateKey.generate()
        self.sealer = Sealer("global", self.key)
        self.founder = AdminStore(database.pool("founder"))
        self.store = SmallBatches(database.pool("operations"))
        self.requests: dict[str, tuple[str, datetime]] = {}
        self.retention = {str(uuid.UUID(int=self.chance.getrandbits(128), version=4)): 90 for _ in range(3)}
        self.gone = dict.fromkeys(self.retention, 0)
        self.kills = 0
        for tenant in self.retention:
            self.founder.create_tenant(tenant, "T")

    def live(self) -> None:
        """Some requests of the last hours, some changes, some time."""
        for tenant in self.retention:
            if self.chance.random() < 0.8:
                self._ask(tenant, self.chance.randrange(1, 12))
            if self.chance.random() < 0.5:
                self.retention[tenant] = self.chance.choice(RETENTIONS)
                self.database.query(
                    "update therouter.tenant set retention_days = :days where tenant_id = :tenant",
                    days=self.retention[tenant], tenant=tenant,
                )  # fmt: skip
        self.clock.move(self.chance.choice([0, 1, 1, 2, 7, 40, 300, 730]))

    def _ask(self, tenant: str, count: int) -> None:
        # Never at the edge of a whole day, so that the seconds of this test decide nothing.
        moments = [self.clock.now() - timedelta(hours=self.chance.randrange(2, 22)) for _ in range(count)]
        lines: list[Mapping[str, object]] = [
            {
                "request_id": new_request_id(int(at.timestamp() * 1000)), "tenant_id": tenant,
                "user_id": str(uuid.UUID(int=1)), "key_id": "u" + "1" * 15, "model": "m", "provider": "p",
                "prompt_tokens": 1, "completion_tokens": 1, "cost_nano": COST_NANO, "latency_ms": 1, "http_status": 200,
            }
            for at in moments
        ]  # fmt: skip
        outcomes = self.database.query(
            "select outcome from therouter.usage_settle(:rows)", rows=msgspec.json.encode(lines).decode()
        )
        assert all(outcome == ["ok"] for outcome in outcomes), outcomes
        self.requests |= {str(line["request_id"]): (tenant, at) for line, at in zip(lines, moments, strict=True)}

    def kill_a_run(self) -> None:
        """Begin a run and end its process at a random place; some end before."""
        processes = multiprocessing.get_context("forkserver")
        listener, speaker = processes.Pipe()
        arguments = (self.database.dsn("operations"), self.key.private_bytes_raw(), self.clock.shift, speaker)
        process = processes.Process(target=run_purge, args=arguments)
        process.start()
        speaker.close()
        try:
            for _ in range(self.chance.randrange(1, 10)):
                listener.recv_bytes()
                listener.send_bytes(b".")
        except (EOFError, OSError):  # it has ended
            pass
        time.sleep(self.chance.random() * 0.004)
        process.kill()
        process.join()
        listener.close()
        self.kills += process.exitcode == -signal.SIGKILL

    def finish_a_run(self) -> None:
        """A run that nobody disturbs."""
        done = purge(self.store, EVENT, self.clock.now(), self.sealer)
        assert (done.refused, done.unusual) == ((), ())

    def check(self, *, finished: bool) -> None:
        """What must be there is there; after a run that ended, nothing else is."""
        now = self.clock.now()
        young = {
            request for request, (tenant, at) in self.requests.items()
            if at > now - timedelta(days=self.retention[tenant])
        }  # fmt: skip
        kept = {str(row[0]) for row in self.database.query("select request_id from therouter.usage_event")}
        assert young <= kept, "something too young is gone"
        assert [rule for rule in self.founder.check_ledger() if rule.difference] == []
        if finished:
            assert kept == young, "something too old remains"
            for request in self.requests.keys() - young:
                self.gone[self.requests.pop(request)[0]] += 1
            self._check_receipts()

    def _check_receipts(self) -> None:
        counted = dict.fromkeys(self.gone, 0)
        rows = self.database.query("select record from therouter.audit_row where record like '%usage.purge%'")
        for (record,) in rows:
            content = msgspec.json.decode(str(record))
            said = content["after"]
            counted[content["tenant_id"]] += said["requests"]
            pending = PurgePending(
                content["tenant_id"], datetime.fromisoformat(said["cutoff"]), said["requests"], said["cost_nano"]
            )
            assert open_note(said["receipt"], self.sealer.verifier) == receipt_text(pending, "global")
        assert counted == self.gone


def run_world(database: Database, monkeypatch: pytest.MonkeyPatch, seed: int, rounds: int) -> World:
    monkeypatch.setattr(module, "PURGE_BATCH", BATCH)
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    world = World(database, seed)
    for _ in range(rounds):
        world.live()
        for _ in range(world.chance.randrange(1, 4)):
            world.kill_a_run()
            world.check(finished=False)
        world.finish_a_run()
        world.check(finished=True)
    return world


@pytest.mark.claim("C10", "C11")
@pytest.mark.parametrize("seed", range(2))
def test_c10_with_a_moved_clock_and_kills_nothing_too_old_remains_and_nothing_too_young_is_gone(
    database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = run_world(database, monkeypatch, seed, rounds=7)
    assert world.kills > 1
    assert sum(world.gone.values()) > 10


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.claim("C10", "C11")
def test_c10_a_long_life_with_a_moved_clock_and_kills(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.SystemRandom().randrange(2**32)
    world = run_world(database, monkeypatch, seed, rounds=120)
    print(f"seed {seed}: {world.kills} kills, {sum(world.gone.values())} rows gone, {len(world.requests)} kept")
    assert world.kills > 40


def test_a_moved_clock_is_seen_by_every_function(database: Database) -> None:
    clock = Clock(database)
    clock.move(400)
    for sql in ("select therouter.moved_now()", "select clock from therouter.operations_purge_plan()"):
        for (seen,) in database.query(sql):
            assert isinstance(seen, datetime)
            assert abs(seen - clock.now()) < timedelta(minutes=1)
    left = database.query(
        r"select proname from pg_proc where pronamespace = 'therouter'::regnamespace and proname !~ '^moved_' "
        r"and prosrc ~ '(?<!moved_)\m(now|clock_timestamp)\(\)' and prosrc !~ 'moved_(now|clock)\(\)'"
    )
    assert left == []
