"""The three secret stores with their keepers, each holding the same secrets: files, Secrets Manager (moto), KMS (a stand-in)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import boto3
import msgspec

from handlers.clouds.aliyun import AliyunSecretStore
from handlers.clouds.aliyun_keeping import AliyunKeeper
from handlers.clouds.aws import REGION, AwsSecretStore
from handlers.clouds.aws_keeping import AwsKeeper
from handlers.clouds.keeping import SecretKeeper
from handlers.clouds.local import ORIGIN_FILE, LocalSecretStore
from handlers.clouds.local_keeping import LocalKeeper, write_private
from handlers.clouds.secrets import SecretStore
from handlers.local.aws import AwsStandIn
from tests.handlers.clouds.kms_standin import kms_standin


class Held(NamedTuple):
    """A store, who keeps it, and a way to put a first value."""

    store: SecretStore
    keeper: SecretKeeper
    create: Callable[[str, str], None]


def held_in_files(folder: Path) -> Held:
    folder.mkdir(mode=0o700)
    write_private(folder / ORIGIN_FILE, msgspec.json.encode({"region": "global", "environment": "local"}))

    def create(name: str, value: str) -> None:
        (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
        write_private(folder / name, value.encode())

    return Held(LocalSecretStore(folder, region="global", environment="local"), LocalKeeper(folder), create)


def held_in_moto(stand_in: AwsStandIn) -> Held:
    """In an environment of its own, so that one stand-in serves many tests."""
    environment, variables = f"t{secrets.token_hex(6)}", stand_in.variables()
    client = boto3.client(
        "secretsmanager", region_name=REGION, endpoint_url=stand_in.url, aws_access_key_id="t", aws_secret_access_key="t"
    )  # fmt: skip

    def create(name: str, value: str) -> None:
        client.create_secret(Name=f"therouter/{environment}/{name}", SecretString=value)

    return Held(AwsSecretStore(environment, variables), AwsKeeper(environment, variables), create)


@contextmanager
def held_in_kms() -> Iterator[Held]:
    with kms_standin() as (kms, variables):
        yield Held(
            AliyunSecretStore("production", variables),
            AliyunKeeper("production", variables),
            lambda name, value: kms.create(f"therouter/production/{name}", value),
        )


def fill(held: Held, values: Mapping[str, str]) -> None:
    """Put first values."""
    for name, value in values.items():
        held.create(name, value)
