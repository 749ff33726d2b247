"""Mint key, sealing key, wire key and database logins are rotated while requests go on, and none of them fails (C16, C63)."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Self

import httpx
import pytest

from handlers.audit.notes import origin_of, parse_signing_key, verifier_of
from handlers.audit.verification import verify_export
from handlers.clouds.aws import AwsSecretStore
from handlers.clouds.aws_keeping import AwsKeeper
from handlers.clouds.keeping import SecretKeeper
from handlers.clouds.local import LocalSecretStore
from handlers.clouds.local_keeping import LocalKeeper
from handlers.clouds.secrets import SecretMissing, SecretStore, Stage
from handlers.keys.sealing import parse_public_keys
from handlers.local.rotation import renew_secrets, rotate_until_done
from handlers.local.system import DATABASE, ENVIRONMENT
from handlers.operations.renewal import RenewalEvent, renew
from handlers.store.connection import open_connection
from handlers.store.dsn import Dsn
from handlers.store.logins import read_login
from handlers.store.pool import Pool
from handlers.store.rotation import RotationStore
from tests.acceptance.cast import CAST, CASTS, PLAYED
from tests.acceptance.test_byok import MODEL, Customer, upstream
from tests.system import CREDENTIAL, RunningSystem, running_system
from tests.waiting import until

REFRESH_S, SETTLE_S, RETIRE_S = 1, 4, 8
PATIENCE_S = 90.0
SEAL, WIRE = f"seal/{CAST.first}", f"wire/{CAST.first}"
ROTATED = ("keys/mint", SEAL, WIRE, "database/gateway", "database/admin", "database/rotation",
           "audit/checkpoint", "audit/digest")  # fmt: skip
ALL_STEPS = {
    "keys/mint:announce", "keys/mint:use",
    *(f"{SEAL}:{step}" for step in ("prepare", "publish", "retire")),
    *(f"{WIRE}:{step}" for step in ("prepare", "use", "retire")),
    *(f"audit/checkpoint:{step}" for step in ("prepare", "use", "retire")), "audit/digest:use",
    *(f"database/{role}:{step}" for role in ("gateway", "admin", "rotation") for step in ("use", "close")),
}  # fmt: skip
OWN = "own-provider-key-of-a-customer"


class Traffic:
    """Customers of both kinds and an administrator, who all notice every failure."""

    def __init__(self, customer: Customer) -> None:
        self._customer = customer
        self._done = threading.Event()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.new_keys: list[str] = []
        self.records: list[str] = []
        self._threads = [threading.Thread(target=self._repeat, args=(work, pause_s)) for work, pause_s in (
            (self._ask, 0.02), (self._ask_with_new_key, 0.05), (self._look, 0.05), (self._make_key, 1.0), (self._store_key, 2.0),
        )]  # fmt: skip

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> dict[tuple[str, int], int]:
        return {key: count for key, count in self.statuses.items() if key[1] >= 300}

    def _repeat(self, work: Any, pause_s: float) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self._done.wait(pause_s):
                try:
                    answer = work(client)
                except httpx.HTTPError:
                    self.statuses[work.__name__, 999] += 1
                else:
                    self.statuses[work.__name__, answer.status_code] += 1

    def _chat(self, client: httpx.Client, key: str) -> httpx.Response:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
        url = f"{self._customer.url}/v1/chat/completions"
        return client.post(url, json=body, headers={"authorization": f"Bearer {key}"})

    def _manage(self, client: httpx.Client, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._customer.management}"}
        return client.request(method, f"{self._customer.admin}{path}", json=body, headers=headers)

    def _ask(self, client: httpx.Client) -> httpx.Response:
        return self._chat(client, self._customer.key)

    def _ask_with_new_key(self, client: httpx.Client) -> httpx.Response:
        return self._chat(client, (self.new_keys or [self._customer.key])[-1])

    def _look(self, client: httpx.Client) -> httpx.Response:
        url = f"{self._customer.url}/v1/key"
        return client.get(url, headers={"authorization": f"Bearer {self._customer.key}"})

    def _make_key(self, client: httpx.Client) -> httpx.Response:
        answer = self._manage(client, "POST", "/keys", {"name": "made under way"})
        if answer.status_code < 300:
            self.new_keys.append(answer.json()["key"])
        return answer

    def _store_key(self, client: httpx.Client) -> httpx.Response:
        """Sealed to whatever the admin room seals to at the moment, and used from then on."""
        answer = self._manage(client, "POST", "/byok", {"provider": CAST.first, "key": f"{OWN}-{len(self.records)}"})
        if answer.status_code < 300:
            self.records.append(answer.json()["record_id"])
        return answer


def store_of(system: RunningSystem, secret: str) -> RotationStore:
    login = read_login("rotation", secret)
    postgres = system.local.postgres
    dsn = Dsn(
        user=login.user, password=login.password, database=DATABASE, socket_dir=str(postgres.socket_dir),
        port=postgres.port, local=True,
    )  # fmt: skip
    return RotationStore(Pool(dsn, connections_max=1))


def keeping_of(system: RunningSystem) -> tuple[SecretStore, SecretKeeper]:
    """The secrets as the system's processes read them: from the stand-in for a cloud, or where there is none, from files."""
    if system.local.aws is None:
        folder = system.local.home.secrets
        return LocalSecretStore(folder, region=CAST.region, environment=ENVIRONMENT), LocalKeeper(folder)
    variables = system.local.aws.variables()
    return AwsSecretStore(ENVIRONMENT, variables), AwsKeeper(ENVIRONMENT, variables)


