"""Secrets of one machine: one 0600 file each, below a 0700 folder that says whose they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from handlers.clouds.secrets import SECRET_BYTES_MAX, Origin, Secret, SecretError, SecretMissing, Stage, check_name

ORIGIN_FILE = "origin.json"


class LocalSecretStore:
    """Reads `<folder>/<kind>/<subject>`, and beside it `.<subject>.<stage>` for the version before and the one to come.

    Raises SecretError when the folder belongs to another region or environment: it is refused at start, whole.
    """

    def __init__(self, folder: Path, *, region: str, environment: str) -> None:
        self._folder = folder
        try:
            origin = msgspec.json.decode((folder / ORIGIN_FILE).read_bytes(), type=Origin)
        except (OSError, msgspec.MsgspecError):
            raise SecretError(f"{folder} is no folder of secrets: it has no {ORIGIN_FILE}") from None
        if origin != Origin(region, environment):
            raise SecretError(
                f"{folder} holds the secrets of {origin.region}/{origin.environment}; "
                f"this process runs in {region}/{environment}"
            )

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        """The secret of a short name; SecretError when the file is missing, empty or readable by others."""
        return Secret(read_private(file_of(self._folder, name, stage), name))


def file_of(folder: Path, name: str, stage: Stage) -> Path:
    """Where a version of a secret is kept."""
    path = folder / check_name(name)
    return path if stage is Stage.CURRENT else path.with_name(f".{path.name}.{stage}")


def read_private(path: Path, name: str) -> bytes:
    """The content of a file that is ours alone, without a final line break."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SecretMissing(f"there is no secret {name}: put it into {path} with mode 0600") from None
    except OSError:
        raise SecretError(f"the secret {name} cannot be read: put it into {path} with mode 0600") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
            raise SecretError(f"the secret {name} is no file or may be read by others: chmod 600 {path}, and own it")
        value = os.read(descriptor, SECRET_BYTES_MAX + 1).removesuffix(b"\n")
    finally:
        os.close(descriptor)
    if not 0 < len(value) <= SECRET_BYTES_MAX:
        raise SecretError(f"the secret {name} is empty or larger than {SECRET_BYTES_MAX} bytes: see {path}")
    return value
