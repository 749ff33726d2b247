"""Who runs the server: each situation of the module's first lines."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handlers.local import postgres, postgres_identity
from handlers.local.postgres import PostgresServer
from handlers.local.postgres_identity import Identity, PostgresFailed, choose_identity, find_binaries
from handlers.store.connection import open_connection

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")


@pytest.fixture
def home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="therouter-identity-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


def _serves(home: Path) -> bool:
    server = PostgresServer(home / "data", port=0, socket_dir=home / "s", durable=False)
    server.start()
    try:
        with closing(open_connection(server.superuser(), timeout_s=10)) as connection:
            return bool(connection.run("select 1") == [[1]])
    finally:
        server.stop()


def test_the_embedded_binaries_come_first() -> None:
    assert find_binaries().parent.name == "pginstall"


def test_without_them_the_newest_system_postgresql(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    for major in ("9.6", "14", "15", "17"):
        (home / major / "bin").mkdir(parents=True)
    assert find_binaries(home) == home / "17" / "bin"


def test_without_any_the_remedy_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    (home / "14" / "bin").mkdir(parents=True)
    with pytest.raises(PostgresFailed, match="make setup"):
        find_binaries(home)


@needs_root
def test_root_runs_it_as_nobody(home: Path) -> None:
    identity = choose_identity(find_binaries(), home)
    assert identity.user == pwd.getpwnam("nobody").pw_uid
    assert identity.bin_dir == find_binaries()
    assert _serves(home)


@needs_root
def test_binaries_under_a_private_home_are_copied_to_where_nobody_can_read_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = home / "private"
    package = find_binaries().parents[1]
    for part in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(part, private / part.name, symlinks=True)
    private.chmod(0o700)
    hidden = private / package.name / "pginstall" / "bin"
    monkeypatch.setattr(postgres, "find_binaries", lambda: hidden)
    (home / "state").mkdir(mode=0o700)
    identity = choose_identity(hidden, home / "state")
    assert identity.user == pwd.getpwnam("nobody").pw_uid
    assert identity.bin_dir.is_relative_to(home / "state" / "server")
    assert private.stat().st_mode & 0o777 == 0o700
    assert _serves(home / "state")


@needs_root
def test_where_nobody_cannot_enter_root_runs_it_in_a_namespace(home: Path) -> None:
    if not Identity(find_binaries(), prefix=postgres_identity.NAMESPACE).works():
        pytest.skip("no user namespaces here")
    private = home / "private"
    private.mkdir(mode=0o700)
    (private / "state").mkdir()
    identity = choose_identity(find_binaries(), private / "state")
    assert (identity.user, identity.prefix) == (None, postgres_identity.NAMESPACE)
    assert _serves(private / "state")
    assert (private / "state" / "data").stat().st_uid == 0
    private.chmod(0o755)
    assert _serves(private / "state"), "the same data, now as nobody"


@needs_root
def test_when_nothing_works_the_reason_is_clear(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Identity, "works", lambda _self: False)
    with pytest.raises(PostgresFailed, match="cannot run as root"):
        choose_identity(home / "bin", home)


def test_an_ordinary_user_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert choose_identity(home / "bin", home / "never-made") == Identity(home / "bin")
    assert not (home / "never-made").exists()
