"""New versions of the secrets of one machine; see keeping.py.

Every file is written whole or not at all, and a version is promoted by renaming its file, so that a kill leaves what was or what
shall be, and the value in use is never missing. Beside the values, `.<subject>.ids` says which id belongs to which value, by a
digest of it, so that an id follows its value through all stages by itself.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from handlers.clouds.keeping import Version, Versions, check_id
from handlers.clouds.local import file_of, read_private
from handlers.clouds.secrets import SecretError, SecretMissing, Stage

IDS_MAX = 8


class LocalKeeper:
    """A `SecretKeeper` over a folder of `LocalSecretStore`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def versions(self, name: str) -> Versions:
        """As SecretKeeper."""
        found, ids = {}, self._ids(name)
        for stage in Stage:
            path = file_of(self._folder, name, stage)
            try:
                content, moment = read_private(path, name), path.stat().st_mtime
            except SecretMissing:
                continue
            found[stage] = Version(ids.get(_digest(content), ""), datetime.fromtimestamp(moment, UTC))
        return found

    def put_pending(self, name: str, value: bytes, version: str) -> None:
        """As SecretKeeper."""
        ids = {**self._ids(name), _digest(value): check_id(version)}
        write_private(self._ids_file(name), msgspec.json.encode(dict(list(ids.items())[-IDS_MAX:])))
        write_private(file_of(self._folder, name, Stage.PENDING), value)

    def promote(self, name: str, version: str) -> None:
        """As SecretKeeper."""
        pending = self.versions(name).get(Stage.PENDING)
        if pending is None:
            current = self.versions(name).get(Stage.CURRENT)
            if current is None or current.id != version:
                raise SecretError(f"there is no such version of {name} to come")
            return
        if pending.id != version:
            raise SecretError(f"another version of {name} is to come")
        current_file = file_of(self._folder, name, Stage.CURRENT)
        if current_file.exists():
            write_private(file_of(self._folder, name, Stage.PREVIOUS), read_private(current_file, name))
        file_of(self._folder, name, Stage.PENDING).replace(current_file)
        current_file.touch()

    def retire(self, name: str) -> None:
        """As SecretKeeper. The file is gone, and with it the value."""
        file_of(self._folder, name, Stage.PREVIOUS).unlink(missing_ok=True)

    def _ids_file(self, name: str) -> Path:
        path = file_of(self._folder, name, Stage.CURRENT)
        return path.with_name(f".{path.name}.ids")

    def _ids(self, name: str) -> dict[str, str]:
        """Digest of a value -> its id, oldest first."""
        try:
            return msgspec.json.decode(read_private(self._ids_file(name), name), type=dict[str, str])
        except (SecretMissing, msgspec.MsgspecError):
            return {}


def write_private(path: Path, content: bytes) -> None:
    """Put a 0600 file in the place of what was there, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()[:32]
