"""Starting, watching and stopping processes. Every child has its own log file, dies with its parent, and is stopped by id."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

START_PATIENCE_S = 60.0
"""For a busy machine: whoever ends while starting is noticed at once."""
STOP_PATIENCE_S = 15.0
_POLL_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONDONTWRITEBYTECODE")


class ProcessFailed(RuntimeError):
    """A process ended or did not become ready; the message names its log."""


def plain_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What every process needs and nothing else, plus what is its own."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    source = str(Path(__file__).resolve().parents[2])
    return {**kept, "PYTHONPATH": source, "PYTHONUNBUFFERED": "1", **extra}


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process of ours."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        if self.process is None:
            raise ProcessFailed(f"{self.name} is not running")
        return self.process.pid

    @property
    def running(self) -> bool:
        """Started, and not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the supervisor alone."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one prctl, in a parent that runs no threads here
            )
        self.started_at = time.monotonic()

    def await_ready(self, is_ready: Callable[[], bool]) -> None:
        """Wait until it serves; raises ProcessFailed with the end of its log if it ends or takes too long."""
        deadline = time.monotonic() + START_PATIENCE_S
        while not is_ready():
            if not self.running:
                raise ProcessFailed(f"{self.name} ended while starting. {self._last_words()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"{self.name} did not become ready in {START_PATIENCE_S:.0f} s. {self._last_words()}"
                )
            time.sleep(_POLL_S)

    def stop(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """SIGTERM, and SIGKILL when the patience is over."""
        if self.process is None:
            return
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """SIGKILL, as a fault would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _last_words(self) -> str:
        text = self.log.read_text(errors="replace")[-600:].strip() if self.log.exists() else ""
        return f"Its log {self.log} ends with:\n{text}" if text else f"Its log is {self.log}."
