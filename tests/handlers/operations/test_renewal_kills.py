"""Rotation killed at every step, over all three secret stores: what is in use always works, and the next runs finish it."""

from __future__ import annotations

import base64
import itertools
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from handlers.audit.lineage import Succession
from handlers.audit.notes import parse_signing_key
from handlers.audit.verification import VERSION, Row, SignedCheckpoint, Trail, Verdict, verify_export
from handlers.clouds.keeping import Version, Versions
from handlers.clouds.secrets import SecretMissing, Stage
from handlers.keys.digests import DigestKeys
from handlers.keys.grammar import MintKeys, generate_key, parse_key
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.rotation import make_checkpoint_key, make_sealing_key
from handlers.keys.sealing import SealBroken, SealContext, parse_public_keys, read_header, seal
from handlers.local.aws import AwsStandIn, ensure_secrets
from handlers.operations.checkpoint import hand_over, seal_trail
from handlers.operations.renewal import RenewalEvent, SecretsRenewed, renew
from handlers.operations.sealing import Sealer
from handlers.store.admin import AdminStore
from handlers.store.connection import open_connection
from handlers.store.logins import read_login
from handlers.store.migrate import ROOMS, set_passwords
from handlers.store.operations import OperationsStore
from handlers.store.rotation import RotationStore
from tests.database import Cluster, Database
from tests.handlers.clouds.keepers import Held, fill, held_in_files, held_in_kms, held_in_moto

SETTLE_S, RETIRE_S = 900, 86_400
PERIOD_S = 4 * 3_600


class NoArchive:
    """Copies are not what this is about."""

    def keep(self, name: str, content: bytes) -> None:
        assert (name[:12], len(content) > 0) == ("checkpoints/", True)


PLACE = SealContext("global", "local", "openai", "tenant", "record")
START = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """Keeper and database as the rotation sees them: dies before its n-th change, or just after it; keeps a clock of ours."""

    def __init__(self, held: Held, store: RotationStore) -> None:
        self.held, self._store = held, store
        self.now = START
        self.left: int | None = None
        self.after = False
        self.changes = 0
        self._since: dict[tuple[str, str], datetime] = {}

    def __getattr__(self, name: str) -> Any:
        target = getattr(self.held.keeper, name, None) or getattr(self._store, name)
        return target if name == "open_logins" else lambda *values: self._change(target, values)

    def _change(self, target: Callable[..., Any], values: tuple[Any, ...]) -> Any:
        self.changes += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0 and not self.after:
                raise Killed
        done = target(*values)
        if self.left is not None and self.left < 0:
            raise Killed
        return done

    def versions(self, name: str) -> Versions:
        """With the moments of our clock: those at which this version was first seen in its stage."""
        found = self.held.keeper.versions(name)
        return {
            stage: Version(version.id, self._since.setdefault((f"{name}/{stage}", version.id), self.now))
            for stage, version in found.items()
        }

    def reseal(self, provider: str, version: int) -> int:
        return self._store.reseal(provider, version)

    def successor(self) -> str:
        return self._store.successor()


