"""Copies that nobody can change or remove for years.

On AWS a bucket under Object Lock, on Alibaba Cloud one with a locked retention policy; on one machine a folder of files without
write permission, which behaves alike and protects from accidents alone.

An object is written once. The same name again is no error and changes nothing; whoever keeps something gives it a name that says
what it is, so that a repetition is the same content.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from handlers.settings import Deployment, SettingError, Variable


class ArchiveFailed(RuntimeError):
    """The copy was not taken; the message says by whom."""


class Archive(Protocol):
    """Where copies go."""

    def keep(self, name: str, content: bytes) -> None:
        """Keep one object; ArchiveFailed when it is not taken."""
        ...


class FolderArchive:
    """Files that their owner can read and nobody write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, content: bytes) -> None:
        """Write the file, if there is none."""
        path = self._folder / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as file:
                    file.write(content)
        except OSError:
            raise ArchiveFailed("the archive's folder cannot be written") from None


class S3Archive:
    """A bucket whose objects are locked when they are written."""

    def __init__(self, bucket: str) -> None:
        import boto3  # noqa: PLC0415 - a process pays for its own cloud's client alone

        self._bucket = bucket
        self._client: Any = boto3.client("s3", region_name="us-east-2")

    def keep(self, name: str, content: bytes) -> None:
        """Put the object, if there is none; a locked bucket takes none without a checksum."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        try:
            self._client.put_object(
                Bucket=self._bucket, Key=name, Body=content, IfNoneMatch="*", ChecksumAlgorithm="SHA256"
            )
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412:
                raise ArchiveFailed("S3 did not take the copy") from None
        except BotoCoreError:
            raise ArchiveFailed("S3 cannot be reached") from None


def open_archive(variables: Mapping[str, str]) -> Archive:
    """The archive of this deployment: `THEROUTER_ARCHIVE` is a bucket, or on one machine a folder.

    Raises:
        SettingError: none is set.
    """
    place = variables.get(Variable.ARCHIVE, "")
    if not place:
        raise SettingError(f"{Variable.ARCHIVE} is not set: name the bucket that copies are locked in")
    cloud = Deployment.parse(variables).cloud
    if cloud == "local":
        return FolderArchive(Path(place))
    if cloud == "aws":
        return S3Archive(place)
    from handlers.clouds.oss import OssArchive  # noqa: PLC0415 - as above

    return OssArchive(place, variables)
