"""Putting new versions of secrets: the port of who rotates them. It can be used without the right to read a single value.

    keeper             where                 a version to come        the one in use          the one before
    aws_keeping.py     Secrets Manager       AWSPENDING               AWSCURRENT              AWSPREVIOUS
    aliyun_keeping.py  KMS secrets           Pending                  ACSCurrent              ACSPrevious
    local_keeping.py   0600 files            .<subject>.pending       <subject>               .<subject>.previous

A version has an id that who puts it chooses. Ids are no secrets: they say what the version is for, as in `seal-2-<digest>`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from handlers.clouds.secrets import SecretError, Stage
from handlers.settings import Deployment

ID_CHARS_MIN, ID_CHARS_MAX = 32, 64
"""What all stores take."""


class Version(NamedTuple):
    """A version that has a stage; its value is not part of it."""

    id: str
    since: datetime
    """When it was put, or got its stage; as the store says it."""


Versions = Mapping[Stage, Version]


class SecretKeeper(Protocol):
    """Whoever rotates. Every call may be repeated; each raises SecretError when the store refuses or does not answer."""

    def versions(self, name: str) -> Versions:
        """The versions that have a stage. Empty when there is no such secret."""
        ...

    def put_pending(self, name: str, value: bytes, version: str) -> None:
        """Put a version to come, in the place of one that was put before."""
        ...

    def promote(self, name: str, version: str) -> None:
        """The version to come is the one in use from now on, and the one in use the one before."""
        ...

    def retire(self, name: str) -> None:
        """The version before has no stage any more: nobody finds it, and the store deletes it in its time."""
        ...


def check_id(version: str) -> str:
    """The id, if every store takes it."""
    if not ID_CHARS_MIN <= len(version) <= ID_CHARS_MAX or not version.replace("-", "").isalnum():
        raise SecretError("a version's id has 32 to 64 letters, digits and hyphens")
    return version


def open_secret_keeper(deployment: Deployment, variables: Mapping[str, str] = os.environ) -> SecretKeeper:
    """The keeper of this deployment; chosen as `open_secret_store` chooses."""
    if deployment.cloud == "aliyun":
        from handlers.clouds.aliyun_keeping import AliyunKeeper  # noqa: PLC0415 - a process pays for its own cloud alone

        return AliyunKeeper(deployment.environment, variables)
    if deployment.cloud == "local" and deployment.secrets:
        from handlers.clouds.local_keeping import LocalKeeper  # noqa: PLC0415 - as above

        return LocalKeeper(Path(deployment.secrets))
    from handlers.clouds.aws_keeping import AwsKeeper  # noqa: PLC0415 - as above

    return AwsKeeper(deployment.environment, variables)
