"""Copies are written once, in every cloud, and a bucket under Object Lock gives none of them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from handlers.clouds.archive import ArchiveFailed, FolderArchive, S3Archive, open_archive
from handlers.settings import SettingError, Variable

NAME = "checkpoints/000000000012.note"
BUCKET = "therouter-production-audit-123456789012"


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-2")
        client.create_bucket(
            Bucket=BUCKET,
            ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration={"LocationConstraint": "us-east-2"},
        )
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 730}}
        client.put_object_lock_configuration(
            Bucket=BUCKET,
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},  # type: ignore[typeddict-item]
        )
        yield


def test_a_folder_keeps_what_came_first_and_nobody_may_write_it(tmp_path: Path) -> None:
    archive = open_archive({Variable.ARCHIVE: str(tmp_path / "archive")})
    archive.keep(NAME, b"first")
    archive.keep(NAME, b"second")
    path = tmp_path / "archive" / NAME
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"first", 0o400)
    with pytest.raises(ArchiveFailed):
        FolderArchive(path).keep("below-a-file", b"")


@pytest.mark.claim("C60")
@pytest.mark.usefixtures("locked")
def test_c60_a_copy_in_s3_is_written_once_and_is_locked() -> None:
    archive = open_archive({Variable.ARCHIVE: BUCKET, Variable.CLOUD: "aws"})
    assert isinstance(archive, S3Archive)
    archive.keep(NAME, b"first")
    archive.keep(NAME, b"second")
    client = boto3.client("s3", region_name="us-east-2")
    kept = client.get_object(Bucket=BUCKET, Key=NAME)
    assert kept["Body"].read() == b"first"
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=BUCKET, Key=NAME, VersionId=kept["VersionId"])
    with pytest.raises(ArchiveFailed, match="S3 did not take"):
        S3Archive("another-bucket").keep(NAME, b"")


def test_without_a_place_for_copies_nothing_starts() -> None:
    with pytest.raises(SettingError, match="THEROUTER_ARCHIVE"):
        open_archive({Variable.CLOUD: "local"})
