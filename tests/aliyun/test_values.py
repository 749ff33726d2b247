"""Values reach the containers that wait for one, from files that are the operator's alone, and no other place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from aliyun.__main__ import EXAMPLE, main
from aliyun.client import CloudError, Kms
from aliyun.deploy import DeployError
from aliyun.settings import Settings
from aliyun.values import PLACEHOLDER_VALUE, put_values, read_value
from handlers.clouds.acs3 import Credentials
from handlers.workloads import secrets, store_name
from tests.handlers.clouds.acs3_check import refusal
from tests.handlers.clouds.rpc_server import serving

KEY_SECRET = "made-up-" * 3


@dataclass
class KeyStore:
    """KMS: containers with versions."""

    held: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name -> version -> value; the last version is current."""
    endpoint: str = ""
    nonces: set[str] = field(default_factory=set)

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        code = refusal(headers, body, KEY_SECRET, self.nonces)
        if code:
            return 400, {"Code": code}
        form = dict(parse_qsl(body.decode()))
        versions = self.held.get(form["SecretName"])
        if versions is None:
            return 404, {"Code": "Forbidden.ResourceNotFound", "Message": "The secret does not exist."}
        if headers["x-acs-action"] == "GetSecretValue":
            return 200, {"SecretData": list(versions.values())[-1]}
        if form["VersionId"] in versions:
            return 400, {"Code": "Rejected.ResourceExist"}
        versions[form["VersionId"]] = form["SecretData"]
        return 200, {}

    def current(self, name: str) -> str:
        return list(self.held[store_name("production", name)].values())[-1]


@pytest.fixture
def store(settings: Settings) -> Iterator[KeyStore]:
    names = secrets("china", settings.providers)
    kms = KeyStore({store_name("production", name): {"placeholder": PLACEHOLDER_VALUE} for name in names})
    with serving(kms.answer) as kms.endpoint:
        yield kms


@pytest.fixture
def kms(store: KeyStore) -> Iterator[Kms]:
    client = Kms(Credentials("key-id", KEY_SECRET), endpoint=store.endpoint, pause=lambda _seconds: None)
    yield client
    client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, value in (("keys/mint", "mint-canary"), ("wire/deepseek", "wire-canary")):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(f"{value}\n")
        path.chmod(0o600)
    return tmp_path


def test_values_are_put_where_there_is_none(kms: Kms, store: KeyStore, settings: Settings, folder: Path) -> None:
    lines: list[str] = []
    missing = put_values(kms, settings, folder, show=lines.append)
    assert (store.current("keys/mint"), store.current("wire/deepseek")) == ("mint-canary", "wire-canary")
    assert set(missing) == set(secrets("china", settings.providers)) - {"keys/mint", "wire/deepseek"}
    assert lines == ["keys/mint: put", "wire/deepseek: put"]


def test_a_value_that_is_there_stays(kms: Kms, store: KeyStore, settings: Settings, folder: Path) -> None:
    store.held[store_name("production", "keys/mint")]["v2"] = "in use"
    put_values(kms, settings, folder, show=lambda _line: None)
    assert store.current("keys/mint") == "in use"


def test_new_values_replace_and_the_same_value_is_one_version(
    kms: Kms, store: KeyStore, settings: Settings, folder: Path
) -> None:
    put_values(kms, settings, folder, show=lambda _line: None)
    (folder / "keys/mint").write_text("rotated")
    for _ in range(2):
        put_values(kms, settings, folder, show=lambda _line: None, anew=True)
    assert list(store.held[store_name("production", "keys/mint")].values())[1:] == ["mint-canary", "rotated"]


def test_a_container_that_is_not_there_is_an_error(kms: Kms, store: KeyStore, settings: Settings, folder: Path) -> None:
    store.held.clear()
    with pytest.raises(CloudError, match="ResourceNotFound"):
        put_values(kms, settings, folder, show=lambda _line: None)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(folder: Path, mode: int) -> None:
    path = folder / "keys/mint"
    path.chmod(mode)
    with pytest.raises(DeployError, match="may be read by others") as refused:
        read_value(path)
    assert "canary" not in str(refused.value)


def test_links_folders_and_empty_files_are_refused(folder: Path) -> None:
    link = folder / "link"
    link.symlink_to(folder / "keys/mint")
    (folder / "keys/mint").write_bytes(b"\n")
    for path in (link, folder / "keys", folder / "none", folder / "keys/mint"):
        with pytest.raises(DeployError):
            read_value(path)


def test_the_command_puts_and_says_what_is_missing(
    store: KeyStore, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "key-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": KEY_SECRET}
    command = ["secrets", "--settings", str(EXAMPLE), "--set", "providers=deepseek", "--kms-endpoint", store.endpoint]
    assert main([*command, "--values", str(folder)], identity) == 1
    shown = capsys.readouterr().out
    assert "keys/mint: put" in shown
    assert "provider/deepseek: no file" in shown
    assert "canary" not in shown
    assert main(command, identity) == 1
    assert "--values is missing" in capsys.readouterr().out
