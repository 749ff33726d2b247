from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from handlers.clouds.local import ORIGIN_FILE, LocalSecretStore
from handlers.clouds.secrets import SECRET_BYTES_MAX, Origin, SecretError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wire").mkdir(mode=0o700)
    put(tmp_path / ORIGIN_FILE, msgspec.json.encode(Origin("global", "local")))
    put(tmp_path / "wire" / "openai", b"value\n")
    return tmp_path


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def opened(folder: Path) -> LocalSecretStore:
    return LocalSecretStore(folder, region="global", environment="local")


def test_a_file_is_a_secret(folder: Path) -> None:
    assert opened(folder).get("wire/openai").text() == "value"


@pytest.mark.claim("C46", "C63")
@pytest.mark.parametrize(("region", "environment"), [("china", "local"), ("global", "production")])
def test_a_folder_of_another_region_or_environment_stops_the_start(folder: Path, region: str, environment: str) -> None:
    with pytest.raises(SecretError, match="global/local"):
        LocalSecretStore(folder, region=region, environment=environment)


def test_a_folder_that_does_not_say_whose_it_is_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="origin"):
        opened(tmp_path)


@pytest.mark.claim("C20", "A95")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a95_a_file_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    (folder / "wire" / "openai").chmod(mode)
    with pytest.raises(SecretError, match="chmod 600"):
        opened(folder).get("wire/openai")


@pytest.mark.claim("A95")
@pytest.mark.parametrize("content", [b"", b"\n", b"x" * (SECRET_BYTES_MAX + 1)])
def test_a95_empty_and_enormous_files_are_refused(folder: Path, content: bytes) -> None:
    put(folder / "wire" / "openai", content)
    with pytest.raises(SecretError, match="wire/openai"):
        opened(folder).get("wire/openai")


def test_links_folders_and_missing_files_are_refused(folder: Path) -> None:
    put(folder / "elsewhere", b"canary")
    (folder / "wire" / "link").symlink_to(folder / "elsewhere")
    (folder / "wire" / "folder").mkdir()
    os.mkfifo(folder / "pipe", 0o600)
    for name in ("link", "folder", "missing"):
        with pytest.raises(SecretError, match=f"wire/{name}"):
            opened(folder).get(f"wire/{name}")
