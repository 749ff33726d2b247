"""Two years of audit trail: what is older ends at a checkpoint, nothing else ever goes, and what is left can be verified."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pg8000.exceptions import DatabaseError

from handlers.audit.notes import verifier_of
from handlers.audit.verification import TrailBroken, Verdict, verify_export
from handlers.errors import Conflict
from handlers.operations import checkpoint
from handlers.operations.checkpoint import TrailTampered, end_trail, hand_over, seal_trail
from handlers.operations.journal import EventError
from handlers.operations.sealing import Sealer
from handlers.settings import Variable
from handlers.store.admin import AdminStore
from handlers.store.operations import OperationsStore
from tests.database import Database
from tests.handlers.admin.rooms import House, open_house
from tests.handlers.operations.clocks import Clock

KEYS = [Ed25519PrivateKey.generate() for _ in range(3)]
KEEP_DAYS = 730


class Kept:
    """An archive."""

    def __init__(self) -> None:
        self.notes: dict[str, bytes] = {}

    def keep(self, name: str, content: bytes) -> None:
        self.notes[name] = content


class Deployment:
    """A trail that grows, is sealed and ends, and an auditor."""

    def __init__(self, database: Database, house: House) -> None:
        self.database, self.house = database, house
        self.store = OperationsStore(database.pool("operations"))
        self.sealer = Sealer("global", KEYS[0])
        self.archive = Kept()

    def write(self, rows: int) -> None:
        founder = AdminStore(self.database.pool("founder"))
        for number in range(rows):
            founder.create_tenant(str(uuid.uuid4()), f"T{number}")

    def rows(self) -> tuple[int, int]:
        """The first and the last."""
        ((first, last),) = self.database.query("select min(seq), max(seq) from therouter.audit_row")
        return int(str(first)), int(str(last))

    def verify(self, pinned: str = "") -> Verdict:
        return verify_export(self.house.export(), pinned)

    def rotate_key(self, key: Ed25519PrivateKey) -> None:
        """As renewal and the checkpoint function do it."""
        self.sealer = self.sealer._replace(coming=key)
        assert hand_over(self.store, self.sealer, self.archive)
        assert not hand_over(self.store, self.sealer, self.archive), "once"
        self.write(1)
        seal_trail(self.store, self.sealer)
        self.sealer = Sealer("global", key)


@pytest.fixture
def deployment(database: Database) -> Iterator[Deployment]:
    with open_house(database) as house:
        yield Deployment(database, house)


def verifier(place: int) -> str:
    return verifier_of("therouter.ai/audit/global", KEYS[place])


@pytest.mark.claim("C60")
def test_rows_end_after_two_years_and_not_a_day_before_and_the_rest_is_proven(
    deployment: Deployment, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Clock(database)
    for _ in range(3):
        deployment.write(2)
        seal_trail(deployment.store, deployment.sealer)
        clock.move(1)
    first, last = deployment.rows()
    assert first == 1
    clock.move(KEEP_DAYS - 3.5)
    assert end_trail(deployment.store, deployment.sealer, KEEP_DAYS).rows == 0
    clock.move(1)
    monkeypatch.setattr(checkpoint, "open_store", lambda: deployment.store)
    monkeypatch.setattr(checkpoint, "open_sealer", lambda: deployment.sealer)
    monkeypatch.setenv(Variable.ARCHIVE, str(tmp_path))
    checkpoint.handler({"rebuild": True, "keep_days": KEEP_DAYS}, None)
    ended = last - 4
    assert deployment.rows() == (ended + 1, last + 1), "the rows of the first day are gone, and that they are is a row"
    ((said,),) = database.query("select record from therouter.audit_row order by seq desc limit 1")
    row = msgspec.json.decode(str(said))
    assert (row["action"], row["after"]) == ("audit.begin", {"rows": ended, "size": ended})
    checkpoint.handler({"rebuild": True, "keep_days": KEEP_DAYS}, None)
    verdict = deployment.verify(verifier(0))
    assert (verdict.gone_rows, verdict.rows, verdict.sealed_rows) == (ended, last + 1, last + 1)
    clock.move(2 * KEEP_DAYS)
    checkpoint.handler({"rebuild": True, "keep_days": KEEP_DAYS}, None)
    assert deployment.rows() == (last + 2, last + 2), "even when everything is old the trail goes on where it was"
    deployment.write(1)
    checkpoint.handler({}, None)
    assert deployment.verify(verifier(0)).gone_rows == last + 1
    assert database.query("select count(*) from therouter.audit_checkpoint where size < :s", s=last + 1) == [[0]]


@pytest.mark.claim("C60")
def test_a_bit_of_what_is_left_is_noticed_and_its_row_named(deployment: Deployment, database: Database) -> None:
    clock = Clock(database)
    seal_trail(deployment.store, deployment.sealer)
    clock.move(KEEP_DAYS + 1)
    deployment.rotate_key(KEYS[1])
    end_trail(deployment.store, deployment.sealer, KEEP_DAYS)
    house_tenant = deployment.house.tenants["mine"]
    assert deployment.house.ask("PATCH", "/admin/tenant", {"name": "renamed"}).status == 200
    seal_trail(deployment.store, deployment.sealer, rebuild=True)
    lines = deployment.house.export()
    assert verify_export(lines, verifier(0)).own_rows >= 1, house_tenant
    chance = random.Random(5)
    for line, content in enumerate(lines):
        for _ in range(40):
            damaged = bytearray(content)
            damaged[chance.randrange(len(content) - 1)] ^= 1 << chance.randrange(8)
            with pytest.raises(TrailBroken, match=r"row|line 1|checkpoint of"):
                verify_export([*lines[:line], bytes(damaged), *lines[line + 1 :]], verifier(0))


@pytest.mark.claim("C60")
@pytest.mark.parametrize(
    "shortening",
    [
        "delete from therouter.audit_row where seq = 1",
        "delete from therouter.audit_row",
        "delete from therouter.audit_checkpoint",
        "update therouter.audit_beginning set size = 4, chain = (select chain from therouter.audit_row where seq = 4)",
        "insert into therouter.audit_beginning (size) values (4)",
        "delete from therouter.audit_beginning",
        "truncate therouter.audit_beginning",
        "select therouter.operations_begin_audit(max(size)) from therouter.audit_checkpoint",
    ],
)
def test_even_the_owner_lets_no_young_row_end(deployment: Deployment, database: Database, shortening: str) -> None:
    seal_trail(deployment.store, deployment.sealer)
    with pytest.raises(DatabaseError):
        database.query(shortening)
    assert deployment.rows()[0] == 1


@pytest.mark.claim("C60")
def test_no_schedule_can_keep_the_trail_for_less_than_promised(deployment: Deployment, database: Database) -> None:
    with pytest.raises(EventError):
        checkpoint.handler({"rebuild": True, "keep_days": KEEP_DAYS - 1}, None)
    seal_trail(deployment.store, deployment.sealer)
    Clock(database).move(100)
    with pytest.raises(Conflict):
        end_trail(deployment.store, deployment.sealer, 30)


@pytest.mark.claim("C60")
def test_what_was_killed_between_its_statements_is_finished_by_the_next_run(
    deployment: Deployment, database: Database
) -> None:
    clock = Clock(database)
    deployment.write(12)
    seal_trail(deployment.store, deployment.sealer)
    size = deployment.rows()[1]
    clock.move(KEEP_DAYS + 1)
    deployment.store.begin_audit(size)
    assert deployment.verify(verifier(0)).sealed_rows == size
    seal_trail(deployment.store, deployment.sealer, rebuild=True)
    assert deployment.verify(verifier(0)).gone_rows == size, "what is going is not shown any more"
    assert deployment.store.end_audit(5) == 5
    seal_trail(deployment.store, deployment.sealer, rebuild=True)
    assert deployment.verify(verifier(0)).gone_rows == size
    assert end_trail(deployment.store, deployment.sealer, KEEP_DAYS).rows == size - 5
    assert deployment.verify(verifier(0)).gone_rows == size


@pytest.mark.claim("C60")
@pytest.mark.parametrize(
    "tampering",
    [
        "update therouter.audit_beginning set chain = sha256('x')",
        "update therouter.audit_checkpoint set frontier = frontier || sha256('x') where size = (select size from therouter.audit_beginning)",
        "update therouter.audit_row set leaf = sha256('x') where seq = (select size + 1 from therouter.audit_beginning)",
    ],
)
def test_a_beginning_that_was_changed_behind_the_walls_is_noticed_at_night(
    deployment: Deployment, database: Database, tampering: str
) -> None:
    seal_trail(deployment.store, deployment.sealer)
    Clock(database).move(KEEP_DAYS + 1)
    end_trail(deployment.store, deployment.sealer, KEEP_DAYS)
    deployment.write(3)
    seal_trail(deployment.store, deployment.sealer)
    database.query(f"set session_replication_role = replica; {tampering}")
    with pytest.raises(TrailTampered):
        seal_trail(deployment.store, deployment.sealer, rebuild=True)


@pytest.mark.claim("C60", "C63")
def test_keys_hand_over_and_every_one_of_them_verifies_the_whole_trail(deployment: Deployment) -> None:
    seal_trail(deployment.store, deployment.sealer)
    early = deployment.house.export()
    for key in KEYS[1:]:
        deployment.rotate_key(key)
        deployment.write(1)
        seal_trail(deployment.store, deployment.sealer, rebuild=True)
    for place in range(3):
        verdict = deployment.verify(verifier(place))
        assert (verdict.keys, verdict.checkpoints) == (tuple(map(verifier, range(3))), 5)
    assert verify_export(early, verifier(0)).checkpoints == 1, "an export of before stays good"
    assert len(deployment.archive.notes) == 2
    with pytest.raises(TrailBroken, match="another key"):
        deployment.verify(verifier_of("therouter.ai/audit/global", Ed25519PrivateKey.generate()))


@pytest.mark.claim("C60", "C63")
def test_a_process_that_still_has_the_key_of_before_seals_nothing_after_its_successor(deployment: Deployment) -> None:
    before = deployment.sealer
    seal_trail(deployment.store, before)
    deployment.rotate_key(KEYS[1])
    deployment.write(1)
    seal_trail(deployment.store, deployment.sealer)
    deployment.write(1)
    with pytest.raises(Conflict):
        seal_trail(deployment.store, before)
    assert deployment.verify(verifier(0)).checkpoints == 3


@pytest.mark.claim("C60", "C63")
def test_a_key_that_was_announced_and_lost_before_it_was_used_gives_way_to_another(deployment: Deployment) -> None:
    seal_trail(deployment.store, deployment.sealer)
    lost = deployment.sealer._replace(coming=KEYS[2])
    assert hand_over(deployment.store, lost, deployment.archive)
    deployment.rotate_key(KEYS[1])
    deployment.write(1)
    seal_trail(deployment.store, deployment.sealer)
    assert deployment.verify(verifier(0)).keys == (verifier(0), verifier(1))
    with pytest.raises(TrailTampered):
        seal_trail(deployment.store, Sealer("global", KEYS[2]))


@pytest.mark.claim("C60", "C63")
def test_a_handing_over_that_a_restore_has_forgotten_is_written_down_again_from_the_archive(
    deployment: Deployment, database: Database
) -> None:
    seal_trail(deployment.store, deployment.sealer)
    assert hand_over(deployment.store, deployment.sealer._replace(coming=KEYS[1]), deployment.archive)
    database.query("set session_replication_role = replica; delete from therouter.audit_succession")
    after_it = Sealer("global", KEYS[1])
    with pytest.raises(TrailTampered):
        seal_trail(deployment.store, after_it)
    (note,) = deployment.archive.notes.values()
    _, before, after, *_ = note.decode().splitlines()
    assert deployment.store.succeed(before, after, note.decode())
    seal_trail(deployment.store, after_it)
    assert deployment.verify(verifier(0)).keys == (verifier(0), verifier(1))
