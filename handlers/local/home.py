"""Where `therouter up` keeps its state: one folder per region, private to its owner.

.therouter/global/postgres    the database            .therouter/global/secrets   0600 files, never overwritten
.therouter/global/spool       unsettled usage         .therouter/global/run       sockets, ports, the lock
.therouter/global/logs        one file per process
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

DEFAULT = Path(__file__).resolve().parents[2] / ".therouter"
SOCKET_PATH_MAX = 90
"""The kernel's limit is 107 bytes; a socket's name comes behind this."""


class HomeBusy(RuntimeError):
    """Another `therouter up` uses this folder."""


@dataclass(frozen=True)
class Home:
    """The state of one region on this machine."""

    root: Path

    @classmethod
    def of(cls, region: str) -> Home:
        """The folder named by THEROUTER_HOME, or `.therouter` beside the source."""
        base = Path(os.environ.get("THEROUTER_HOME") or DEFAULT)
        return cls(base.absolute() / region)

    def prepare(self) -> None:
        """Make the folders. The way to the database stays passable for its own user, everything else is 0700."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.parent.chmod(0o711)
        self.root.chmod(0o711)
        for folder in (self.secrets, self.spool, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)

    def lock(self) -> int:
        """Take the folder for this process; the descriptor holds it. Raises HomeBusy."""
        descriptor = os.open(self.root / "up.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise HomeBusy(
                f"{self.root} is in use by another `therouter up`; stop it, or set THEROUTER_HOME to another folder"
            ) from None
        return descriptor

    @property
    def postgres(self) -> Path:
        """Data and sockets of the database."""
        return self.root / "postgres"

    @property
    def secrets(self) -> Path:
        """One 0600 file per secret."""
        return self.root / "secrets"

    @property
    def spool(self) -> Path:
        """Usage lines that are not settled."""
        return self.root / "spool"

    @property
    def diary(self) -> Path:
        """What operations did, outside the database: a restore needs it."""
        return self.root / "diary.jsonl"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    @property
    def running(self) -> Path:
        """Written while `therouter up` runs."""
        return self.root / "running.json"

    @property
    def run(self) -> Path:
        """Sockets of this run; in a short temporary folder when the path is too long for the kernel."""
        folder = self.root / "run"
        if len(str(folder)) <= SOCKET_PATH_MAX:
            return folder
        return Path("/tmp") / f"therouter-{os.getuid()}-{crc32(str(folder).encode()):08x}"  # noqa: S108 - 0700, ours
