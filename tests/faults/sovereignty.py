"""Both regions side by side on one machine: `python -m tests.faults.sovereignty` (`make sovereignty`).

Each region has a network namespace with loopback and a route to nothing else. In it run, at the same time as the other region's,
the tests of that region: all of tests/handlers, and tests/acceptance, which start the region's whole system again and again. All must
pass; no packet may leave; and nothing that only one region was told may be in anything that the other one wrote.

    packets    counted at the only way out, IPv4 and IPv6, and told with where they were going; a packet of each kind, sent on purpose
               at the end, proves that the count counts
    canaries   planted in each region's provider credentials, key names and environment; searched for, in plain and
               encoded, in every file that the other region left: databases, logs, spools, secrets, reports. Each is found in its own
               region's files, or the search proves nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from tests.claims.canaries import make_canary, needles
from tests.namespaces import Namespace, NoNamespace

PROJECT = Path(__file__).resolve().parents[2]
REGIONS = ("global", "china")
ALL_TESTS = ("tests/handlers", "tests/acceptance")
SMOKE_TESTS = (
    "tests/handlers/test_settings.py",
    "tests/handlers/clouds/test_secrets.py",
    "tests/acceptance/test_layers.py",
)
SEND = """
import socket
for family, address in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8:1::1")):
    socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (address, 53))
"""


class Run(NamedTuple):
    """What came of one region."""

    region: str
    passed: int
    failed: int
    skipped: int
    packets: int
    strays: tuple[str, ...]
    """Where they were going."""
    counted: int
    """Of two packets that were sent on purpose, one of each kind."""
    files: int
    bytes: int
    own: int
    """Places in which its own canary was found."""
    foreign: tuple[str, ...]
    """Places in which the other region's canary was found."""
    failures: tuple[str, ...]
    """Which tests failed, and with what."""

    @property
    def sound(self) -> bool:
        """Whether everything held."""
        return bool(
            self.passed and not self.failed and not self.packets and self.counted == 2 and self.own and not self.foreign
        )


class Region:
    """One region while its tests run."""

    def __init__(self, name: str, root: Path, tests: Sequence[str], workers: str) -> None:
        self.name, self.folder, self.canary = name, root / name[0], make_canary()
        self.folder.mkdir(mode=0o711)
        self.namespace = Namespace()
        report = self.folder / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-n", workers]
        command += ["--dist", "loadfile", "--junitxml", str(report), "--basetemp", str(self.folder / "t"), *tests]
        with (self.folder / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(
                self.namespace.command(command),
                cwd=PROJECT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={
                    **os.environ,
                    "THEROUTER_TEST_REGION": name,
                    "THEROUTER_TEST_CANARY": self.canary,
                    "THEROUTER_TEST_ROOT": str(self.folder),
                    "TMPDIR": str(self.folder),
                },
            )

    def results(self) -> tuple[int, int, int]:
        """(passed, failed, skipped); a run without a report has failed."""
        try:
            suite = ET.parse(self.folder / "report.xml").getroot()[0]
        except (OSError, ET.ParseError, IndexError):
            return 0, 1, 0
        total, failed, errors, skipped = (int(suite.get(k, "0")) for k in ("tests", "failures", "errors", "skipped"))
        failed += errors or (self.process.returncode != 0 and failed == 0)
        return total - failed - skipped, failed, skipped

    def failures(self) -> list[str]:
        """The lines that pytest ends with, one for each test that failed."""
        # What a failed test logged is above the summary, and may look like one of its lines.
        summary = (self.folder / "output.txt").read_text(errors="replace").rpartition(" short test summary info ")[2]
        return [line for line in summary.splitlines() if line.startswith(("FAILED ", "ERROR "))]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.namespace.close()


class Searched(NamedTuple):
    """What was in a folder."""

    files: int
    bytes: int
    found: dict[str, list[str]]
    """By canary: the files that hold it in any of its forms."""


def search(folder: Path, *canaries: str) -> Searched:
    """Look into every file. New databases are alike but for little: a content that was searched before is not searched again."""
    wanted = {canary: tuple(needle for _, needle in needles(canary)) for canary in canaries}
    held: dict[bytes, list[str]] = {}
    files = size = 0
    found: dict[str, list[str]] = {canary: [] for canary in canaries}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        files, size = files + 1, size + len(content)
        plain = content.replace(b"\x00", b"")
        digest = hashlib.blake2b(plain).digest()
        if digest not in held:
            held[digest] = [canary for canary, forms in wanted.items() if any(form in plain for form in forms)]
        for canary in held[digest]:
            found[canary].append(str(path.relative_to(folder)))
    return Searched(files, size, found)


def side_by_side(tests: Sequence[str], root: Path, workers: str) -> list[Run]:
    """Run both regions at once; raises NoNamespace where this machine makes none."""
    regions: list[Region] = []
    try:
        regions += [Region(name, root, tests, workers) for name in REGIONS]
        for region in regions:
            region.process.wait()
        packets = {region.name: region.namespace.packets_away() for region in regions}
        strays = {region.name: tuple(region.namespace.destinations()) for region in regions}
        for region in regions:
            region.namespace.run(sys.executable, "-c", SEND)
        runs = []
        for region, other in (regions, regions[::-1]):
            files, size, found = search(region.folder, region.canary, other.canary)
            own, foreign = len(found[region.canary]), tuple(found[other.canary])
            counted = region.namespace.packets_away() - packets[region.name]
            sent = packets[region.name], strays[region.name], counted
            runs.append(Run(region.name, *region.results(), *sent, files, size, own, foreign, tuple(region.failures())))
        return runs
    finally:
        for region in regions:
            region.close()


def main(argv: Sequence[str] | None = None) -> int:
    """0: everything held; 1: something did not; 2: this machine makes no namespaces."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sovereignty")
    parser.add_argument("--smoke", action="store_true", help="a few tests of each region, for every run of the tests")
    parser.add_argument("--workers", default="1", help="test processes for each region (1)")
    parser.add_argument("tests", nargs="*", help="other tests than all of the region's")
    options = parser.parse_args(argv)
    tests = options.tests or (SMOKE_TESTS if options.smoke else ALL_TESTS)
    # Short, for sockets; passable, for the database's own user.
    root = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
    root.chmod(0o711)
    started = time.monotonic()
    try:
        runs = side_by_side(tests, root, options.workers)
    except NoNamespace as reason:
        sys.stderr.write(f"{reason}\n")
        shutil.rmtree(root)
        return 2
    for run in runs:
        print(
            f"{run.region:<7} {run.passed} passed, {run.failed} failed, {run.skipped} skipped; packets away: {run.packets} "
            f"(of 2 sent on purpose, {run.counted} counted); {run.files} files, {run.bytes / 1e6:.0f} MB; own canary in "
            f"{run.own} files, the other region's in {len(run.foreign)}"
        )
        for failure in run.failures:
            print(f"        {failure}")
        for stray in run.strays:
            print(f"        a packet went away: {stray}")
        for place in run.foreign:
            print(f"        the other region's canary is in {place}")
    sound = all(run.sound for run in runs)
    print(f"{time.monotonic() - started:.0f} s; " + ("everything held" if sound else f"NOT SOUND; see {root}"))
    if sound:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
