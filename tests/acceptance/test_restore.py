"""A database that was put back serves nobody, in no room, until what was revoked and purged since the backup is taken away again."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from handlers.audit.notes import parse_signing_key
from handlers.local.access import LOCAL_TENANT, LOCAL_USER, Access
from handlers.local.aws import read_secret
from handlers.local.restore import announce, read_diary, replay_entries
from handlers.local.rotation import renew_secrets
from handlers.local.schedules import RETENTION
from handlers.local.system import DATABASE, LocalSystem
from handlers.operations.checkpoint import seal_trail
from handlers.operations.purge import PurgeEvent, purge
from handlers.operations.sealing import Sealer
from handlers.settings import Variable
from handlers.store.connection import open_connection
from handlers.store.operations import OperationsStore
from handlers.store.pool import Pool
from tests.acceptance.cast import CAST
from tests.handlers.store.world import Tenant, new_request_id, usage_line
from tests.system import RunningSystem, running_system
from tests.waiting import PATIENCE_S, until

CLOSED = "http://127.0.0.1:9/v1"
DAY_MS = 86_400_000
ROWS = 5
ROOMS = ("gateway", "admin", "payments")
ENDS = {"kept": 200, "revoked": 401}
"""What a key is told when everything is over, by what became of it."""
OFTEN = 5
NOTHING_KEPT = httpx.Limits(max_keepalive_connections=0)
"""Rooms stop and start: each request has a connection of its own."""
Keys = dict[tuple[str, str], str]
"""(room, what became of it) -> key."""


class Keeper:
    """What operators and administrators do to the system."""

    def __init__(self, system: RunningSystem, key_id: str, client: httpx.Client) -> None:
        self.local: LocalSystem = system.local
        self.client = client
        self.tenant = Tenant(str(LOCAL_TENANT), str(LOCAL_USER), key_id)
        self.management = system.access.create_management_key("test")

    def query(self, sql: str, **values: object) -> list[list[Any]]:
        with closing(open_connection(self.local.postgres.superuser(DATABASE), timeout_s=30)) as connection:
            rows: list[list[Any]] | None = connection.run(sql, **values)
            return rows or []

    def manage(self, method: str, path: str, body: object = None) -> Any:
        headers = {"authorization": f"Bearer {self.management}"}
        answer = self.client.request(method, f"{self.local.admin_url}{path}", json=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def begin_session(self) -> None:
        """A person who signed in before the backup, and signs out after it."""
        self.query(
            "insert into therouter.person_session (session_id, tenant_id, user_id, expires_at) "
            "values (:s, :t, :u, now() + interval '1 hour')",
            s="5" * 64, t=self.tenant.tenant_id, u=self.tenant.user_id,
        )  # fmt: skip

    def use_three_days_ago(self) -> None:
        lines = [
            usage_line(self.tenant, 1, request_id=new_request_id(time.time_ns() // 1_000_000 - 3 * DAY_MS))
            for _ in range(ROWS)
        ]
        rows = (b"[" + b",".join(lines) + b"]").decode()
        self.query("select * from therouter.usage_settle(:rows)", rows=rows)
        assert self.usage() == ROWS

    def usage(self) -> int:
        return int(self.query("select count(*) from therouter.usage_event")[0][0])

    def operate(self) -> None:
        """What the schedules do: purge, and seal the trail."""
        secrets = self.local.home.secrets
        sealer = Sealer(CAST.region, parse_signing_key(read_secret(secrets, "audit/checkpoint")))
        password = read_secret(secrets, "database/operations").decode()
        pool = Pool(self.local.postgres.dsn("operations", password, DATABASE), connections_max=1)
        try:
            purge(OperationsStore(pool), PurgeEvent(**RETENTION), datetime.now(UTC), sealer)
            seal_trail(OperationsStore(pool), sealer)
        finally:
            pool.close()

    def door(self, room: str) -> str:
        """Where somebody with a key asks who it is."""
        payments = self.local.payments
        assert payments is not None
        return {
            "gateway": f"{self.local.url}/v1/key",
            "admin": f"{self.local.admin_url}/tenant",
            "payments": f"{payments.url}/orders",
        }[room]

    def status(self, room: str, key: str) -> int:
        headers = {"authorization": f"Bearer {key}"}
        return self.client.get(self.door(room), headers=headers).status_code

    def statuses(self, keys: Keys) -> list[int]:
        return [self.status(room, key) for (room, _), key in keys.items()]


@contextmanager
def knocking(keeper: Keeper, keys: Keys) -> Iterator[Counter[tuple[str, str, int]]]:
    """Somebody who tries these keys all the time, the rooms being there or not."""
    seen: Counter[tuple[str, str, int]] = Counter()
    done = threading.Event()

    def knock(room: str, fate: str) -> None:
        while not done.wait(0.02):
            try:
                seen[room, fate, keeper.status(room, keys[room, fate])] += 1
            except httpx.HTTPError:
                seen[room, fate, 0] += 1

    threads = [threading.Thread(target=knock, args=place) for place in keys]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        done.set()
        for thread in threads:
            thread.join()


def hear(seen: Counter[tuple[str, str, int]], wanted: set[tuple[str, str, int]]) -> None:
    """Wait until each of these answers has been given several times."""
    until(lambda: all(seen[answer] >= OFTEN for answer in wanted))


@pytest.mark.claim("C10", "C68")
def test_what_was_revoked_and_purged_stays_so_when_an_old_database_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        running_system({CAST.first: CLOSED}, payments=True) as system,
        httpx.Client(trust_env=False, timeout=PATIENCE_S, limits=NOTHING_KEPT) as client,
    ):
        local, home = system.local, system.local.home
        monkeypatch.setenv(Variable.DIARY, str(home.diary))
        kept, revoked = system.new_key("kept"), system.new_key("revoked")
        keeper = Keeper(system, kept[9:25], client)
        manager = keeper.manage("POST", "/keys", {"name": "manager", "management": True, "role": "admin"})["key"]
        keys: Keys = {
            ("gateway", "kept"): kept,
            ("gateway", "revoked"): revoked,
            ("admin", "kept"): keeper.management,
            ("admin", "revoked"): manager,
            ("payments", "kept"): kept,
            ("payments", "revoked"): revoked,
        }
        keeper.begin_session()
        record = keeper.manage("POST", "/byok", {"provider": CAST.first, "key": "a-provider-key"})["record_id"]
        keeper.use_three_days_ago()
        assert keeper.statuses(keys) == [200] * 6

        local.stop()
        backup = home.root / "backup"
        subprocess.run(["cp", "-a", home.postgres, backup], check=True)
        local.start()

        for key in (revoked, manager):
            keeper.manage("DELETE", f"/keys/{key[9:25]}")
        keeper.manage("DELETE", f"/byok/{record}")
        keeper.manage("PUT", "/retention", {"days": 2, "confirm_rows": ROWS})
        keeper.operate()
        assert keeper.usage() == 0
        until(lambda: keeper.statuses(keys) == [ENDS[fate] for _, fate in keys])

        epoch = announce(home.secrets)
        renew_secrets(local)
        good = {place: key for place, key in keys.items() if place[1] == "kept"}
        until(lambda: keeper.statuses(good) == [503] * 3)
        local.stop()
        shutil.rmtree(home.postgres)
        subprocess.run(["cp", "-a", backup, home.postgres], check=True)
        with knocking(keeper, keys) as seen:
            local.start()
            ready = client.get(f"{local.url}/readyz")
            assert (ready.status_code, "restore" in ready.json()["waiting_for"]) == (503, True)
            assert keeper.query("select state from therouter.api_key where key_id = :k", k=revoked[9:25]) == [
                ["active"]
            ]
            assert keeper.usage() == ROWS
            hear(seen, {(*place, 503) for place in keys})
            assert {status for *_, status in list(seen)} <= {0, 503}
            assert keeper.statuses(keys) == [503] * 6
            with closing(Access.open(home)) as access:
                done = replay_entries(home.secrets, access.running, read_diary(home.diary))
            assert done.epoch == epoch
            hear(seen, {(room, fate, ENDS[fate]) for room, fate in keys})
        for room, fate in keys:
            assert {said for *place, said in seen if place == [room, fate]} - {0} == {503, ENDS[fate]}
        assert keeper.usage() == 0
        assert keeper.query("select count(*) from therouter.person_session") == [[0]]
        assert keeper.query("select count(*) from therouter.byok_key") == [[0]]
        assert keeper.query(
            "select retention_days from therouter.tenant where tenant_id = :t", t=keeper.tenant.tenant_id
        ) == [[2]]
        assert keeper.query("select count(*) from therouter.audit_row where record like '%restore.done%'") == [[1]]
        print(f"\n{done.entries} entries; {dict(seen)}")
