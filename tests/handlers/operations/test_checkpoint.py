from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from handlers.audit.notes import open_note, read_checkpoint
from handlers.clouds.archive import ArchiveFailed
from handlers.operations import checkpoint
from handlers.operations.checkpoint import TrailTampered, handler, seal_trail
from handlers.operations.sealing import Sealer
from handlers.settings import Variable
from handlers.store.admin import AdminStore
from handlers.store.operations import OperationsStore
from tests.database import Database

SEALER = Sealer("global", Ed25519PrivateKey.generate())


def write(database: Database, rows: int) -> None:
    store = AdminStore(database.pool("founder"))
    for number in range(rows):
        store.create_tenant(str(uuid.uuid4()), f"T{number}")


@pytest.mark.claim("C60")
def test_checkpoints_grow_with_the_trail_and_a_rebuild_finds_the_same_root(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = OperationsStore(database.pool("operations"))
    assert seal_trail(store, SEALER).rows == 0
    for rows, expected in ((3, 3), (1, 4), (9, 13)):
        write(database, rows)
        done = seal_trail(store, SEALER)
        assert (done.rows, done.new_rows) == (expected, rows)
    rebuilt = seal_trail(store, SEALER, rebuild=True)
    assert (rebuilt.rows, rebuilt.new_rows, rebuilt.root) == (13, 0, done.root)
    last = store.last_checkpoint()
    assert last is not None
    assert read_checkpoint(open_note(last.note, SEALER.verifier)).size == 13
    monkeypatch.setattr(checkpoint, "open_store", lambda: store)
    monkeypatch.setattr(checkpoint, "open_sealer", lambda: SEALER)
    monkeypatch.setenv(Variable.ARCHIVE, str(tmp_path))
    assert handler({"rebuild": True}, None)["rows"] == 13
    (kept,) = (tmp_path / "checkpoints").iterdir()
    assert (kept.name[:13], kept.read_text()) == ("000000000013-", last.note)


@pytest.mark.claim("C60")
def test_a_copy_that_is_not_taken_fails_the_run_and_is_made_the_next_time(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(database, 1)
    store = OperationsStore(database.pool("operations"))
    monkeypatch.setattr(checkpoint, "open_store", lambda: store)
    monkeypatch.setattr(checkpoint, "open_sealer", lambda: SEALER)
    (tmp_path / "archive").write_text("no folder")
    monkeypatch.setenv(Variable.ARCHIVE, str(tmp_path / "archive"))
    with pytest.raises(ArchiveFailed):
        handler({}, None)
    (tmp_path / "archive").unlink()
    assert handler({}, None)["new_rows"] == 0
    assert len(list((tmp_path / "archive" / "checkpoints").iterdir())) == 1


@pytest.mark.claim("C60")
@pytest.mark.parametrize(
    ("tampering", "rebuild", "place"),
    [
        ("update therouter.audit_row set leaf = sha256('x') where seq = 5", False, "row 5"),
        ("update therouter.audit_row set chain = sha256('x') where seq = 6", False, "row 6"),
        ("delete from therouter.audit_row where seq = 5", False, "row 5"),
        ("update therouter.audit_row set leaf = sha256('x') where seq = 2", True, "row 2"),
        ("delete from therouter.audit_row where seq = 1", True, "row 1"),
        ("delete from therouter.audit_row where seq > 3", True, "ends at row 3"),
        ("update therouter.audit_checkpoint set size = 3", False, "checkpoint of 3"),
        ("update therouter.audit_checkpoint set note = replace(note, '4', '5')", False, "checkpoint of 4"),
        ("update therouter.audit_checkpoint set frontier = sha256('x')", False, "checkpoint of 4"),
    ],
)
def test_a_trail_that_was_changed_behind_the_walls_is_never_sealed(
    database: Database, tampering: str, rebuild: bool, place: str
) -> None:
    store = OperationsStore(database.pool("operations"))
    write(database, 4)
    seal_trail(store, SEALER)
    write(database, 3)
    database.query(f"set session_replication_role = replica; {tampering}")
    with pytest.raises(TrailTampered, match=place):
        seal_trail(store, SEALER, rebuild=rebuild)
    last = store.last_checkpoint()
    assert last is not None
    assert last.size <= 4


@pytest.mark.claim("C60")
@pytest.mark.parametrize(
    "rewriting",
    [
        "update therouter.audit_row set record = record",
        "delete from therouter.audit_row",
        "truncate therouter.audit_row",
        "update therouter.audit_checkpoint set size = size",
        "delete from therouter.audit_checkpoint",
    ],
)
def test_even_the_owner_changes_no_row(database: Database, rewriting: str) -> None:
    from pg8000.exceptions import DatabaseError  # noqa: PLC0415 - the driver is the store's; here it tells a refusal

    write(database, 1)
    seal_trail(OperationsStore(database.pool("operations")), SEALER)
    with pytest.raises(DatabaseError):
        database.query(rewriting)
