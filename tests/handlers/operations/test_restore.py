"""What a restore takes away again: everything that the trail reported, any number of times, and nothing else."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.errors import InvalidRequest
from handlers.gateway.revocation import RevocationPoller
from handlers.keys.grammar import MintKeys
from handlers.keys.hashing import BcryptPool
from handlers.keys.verification import KeyVerifier
from handlers.operations.purge import PurgeEvent
from handlers.operations.restore import restore
from handlers.operations.sealing import Sealer
from handlers.store.admin import AdminStore
from handlers.store.gateway import GatewayStore
from handlers.store.operations import OperationsStore
from handlers.telemetry.logs import Log
from tests.database import Database
from tests.handlers.store.world import Tenant, make_tenant, new_request_id, usage_line

BOUNDS = PurgeEvent(retention_days_default=90, retention_days_min=1, retention_days_max=730)
SEALER = Sealer("global", Ed25519PrivateKey.generate())


@pytest.fixture
def store(database: Database) -> OperationsStore:
    return OperationsStore(database.pool("operations"))


@pytest.fixture
def tenant(database: Database) -> Tenant:
    return make_tenant(database.pool("founder"))


def gone(store: OperationsStore, database: Database) -> list[str]:
    return store.gone(0, int(str(database.query("select count(*) from therouter.audit_row")[0][0])))


def put_record(database: Database, tenant: Tenant) -> str:
    record = str(uuid.uuid4())
    database.query(
        "insert into therouter.byok_key (record_id, tenant_id, provider, sealed, key_version) "
        "values (:r, :t, 'openai', 'tr1.global.local.openai.1.abcd', 1)",
        r=record, t=tenant.tenant_id,
    )  # fmt: skip
    return record


def test_the_trail_tells_what_must_not_come_back(database: Database, store: OperationsStore, tenant: Tenant) -> None:
    record, other = put_record(database, tenant), put_record(database, tenant)
    assert gone(store, database) == []
    AdminStore(database.pool("founder")).revoke_key(tenant.tenant_id, tenant.key_id)
    database.query("delete from therouter.byok_key where record_id = :r", r=record)
    digest = "hmac:v1:" + "0" * 64
    database.query("update therouter.byok_key set digest = :d where record_id = :r", d=digest, r=other)
    database.query("update therouter.app_user set role = 'viewer' where user_id = :u", u=tenant.user_id)
    database.query("update therouter.app_user set state = 'removed' where user_id = :u", u=tenant.user_id)
    database.query(
        "update therouter.tenant set retention_days = 7, state = 'frozen' where tenant_id = :t", t=tenant.tenant_id
    )
    entries = gone(store, database)
    assert entries[:5] == [
        f"key {tenant.key_id}", f"byok {record}", f"byok-off {other}", f"role {tenant.user_id} viewer",
        f"user {tenant.user_id} removed",
    ]  # fmt: skip
    assert sorted(entries[5:]) == [f"retention {tenant.tenant_id} 7", f"tenant {tenant.tenant_id} frozen"]  # one change


def test_a_key_sealed_anew_is_no_reason_to_disable_it(
    database: Database, store: OperationsStore, tenant: Tenant
) -> None:
    put_record(database, tenant)
    database.query("update therouter.byok_key set sealed = 'tr1.global.local.openai.2.efgh', key_version = 2")
    assert gone(store, database) == []


@pytest.mark.claim("C10")
def test_entries_are_replayed_any_number_of_times(database: Database, store: OperationsStore, tenant: Tenant) -> None:
    record, other = put_record(database, tenant), put_record(database, tenant)
    lines = [usage_line(tenant, 1, request_id=new_request_id(_days_ago_ms(days))) for days in (1, 3, 4)]
    asyncio.run(GatewayStore(database.pool("gateway"), "pod").settle(lines))
    soon = int((datetime.now(UTC) + timedelta(days=1)).timestamp())
    cutoff = _days_ago_ms(2) // 1000
    entries = [
        f"purge {tenant.tenant_id} {cutoff}", f"retention {tenant.tenant_id} 60", f"byok {record}", f"byok-off {other}",
        f"expiry {tenant.key_id} {soon}", f"key {tenant.key_id}", f"user {tenant.user_id} erased",
        f"tenant {tenant.tenant_id} closed", f"key {'u' + '0' * 15}", f"byok {uuid.uuid4()}", f"purge {uuid.uuid4()} {cutoff}",
    ]  # fmt: skip
    epochs = [restore(store, entries, BOUNDS, 0, datetime.now(UTC), SEALER).epoch for _ in range(2)]
    assert epochs == [1, 2]
    assert database.query("select count(*) from therouter.usage_event") == [[1]]
    assert database.query(
        "select retention_days, state from therouter.tenant where tenant_id = :t", t=tenant.tenant_id
    ) == [[60, "closed"]]
    assert database.query("select record_id::text, state from therouter.byok_key") == [[other, "disabled"]]
    assert database.query("select state, extract(epoch from expires_at)::bigint from therouter.api_key") == [
        ["revoked", soon]
    ]
    ((state, email),) = database.query("select state, email from therouter.app_user")
    assert state == "erased"
    assert "person@" not in str(email)


@pytest.mark.parametrize("entry", ["", "nonsense", "drop table", "KEY x"])
def test_what_is_no_entry_stops_the_restore_before_anybody_is_served(store: OperationsStore, entry: str) -> None:
    with pytest.raises(InvalidRequest):
        restore(store, [entry], BOUNDS, 1, datetime.now(UTC), SEALER)
    assert store.restore_epoch() == 0


def poller_of(database: Database, forgotten: list[str]) -> RevocationPoller:
    gateway = GatewayStore(database.pool("gateway"), "pod")
    verifier = KeyVerifier(
        find_key=gateway.find_key, bcrypt_pool=BcryptPool(), mint_keys=MintKeys({"1": b"k" * 32}, "1"), region="global",
        environment="local",
    )  # fmt: skip
    return RevocationPoller(gateway, verifier, Log(), on_restore=lambda: forgotten.append("all"))


def standing(poller: RevocationPoller) -> tuple[bool, bool]:
    """(open, caught up), as they are now."""
    return poller.restoration.open, poller.caught_up


def is_behind(poller: RevocationPoller) -> bool:
    """Whether it knows that its database was put back."""
    return poller.restoration.behind


def test_a_gateway_is_closed_until_it_has_looked_and_while_its_database_is_behind(
    database: Database, store: OperationsStore
) -> None:
    async def story() -> None:
        forgotten: list[str] = []
        poller = poller_of(database, forgotten)
        assert not standing(poller)[0]
        assert not is_behind(poller), "nobody has looked"
        await poller.poll()
        assert standing(poller)[0]
        poller.restoration.epoch_outside = 3
        await poller.poll()
        assert standing(poller) == (False, False)
        assert is_behind(poller)
        await asyncio.to_thread(store.reopen, 3, 0)
        await poller.poll()
        assert (*standing(poller), forgotten) == (True, True, ["all"])
        assert not is_behind(poller)

    asyncio.run(story())


def test_a_running_gateway_notices_by_itself_that_its_database_went_back(
    database: Database, store: OperationsStore, tenant: Tenant
) -> None:
    async def story() -> None:
        poller = poller_of(database, [])
        await poller.poll()
        assert standing(poller)[0]
        database.query("delete from therouter.key_change")
        await poller.poll()
        assert not standing(poller)[0]
        await poller.poll()
        assert not standing(poller)[0]
        await asyncio.to_thread(store.reopen, 1, 0)
        await poller.poll()
        assert standing(poller)[0]

    assert tenant.key_id
    asyncio.run(story())


def _days_ago_ms(days: int) -> int:
    return int((datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000)