def query(system: RunningSystem, sql: str) -> list[list[Any]]:
    with closing(open_connection(system.local.postgres.superuser(DATABASE), timeout_s=10)) as connection:
        rows: list[list[Any]] | None = connection.run(sql)
        return rows or []


def signer_of(values: SecretStore) -> str:
    """The public key of the checkpoints that are made now."""
    return verifier_of(origin_of(CAST.region), parse_signing_key(values.get("audit/checkpoint").reveal()))


def exported(customer: Customer) -> list[bytes]:
    """The audit trail, as a customer keeps it."""
    headers = {"authorization": f"Bearer {customer.management}"}
    answer = customer.client.get(f"{customer.admin}/audit/export", params={"limit": 500}, headers=headers)
    return answer.content.splitlines(keepends=True)


@pytest.mark.claim("C15", "C16", "C63")
def test_everything_that_is_ours_rotates_under_traffic_as_in_a_cloud() -> None:
    """By the clock of each process alone: nobody is told and nobody starts again."""
    with (
        upstream() as (address, seen),
        running_system({CAST.first: address}, secrets_refresh_s=REFRESH_S) as system,
        closing(Customer(system, seen)) as customer,
    ):
        values, keeper = keeping_of(system)
        first = customer.manage("POST", "/byok", {"provider": CAST.first, "key": OWN})["record_id"]
        pinned = signer_of(values)
        pids = {child.name: child.pid for child in system.local.children()}
        taken: set[str] = set()
        with Traffic(customer) as traffic:
            deadline = time.monotonic() + PATIENCE_S
            begin: tuple[str, ...] = ROTATED
            while not taken >= ALL_STEPS:
                event = RenewalEvent(rotate_after_days=365, settle_s=SETTLE_S, retire_s=RETIRE_S, begin=begin)
                store = store_of(system, values.get("database/rotation").text())
                done = renew(keeper, lambda name: values.get(name).reveal(), store, event, datetime.now(UTC))
                store._pool.close()
                assert done.failed == ()
                if done.steps:
                    print(f"{time.monotonic() - deadline + PATIENCE_S:6.1f} s  {done.steps}  {traffic.failures}")
                taken |= set(done.steps)
                begin = tuple(name for name in begin if not any(step.startswith(f"{name}:") for step in taken))
                assert time.monotonic() < deadline, f"not yet: {sorted(ALL_STEPS - taken)}"
                time.sleep(0.5)
            time.sleep(2 * REFRESH_S)
        print(f"\n{sum(traffic.statuses.values())} requests, failed: {traffic.failures}; {dict(traffic.statuses)}")
        assert traffic.failures == {}
        assert sum(traffic.statuses.values()) > 300

        # Each new version is in use, and nothing of the old one is left.
        assert {key[7] for key in traffic.new_keys} == {"1", "2"}
        assert {child.name: child.pid for child in system.local.children()} == pids
        assert query(system, "select distinct provider, key_version from therouter.byok_key") == [[CAST.first, 2]]
        assert parse_public_keys(values.get("seal/public").reveal())[CAST.first].version == 2
        with pytest.raises(SecretMissing):
            values.get(SEAL, Stage.PREVIOUS)
        deadline = time.monotonic() + PATIENCE_S
        while verify_export(exported(customer)).verifier != signer_of(values):
            assert time.monotonic() < deadline, "the new key signs the next checkpoint"
            time.sleep(1)
        assert verify_export(exported(customer), pinned).keys == (pinned, signer_of(values))
        digests = {str(row[0])[:8] for row in query(system, "select digest from therouter.byok_key")}
        assert digests == {"hmac:v1:", "hmac:v2:"}
        # Connections from before serve to their end; here it comes at once, and the next are the other login's.
        query(system, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'gateway'")
        until(lambda: ["gateway_b"] in query(system, "select distinct usename::text from pg_stat_activity"))
        assert query(system, "select rolname::text from pg_roles where rolcanlogin and rolname ~ '^(gateway|admin|rotation)'"
                             " order by 1") == [["admin_b"], ["gateway_b"], ["rotation_b"]]  # fmt: skip
        assert customer.ask().status_code == 200
        stored = {OWN} | {f"{OWN}-{number}" for number in range(len(traffic.records))}
        until(lambda: set(seen) - {CREDENTIAL} == stored)  # each was opened, at the least to be tried
        trail = customer.client.get(
            f"{customer.admin}/audit", headers={"authorization": f"Bearer {customer.management}"}
        )
        assert first in trail.text
        noted = {row[0] for row in query(system, "select distinct (record::jsonb ->> 'target') || ':' || "
                 "(record::jsonb -> 'after' ->> 'step') from therouter.audit_row where record like '%secret.rotate%'")}  # fmt: skip
        assert noted == ALL_STEPS
        assert OWN not in system.logs()


@contextmanager
def supervised(system: RunningSystem) -> Iterator[None]:
    """What `therouter up` does when it is told that secrets have changed."""

    def renewed(_number: int, _frame: FrameType | None) -> None:
        renew_secrets(system.local)

    before = signal.signal(signal.SIGUSR1, renewed)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.claim("C16", "C63")
@pytest.mark.parametrize("region", PLAYED)
def test_the_command_rotates_on_one_machine_and_a_restart_finds_everything_in_its_place(region: str) -> None:
    provider = CASTS[region].first
    names = {"global": [f"seal/{provider}"], "china": ["keys/mint", "database/gateway"]}[region]
    with running_system({provider: "http://127.0.0.1:9/v1"}, region=region) as system, supervised(system):
        key = system.new_key()
        folder = system.local.home.secrets
        statuses: Counter[int] = Counter()
        done = threading.Event()

        def ask() -> None:
            with httpx.Client(trust_env=False, timeout=30, headers={"authorization": f"Bearer {key}"}) as client:
                while not done.wait(0.02):
                    statuses[client.get(f"{system.url}/v1/key").status_code] += 1

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for name in names:
                steps: list[str] = []
                assert rotate_until_done(folder, system.access.running, name, steps.append), steps
        finally:
            done.set()
            asking.join()
        assert set(statuses) == {200}
        # All secrets survive a restart of everything, the logins with them.
        system.local.stop()
        system.local.start()
        with httpx.Client(trust_env=False, timeout=30, headers={"authorization": f"Bearer {key}"}) as client:
            assert client.get(f"{system.url}/v1/key").status_code == 200
