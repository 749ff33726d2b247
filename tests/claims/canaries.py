"""Canaries: strings that must never leave memory, and the search for them in everything the system wrote.

    canaries = Canaries()
    body = {"messages": [{"role": "user", "content": canaries.plant("body: user text")}]}
    ... run the system ...
    hits = Scanner(canaries).scan_all(places)           # must be empty
    missed = Scanner(canaries).missed_controls(places)  # must be empty, or the search proves nothing

A canary is unique per position, so that a hit names where the leak began. It is searched for in every encoding that a
program might store it in, and by its first and last twelve characters alone, because a masked secret is a leaked secret.
A positive control is a canary that the test leaks on purpose, one per place: a search that misses it is no evidence.
"""

from __future__ import annotations

import base64
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
PREFIX = "CNRY"
RANDOM_CHARACTERS = 24
END_CHARACTERS = 12

KEY_SHAPES: dict[str, Callable[[str], str]] = {
    "": lambda canary: canary,
    "openai": lambda canary: f"sk-proj-{canary}",
    "anthropic": lambda canary: f"sk-ant-api03-{canary}",
    "aws": lambda canary: f"AKIA{canary[:16]}",
    "google": lambda canary: f"AIza{canary}",
    "stripe": lambda canary: f"rk_live_{canary}",
}


@dataclass(frozen=True)
class Hit:
    """A canary that was found where it must not be. Its text is deliberately absent."""

    position: str
    """Where the canary was planted."""
    place: str
    """Where it was found."""
    encoding: str
    offset: int


@dataclass
class Canaries:
    """The canaries of one run, by the position in which each was planted."""

    planted: dict[str, str] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    """Leaked on purpose: by place."""

    def plant(self, position: str, shape: str = "") -> str:
        """A canary for a position, dressed as a vendor's key when asked; the same one when asked again."""
        canary = self.planted.setdefault(position, make_canary())
        return KEY_SHAPES[shape](canary)

    def leak(self, place: str) -> str:
        """A canary that the test will leak into a place, to prove that the search looks there."""
        return self.controls.setdefault(place, make_canary())


def make_canary() -> str:
    """A string that occurs nowhere else in the world."""
    return PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))


Windows = dict[int, dict[bytes, tuple[str, str]]]
"""By length: byte strings that betray a canary, with its position and the encoding."""


def windows(canaries: dict[str, str]) -> Windows:
    """What to look for: of each canary in each encoding, the first and the last characters."""
    found: Windows = {}
    for position, canary in canaries.items():
        for encoding, needle in needles(canary):
            found.setdefault(len(needle), {})[needle] = (position, encoding)
    return found


def needles(canary: str) -> Iterator[tuple[str, bytes]]:
    """(encoding, bytes) for both ends of a canary. Zero bytes are left out here and in what is searched, so that both UTF-16 forms look like the plain one."""
    for end in (canary[:END_CHARACTERS], canary[-END_CHARACTERS:]):
        raw = end.encode()
        yield "plain", raw
        yield "lower case", raw.lower()
        yield "reversed", raw[::-1]
        yield "hexadecimal", raw.hex().encode()
        yield "hexadecimal, upper case", raw.hex().upper().encode()
        yield "percent", "".join(f"%{byte:02X}" for byte in raw).encode()
        yield "JSON escapes", "".join(f"\\u{byte:04x}" for byte in raw).encode()
        for shift in range(3):
            yield f"base64 +{shift}", _aligned(base64.b64encode, raw, shift)
            yield f"base64url +{shift}", _aligned(base64.urlsafe_b64encode, raw, shift)


def _aligned(encode: Callable[[bytes], bytes], raw: bytes, shift: int) -> bytes:
    """The characters that base64 makes of these bytes wherever they stand `shift` bytes past a multiple of three."""
    whole = (shift * 8 + 5) // 6, (shift + len(raw)) * 8 // 6
    return encode(b"\x00" * shift + raw)[slice(*whole)]


_RUNS = re.compile(rf"[A-Za-z0-9+/_%\\=-]{{{END_CHARACTERS},}}".encode())
"""Every encoding above is written in these characters, so nothing else needs a look."""


def search(found: Windows, content: bytes) -> Iterator[tuple[str, str, int]]:
    """(position, encoding, offset) of everything that betrays a canary; linear in the content, whatever the number."""
    content = content.replace(b"\x00", b"")
    for run in _RUNS.finditer(content):
        line = run.group()
        for length, needles in found.items():
            for at in range(len(line) - length + 1):
                hit = needles.get(line[at : at + length])
                if hit is not None:
                    yield *hit, run.start() + at


@dataclass(frozen=True)
class Place:
    """Something to search: a name, and its pieces of bytes (a piece per file or response)."""

    name: str
    read: Callable[[], Iterable[tuple[str, bytes]]]


def files(name: str, root: Path) -> Place:
    """Every file under a folder, as it is now: data files, write-ahead log, logs, spool."""

    def read() -> Iterator[tuple[str, bytes]]:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and not path.is_symlink():
                try:
                    yield str(path.relative_to(root.parent)), path.read_bytes()
                except OSError:
                    continue  # a file that went away while the system runs holds nothing any more

    return Place(name, read)


def text(name: str, *contents: bytes) -> Place:
    """Bytes that the test holds already: metrics, response headers, other tenants' answers."""
    return Place(name, lambda: [(f"{name}[{index}]", content) for index, content in enumerate(contents)])


def deleted_files(name: str, process_ids: Iterable[int]) -> Place:
    """Files that processes hold open although they are deleted."""

    def read() -> Iterator[tuple[str, bytes]]:
        for process_id in process_ids:
            for link in Path(f"/proc/{process_id}/fd").glob("*"):
                try:
                    if str(link.readlink()).endswith("(deleted)") and link.is_file():
                        yield f"{process_id}:{link.name}", link.read_bytes()
                except OSError:
                    continue

    return Place(name, read)


def environments(name: str, process_ids: Iterable[int]) -> Place:
    """Command lines and environments of processes."""

    def read() -> Iterator[tuple[str, bytes]]:
        for process_id in process_ids:
            for kind in ("cmdline", "environ"):
                try:
                    yield f"{process_id}/{kind}", Path(f"/proc/{process_id}/{kind}").read_bytes()
                except OSError:
                    continue

    return Place(name, read)


@contextmanager
def waiting_process(environment: Mapping[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs, with these variables and arguments, until the block is left."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *arguments]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # its environment can be read once it runs
        yield process


class Scanner:
    """The search for all canaries in all encodings."""

    def __init__(self, canaries: Canaries) -> None:
        self._planted = windows(canaries.planted)
        self._controls = windows(canaries.controls)

    def scan(self, place: Place) -> list[Hit]:
        """Every canary found in a place, the first time per piece and encoding; controls are not counted."""
        hits: dict[tuple[str, str, str], Hit] = {}
        for piece, content in place.read():
            for position, encoding, offset in search(self._planted, content):
                where = f"{place.name}: {piece}"
                hits.setdefault((position, where, encoding), Hit(position, where, encoding, offset))
        return list(hits.values())

    def scan_all(self, places: Iterable[Place]) -> list[Hit]:
        """Every canary found anywhere."""
        return [hit for place in places for hit in self.scan(place)]

    def missed_controls(self, places: Iterable[Place]) -> list[str]:
        """Names of the places where the deliberate leak was not found, or where none was made."""
        return [place.name for place in places if not self._holds_control(place)]

    def _holds_control(self, place: Place) -> bool:
        return any(name == place.name for _, content in place.read() for name, _, _ in search(self._controls, content))
