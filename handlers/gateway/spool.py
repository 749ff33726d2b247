r"""The spool: usage lines on this machine's disk, from the moment a request ends until PostgreSQL has them.

Rules
    A line is in the file before its client hears "finished". Lines are synced to disk in groups, at most SYNC_GROUP_S after
    they were written: a killed process loses nothing, a machine that loses power loses at most that.
    A segment is deleted only after every line in it was settled. Settling is idempotent, so after a crash every remaining
    segment is simply read again from its start; a torn line is skipped and counted.
    Each process owns one folder under the spool, marked by a lock on a file; folders whose owner died are adopted.

Theory of operation
    A segment is a file of zeros whose blocks are allocated before its first line, and which is mapped into memory: to write a
    line is to copy it there, without a system call; the first line on each page costs a fault instead. The pages belong to the operating system, so they
    outlive the process as written bytes do; `fdatasync` takes them to the disk like those. A full disk is noticed when a
    segment is opened, never in the middle of one.

Format: `<CRC-32 of the JSON, 8 hex digits> <JSON>\n`; what has not been written is NUL.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path

SEGMENT_BYTES_MAX = 4 * 1024 * 1024
SYNC_GROUP_S = 0.1
"""More often would cost a busy process more in hand-overs between threads than all else that it does with a line."""
_LOCK = "owner.lock"


def encode_line(payload: bytes) -> bytes:
    """One spool line."""
    # Joined, not formatted: what formats bytes would be touched for this alone on a request's way out.
    checksum = zlib.crc32(payload).to_bytes(4, "big").hex().encode()
    return b"".join((checksum, b" ", payload, b"\n"))


def decode_line(line: bytes) -> bytes | None:
    """The JSON of one line without its line feed, or None when it is torn or damaged."""
    if len(line) < 10 or line[8:9] != b" ":
        return None
    payload = line[9:]
    try:
        return payload if int(line[:8], 16) == zlib.crc32(payload) else None
    except ValueError:
        return None


class Segment:
    """One file, read from the front while it fills up at the back."""

    def __init__(self, path: Path, written: int) -> None:
        self.path = path
        self.consumed = 0
        """Bytes whose lines are settled."""
        self.written = written
        """Bytes before the first that was not written."""

    def read(self, lines_max: int) -> tuple[list[bytes], int, int]:
        """(payloads, offset behind them, damaged bytes skipped), from the first unsettled line."""
        with self.path.open("rb") as file:
            file.seek(self.consumed)
            data = file.read(min(self.written - self.consumed, lines_max * 1024))
        payloads: list[bytes] = []
        position = damaged = 0
        while len(payloads) < lines_max:
            end = data.find(b"\n", position)
            if end < 0:
                break
            payload = decode_line(data[position:end])
            if payload is None:
                damaged += end + 1 - position
            else:
                payloads.append(payload)
            position = end + 1
        if not position and data and self.consumed + len(data) == self.written:
            position = damaged = len(data)  # a torn tail: no line feed will come
        return payloads, self.consumed + position, damaged


class Spool:
    """The spool of one process."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = root / f"{os.getpid():07d}-{secrets.token_hex(4)}"
        self._folder.mkdir(mode=0o700)
        self._lock = os.open(self._folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._segments: deque[Segment] = deque(self._adopt())
        self.adopted = len(self._segments)
        self._sequence = 0
        self._full: deque[tuple[int, mmap.mmap]] = deque()
        """Segments that take no more; whoever syncs closes them, so that the event loop never waits for a disk."""
        self._current, self._descriptor, self._room = self._open_segment(SEGMENT_BYTES_MAX)

    def append(self, payload: bytes) -> None:
        """Write one line; OSError when the disk refuses it."""
        line = encode_line(payload)
        start = self._current.written
        end = start + len(line)
        if end > len(self._room):
            self._rotate(len(line))
            start, end = 0, len(line)
        self._room[start:end] = line
        self._current.written = end

    def sync(self) -> None:
        """Force what was written onto the disk; called from one thread."""
        while self._full:
            descriptor, room = self._full.popleft()
            try:
                os.fdatasync(descriptor)
            finally:
                room.close()
                os.close(descriptor)
        os.fdatasync(self._descriptor)

    def batch(self, lines_max: int) -> tuple[Segment, list[bytes], int, int] | None:
        """(segment, payloads, offset to commit, damaged bytes) of the oldest unsettled lines, or None."""
        while self._segments:
            segment = self._segments[0]
            if segment.consumed < segment.written:
                return segment, *segment.read(lines_max)
            if segment is self._current:
                return None
            self._drop(segment)
        return None

    def commit(self, segment: Segment, offset: int) -> None:
        """All lines before the offset are settled."""
        segment.consumed = offset
        if segment is self._current and offset == segment.written and offset > SEGMENT_BYTES_MAX // 64:
            self._rotate()

    def unsettled_bytes(self) -> int:
        """How much is written and not settled."""
        return sum(segment.written - segment.consumed for segment in self._segments)

    def close(self) -> None:
        """Sync and let go; a folder with nothing left in it is removed. Nobody may be syncing any more."""
        self.sync()
        self._room.close()
        os.close(self._descriptor)
        if not self.unsettled_bytes():
            for segment in self._segments:
                segment.path.unlink(missing_ok=True)
            (self._folder / _LOCK).unlink(missing_ok=True)
            self._folder.rmdir()
        os.close(self._lock)

    def _rotate(self, bytes_min: int = 0) -> None:
        """Go on in a new segment, which has room for so many bytes; OSError leaves all as it was."""
        current, descriptor, room = self._open_segment(max(SEGMENT_BYTES_MAX, bytes_min))
        self._full.append((self._descriptor, self._room))
        self._current, self._descriptor, self._room = current, descriptor, room

    def _open_segment(self, size: int) -> tuple[Segment, int, mmap.mmap]:
        self._sequence += 1
        path = self._folder / f"{self._sequence:08d}.usage"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            room = mmap.mmap(descriptor, size)
        except OSError:
            os.close(descriptor)
            path.unlink()
            raise
        segment = Segment(path, 0)
        self._segments.append(segment)
        return segment, descriptor, room

    def _drop(self, segment: Segment) -> None:
        self._segments.popleft()
        segment.path.unlink(missing_ok=True)
        if segment.path.parent != self._folder and not any(segment.path.parent.glob("*.usage")):
            (segment.path.parent / _LOCK).unlink(missing_ok=True)
            segment.path.parent.rmdir()

    def _adopt(self) -> Iterator[Segment]:
        """Segments of processes that are gone: their lock can be taken."""
        for folder in sorted(self._root.iterdir()):
            if folder == self._folder or not folder.is_dir():
                continue
            descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                continue
            for path in sorted(folder.glob("*.usage")):
                yield Segment(path, len(path.read_bytes().rstrip(b"\0")))
