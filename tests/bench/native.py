"""The two C programs of the bench: compiled into a folder of their own, started, and stopped by their own process ids."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

SOURCES = Path(__file__).parent
COMPILE_TIMEOUT_S, STOP_TIMEOUT_S = 60.0, 5.0


class Unavailable(RuntimeError):
    """Something that the bench needs is not on this machine; the message says what to install."""


class Load(msgspec.Struct, frozen=True):
    """What the driver saw. Latencies in microseconds."""

    requests: int
    """Answered with 200."""
    failed: int
    events: int
    p50_us: float
    p99_us: float
    first_event_p50_us: float


def compile_programs(folder: Path) -> None:
    """Put `driver` and `upstream` into the folder, or raise Unavailable."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unavailable("make bench needs a C compiler for its load driver: apt-get install gcc libc6-dev")
    for name in ("driver", "upstream"):
        command = [compiler, "-O2", "-o", str(folder / name), str(SOURCES / f"{name}.c")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
        if done.returncode:
            raise Unavailable(f"the C compiler refused {name}.c:\n{done.stderr}")


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """The scripted provider; yields its port. It ends when its standard input does, so it never outlives us."""
    with subprocess.Popen(
        [folder / "upstream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


class Driver:
    """Runs bursts of load against ports of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, port: int, key: str, body: bytes, *, connections: int, seconds: float, rate: float = 0) -> Load:
        """One burst; raises RuntimeError when the target answers nothing or refuses."""
        with self.start(port, key, body, connections=connections, seconds=seconds, rate=rate) as process:
            output, complaints = process.communicate(timeout=seconds + 30)
        if process.returncode:
            raise RuntimeError(f"the load driver gave up: {complaints.strip()}")
        load = msgspec.json.decode(output, type=Load)
        if load.failed or not (load.requests or load.events):
            raise RuntimeError(f"{load.failed} requests failed ({complaints.strip()}): no figure comes from such a run")
        return load

    def start(
        self, port: int, key: str, body: bytes, *, connections: int, seconds: float, rate: float = 0
    ) -> subprocess.Popen[str]:
        """Begin a burst and let it run."""
        path = self._folder / "body.json"
        path.write_bytes(body)
        words = [str(self._folder / "driver"), str(port), key, str(path), str(connections), str(seconds), str(rate)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