class Site:
    """Everything that a rotation touches, and what must hold at every moment."""

    def __init__(self, held: Held, database: Database) -> None:
        self.held, self.database = held, database
        self.mortal = Mortal(held, RotationStore(database.pool("rotation")))
        first = make_sealing_key(1)
        mint = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self.password = database.dsn("payments").password
        fill(held, {
            "keys/mint": msgspec.json.encode({"newest": "1", "keys": {"1": mint}}).decode(),
            "seal/public": msgspec.json.encode({"openai": {"version": 1, "public": first.public}}).decode(),
            "seal/openai": first.value.decode(),
            "wire/openai": secrets.token_urlsafe(32),
            "audit/checkpoint": make_checkpoint_key().value.decode(),
            "audit/digest": secrets.token_urlsafe(32),
            "database/payments": self.password,
        })  # fmt: skip
        self.tenant = str(uuid.uuid4())
        AdminStore(database.pool("founder")).create_tenant(self.tenant, "t")
        self.sealed = self.seal()
        self.record = str(uuid.uuid4())
        database.query(
            "insert into therouter.byok_key (record_id, tenant_id, provider, sealed, key_version) "
            "values (:r, :t, 'openai', :s, 1)",
            r=self.record, t=self.tenant, s=self.sealed,
        )  # fmt: skip
        self.tokens = [self.mint()]
        self.operations = OperationsStore(database.pool("operations"))
        self.pinned = self.sealer().verifier
        """The public key that a customer has written down at the beginning."""
        self.digest = self.digests().digest("a secret")

    def read(self, name: str) -> bytes:
        return self.held.store.get(name).reveal()

    def seal(self) -> str:
        return seal(parse_public_keys(self.read("seal/public"))["openai"], b"a key", PLACE)

    def mint(self) -> bytes:
        return generate_key("global", "local", MintKeys.parse(self.read("keys/mint"))).token.encode()

    def pod_keys(self) -> dict[int, bytes]:
        try:
            before = parse_private_keys(self.held.store.get("seal/openai", Stage.PREVIOUS).reveal())
        except SecretMissing:
            before = {}
        return {**before, **parse_private_keys(self.read("seal/openai"))}

    def run(self, *begin: str) -> SecretsRenewed:
        event = RenewalEvent(rotate_after_days=60, settle_s=SETTLE_S, retire_s=RETIRE_S, begin=begin)
        mortal: Any = self.mortal
        return renew(mortal, self.read, mortal, event, self.mortal.now)

    def sealer(self) -> Sealer:
        try:
            coming = parse_signing_key(self.held.store.get("audit/checkpoint", Stage.PENDING).reveal())
        except SecretMissing:
            coming = None
        return Sealer("global", parse_signing_key(self.read("audit/checkpoint")), coming)

    def digests(self) -> DigestKeys:
        return DigestKeys.parse(self.read("audit/digest"))

    def carry(self) -> None:
        """What gateways and the pod do for a record that is to be sealed anew, and the checkpoint function for its key."""
        hand_over(self.operations, self.sealer(), NoArchive())
        ((wanted, sealed),) = self.database.query(
            "select c.reseal_to, b.sealed from therouter.byok_care c join therouter.byok_key b using (record_id)"
        )
        keys = self.pod_keys()
        if wanted is not None and max(keys) >= int(str(wanted)):
            opened = open_sealed(keys, str(sealed), PLACE)
            fresh = seal(parse_public_keys(self.read("seal/public"))["openai"], opened, PLACE)
            self.database.query(
                "select therouter.gateway_byok_resealed(:r, :b, :s)", r=self.record, b=str(sealed), s=fresh
            )

    def check(self) -> None:
        """What is in use works: at any moment, however the rotation ended."""
        login = read_login("payments", self.read("database/payments").decode())
        dsn = msgspec.structs.replace(self.database.dsn("payments"), user=login.user, password=login.password)
        with closing(open_connection(dsn, timeout_s=5)) as connection:
            assert connection.run("select * from therouter.gateway_watch()")
        ((stored,),) = self.database.query("select sealed from therouter.byok_key")
        assert open_sealed(self.pod_keys(), str(stored), PLACE) == b"a key"
        assert open_sealed(self.pod_keys(), self.seal(), PLACE) == b"a key"
        seal_trail(self.operations, self.sealer(), rebuild=True)
        assert self.verified().verifier == self.sealer().verifier
        assert self.digest in self.digests().digests("a secret")
        self.tokens.append(self.mint())
        keys = MintKeys.parse(self.read("keys/mint"))
        assert all(keys.vouch(parse_key(token, "global", "local")) for token in self.tokens)

    def verified(self) -> Verdict:
        """The trail, exported and checked by somebody who knows the first key alone."""
        rows = self.database.query(
            "select seq, encode(leaf, 'hex'), encode(chain, 'hex') from therouter.audit_row order by seq"
        )
        sealed = {size: SignedCheckpoint(int(str(size)), str(note), str(key)) for size, note, key in self.database.query(
            "select size, note, verifier from therouter.audit_checkpoint order by size")}  # fmt: skip
        lines: list[msgspec.Struct] = [
            Trail(VERSION, "therouter.ai/audit/global", self.tenant, list(sealed.values())[-1].verifier),
            *(Succession(*step) for step in self.operations.successions()),
        ]
        for seq, leaf, chain in rows:
            lines += [Row(int(str(seq)), str(leaf), str(chain)), *([sealed[seq]] if seq in sealed else [])]
        return verify_export([msgspec.json.encode(line) for line in lines], self.pinned)

    def advance(self, seconds: float) -> None:
        self.mortal.now += timedelta(seconds=seconds)

    def finish(self) -> list[str]:
        """Run until nothing happens for more than a day; all steps that were taken."""
        steps: list[str] = []
        quiet = 0
        while quiet < 8:
            done = self.run()
            assert done.failed == ()
            self.check()
            self.carry()
            steps += done.steps
            quiet = 0 if done.steps else quiet + 1
            self.advance(PERIOD_S)
        return steps

    def run_until_killed(self) -> NoReturn:
        while True:
            self.run()
            self.carry()
            self.advance(PERIOD_S)

    def assert_rotated(self) -> None:
        assert self.tokens[-1][7:8] != b"1"
        assert (len(self.verified().keys), self.digests().newest) == (2, 2)
        assert len({version.id for version in self.held.keeper.versions("audit/checkpoint").values()}) == 1
        assert len(self.pod_keys()) == 1
        ((stored,),) = self.database.query("select sealed from therouter.byok_key")
        assert read_header(str(stored)).version == max(self.pod_keys())
        with pytest.raises(SealBroken):
            open_sealed(self.pod_keys(), self.sealed, PLACE)
        opened = self.database.query(
            "select count(*) from pg_roles where rolname in ('payments', 'payments_b') and rolcanlogin"
        )
        assert opened == [[1]]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsStandIn]:
    folder = tmp_path_factory.mktemp("secrets")
    ensure_secrets(folder, "global", "local", [])
    stand_in = AwsStandIn(folder, log=folder.parent / "aws.log")
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def make_site(
    database: Database, cluster: Cluster, tmp_path: Path, stand_in: AwsStandIn
) -> Iterator[Callable[[str], Site]]:
    numbers = itertools.count()

    def begin_anew() -> None:
        database.query("alter role payments_b nologin")
        set_passwords(database.superuser, {room: cluster.passwords[room] for room in ROOMS})
        database.query("delete from therouter.byok_key")
        trail = ("row", "checkpoint", "succession")
        database.query(
            "; ".join(["set session_replication_role = replica", *(f"delete from therouter.audit_{x}" for x in trail)])
        )

    with ExitStack() as stack:

        def make(kind: str) -> Site:
            begin_anew()
            if kind == "files":
                return Site(held_in_files(tmp_path / f"s{next(numbers)}"), database)
            return Site(held_in_moto(stand_in) if kind == "moto" else stack.enter_context(held_in_kms()), database)

        yield make
    begin_anew()


