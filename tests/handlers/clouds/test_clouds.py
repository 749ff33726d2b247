from __future__ import annotations

from pathlib import Path

import pytest

from handlers.clouds import KeptSecrets, SecretError, open_secret_store
from handlers.clouds.aliyun import AliyunSecretStore
from handlers.clouds.aws import AwsSecretStore
from handlers.clouds.local import LocalSecretStore
from handlers.local.aws import ensure_secrets
from handlers.settings import Deployment


def deployment(cloud: str, region: str = "global", secrets: str = "") -> Deployment:
    return Deployment(region=region, cloud=cloud, environment="local", log_level="info", secrets=secrets)


def behind(store: KeptSecrets) -> type[object]:
    return type(store._store)


def test_each_cloud_has_its_store(tmp_path: Path) -> None:
    ensure_secrets(tmp_path / "secrets", "global", "local", [])
    assert behind(open_secret_store(deployment("aws"), {})) is AwsSecretStore
    assert behind(open_secret_store(deployment("aliyun", "china"), {})) is AliyunSecretStore
    folder = str(tmp_path / "secrets")
    assert behind(open_secret_store(deployment("local", secrets=folder), {})) is LocalSecretStore
    stand_in = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1"}
    assert behind(open_secret_store(deployment("local"), stand_in)) is AwsSecretStore


def test_one_machine_without_a_folder_says_what_to_set() -> None:
    with pytest.raises(SecretError, match="THEROUTER_SECRETS"):
        open_secret_store(deployment("local"), {})


@pytest.mark.claim("C46", "C63")
def test_secrets_of_the_other_region_stop_the_start(tmp_path: Path) -> None:
    ensure_secrets(tmp_path / "secrets", "china", "local", [])
    with pytest.raises(SecretError, match="china/local"):
        open_secret_store(deployment("local", secrets=str(tmp_path / "secrets")), {})