ROTATION = [
    "keys/mint:announce", "seal/openai:prepare", "wire/openai:prepare", "database/payments:use", "keys/mint:use", "wire/openai:use",
    "audit/checkpoint:prepare", "audit/checkpoint:use", "audit/checkpoint:retire", "audit/digest:use",
    "seal/openai:publish", "database/payments:close", "seal/openai:retire", "wire/openai:retire",
]  # fmt: skip


@pytest.mark.claim("C16", "C63")
@pytest.mark.parametrize("kind", ["files", "moto", "kms"])
def test_each_secret_is_replaced_step_by_step_once_it_is_old_enough(
    make_site: Callable[[str], Site], kind: str
) -> None:
    site = make_site(kind)
    assert site.run().steps == ()
    site.advance(59 * 86_400)
    assert site.run().steps == ()
    site.advance(86_400)
    steps = site.finish()
    assert sorted(steps) == sorted(ROTATION)
    site.assert_rotated()
    assert [row for row in steps if row.startswith("seal")] == [
        f"seal/openai:{step}" for step in ("prepare", "publish", "retire")
    ]
    noted = site.database.query("select count(*) from therouter.audit_row where record like '%secret.rotate%'")
    assert noted == [[len(ROTATION)]]


@pytest.mark.claim("C16", "C63")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["files", "moto", "kms"])
def test_a_rotation_that_is_killed_at_any_change_goes_on(
    make_site: Callable[[str], Site], kind: str, after: bool
) -> None:
    """Before or after a change of a whole rotation: everything in use works at once, and later runs finish."""
    whole = make_site(kind)
    whole.run()
    whole.advance(61 * 86_400)
    begun = whole.mortal.changes
    whole.finish()
    changes = whole.mortal.changes - begun
    assert changes > 20
    for number in range(int(after), changes, 2 if kind == "files" else 8):
        site = make_site(kind)
        site.run()
        site.advance(61 * 86_400)
        site.mortal.left, site.mortal.after = number, after
        with pytest.raises(Killed):
            site.run_until_killed()
        site.mortal.left = None
        site.check()
        site.finish()
        site.assert_rotated()
