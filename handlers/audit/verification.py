"""An exported audit trail, checked offline: it needs the file, and to be safe against a forged file, the public key.

The file is JSON lines, in this order:

    {"kind":"trail","version":2,"origin":...,"tenant_id":...,"verifier":...}    the key of the last checkpoint
    {"kind":"succession","before":...,"after":...,"note":"..."}            one for each change of key: see lineage.py
    {"kind":"beginning","size":7,"chain":...,"frontier":...,"note":...}    where rows have ended their time: a signed checkpoint
                                                                           stands for those up to its size
    {"kind":"row","seq":8,"record":"...","leaf":"...","chain":"..."}       a row of the tenant: its text
    {"kind":"row","seq":9,"leaf":"...","chain":"..."}                      a row of somebody else: its leaf alone
    {"kind":"checkpoint","size":9,"note":"...","verifier":"..."}

What is proven
    Each text hashes to its leaf, each leaf continues the chain, and the tree over the leaves has the signed roots; so has the
    tree of the rows before the beginning. A change of any bit names the row where it shows.
What is not
    Rows after the last checkpoint are proven by the chain alone: who can rewrite the end of the database can rewrite those.
    Without `verifier` from elsewhere, the file vouches for itself: compare the key that is printed with the published one.
    What rows before the beginning said, and that they were old enough to go: an export from before shows the first; each removal
    is itself a row (audit.begin), of the deployment and not of the tenant.
    Requests for inference are usage rows and not audited; neither are health checks, sign-ins that failed, and reads within
    a tenant. What people do to the database behind the API is in the cloud's own trail.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from handlers.audit.lineage import Succession, line_of_keys
from handlers.audit.merkle import HASH_BYTES, Frontier, hash_leaf
from handlers.audit.notes import NoteBroken, open_note, read_checkpoint

CHAIN_START = bytes(HASH_BYTES)
VERSION = 2
"""Of the form; version 1 had neither successions nor a beginning, and is read like this one."""


class Trail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="trail", tag_field="kind"):
    """The first line."""

    version: int
    origin: str
    tenant_id: str
    verifier: str
    """Empty when there is no checkpoint yet."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="row", tag_field="kind"):
    """One row; hashes are hexadecimal."""

    seq: int
    leaf: str
    chain: str
    record: str | None = None


class Beginning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="beginning", tag_field="kind"):
    """What stands for the rows that are gone: a checkpoint, its tree and the chain at its last row; hashes are hexadecimal."""

    size: int
    chain: str
    frontier: str
    note: str
    verifier: str


class SignedCheckpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="checkpoint", tag_field="kind"):
    """One checkpoint."""

    size: int
    note: str
    verifier: str


Line = Trail | Succession | Beginning | Row | SignedCheckpoint


class TrailBroken(Exception):
    """The trail is not what it was; the message names the row or the checkpoint."""


class Verdict(msgspec.Struct, frozen=True):
    """What was proven."""

    rows: int
    own_rows: int
    checkpoints: int
    sealed_rows: int
    """Rows up to the last checkpoint."""
    verifier: str
    gone_rows: int = 0
    """Rows before the beginning, for which a signed checkpoint stands."""
    keys: tuple[str, ...] = ()
    """The line of keys, the oldest first; those after `verifier` have signed no checkpoint yet."""


class _Fields(msgspec.Struct, frozen=True):
    """What a record says about itself."""

    seq: int
    tenant_id: str | None


def next_chain(chain: bytes, leaf: bytes) -> bytes:
    """The chain after one more leaf."""
    return sha256(b"\x01" + chain + leaf).digest()


def verify_export(lines: Iterable[bytes], verifier: str = "") -> Verdict:
    """Check a whole export; `verifier` is the public key that must have signed the checkpoints.

    Raises:
        TrailBroken: something does not fit; the message says where.
    """
    trail: Trail | None = None
    check: _Check | None = None
    for number, raw in enumerate(lines, 1):
        at = f"row {check.tree.size + 1}" if check else "the first line"
        line = _read(raw, f"line {number} ({at})")
        if isinstance(line, Trail) != (trail is None):
            raise TrailBroken(f"line {number}: the file begins with its one line of kind trail")
        if isinstance(line, Trail):
            if line.version not in {1, VERSION}:
                raise TrailBroken("line 1: the form of this file is another version's")
            trail = line
            check = _Check(trail, verifier)
        elif check is not None:
            check.take(line)
    if check is None:
        raise TrailBroken("the file is empty")
    return check.verdict()


def _read(raw: bytes, where: str) -> Line:
    try:
        line: Line = msgspec.json.decode(raw, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TrailBroken(f"{where} is not readable: the file was changed or cut") from None
    if msgspec.json.encode(line) != raw.removesuffix(b"\n"):
        raise TrailBroken(f"{where} is not spelled as it was exported: the file was changed")
    return line


class _Check:
    """The state between two lines."""

    def __init__(self, trail: Trail, verifier: str) -> None:
        self._trail = trail
        self._pinned = verifier
        self.tree = Frontier()
        self._chain = CHAIN_START
        self._successions: list[Succession] = []
        self._keys: tuple[str, ...] = ()
        self._signed_by = 0
        """The place in the line of the key of the last checkpoint."""
        self._gone = self._own = self._checkpoints = self._sealed = 0

    def take(self, line: Line) -> None:
        if isinstance(line, Succession):
            self._take_succession(line)
            return
        self._know_keys()
        if isinstance(line, Beginning):
            self._take_beginning(line)
        elif isinstance(line, Row):
            self._take_row(line)
        elif isinstance(line, SignedCheckpoint):
            self._take_checkpoint(line)

    def _take_succession(self, succession: Succession) -> None:
        if self._keys:
            raise TrailBroken(f"row {self.tree.size + 1}: changes of key stand before all rows")
        self._successions.append(succession)

    def _know_keys(self) -> None:
        """At the first line after the successions, or where the file ends with them."""
        if self._keys:
            return
        try:
            self._keys = line_of_keys(self._trail.origin, self._successions, self._trail.verifier)
        except NoteBroken as broken:
            raise TrailBroken(f"the changes of key before row {self.tree.size + 1}: {broken}") from None
        if self._pinned and self._trail.verifier and self._pinned not in self._keys:
            raise TrailBroken("line 1: the file names another key than the one given, and none that it is in line with")

    def _take_beginning(self, beginning: Beginning) -> None:
        where = f"the beginning before row {beginning.size + 1}"
        if self.tree.size:
            raise TrailBroken(f"row {self.tree.size + 1}: the trail begins once, before all rows")
        try:
            hashes = bytes.fromhex(beginning.frontier)
            self.tree = Frontier(beginning.size, hashes)
        except ValueError:
            hashes = b""
        if not hashes or hashes.hex() != beginning.frontier:
            raise TrailBroken(f"{where}: its tree is damaged")
        self._check_note(where, beginning.size, beginning.note, beginning.verifier)
        self._chain = _unhex(beginning.chain, where)
        self._gone = self._sealed = beginning.size

    def _take_row(self, row: Row) -> None:
        where = f"row {self.tree.size + 1}"
        if row.seq != self.tree.size + 1:
            raise TrailBroken(f"{where} is missing: the file goes on with row {row.seq}")
        leaf = _unhex(row.leaf, where)
        if row.record is not None:
            if hash_leaf(row.record.encode()) != leaf:
                raise TrailBroken(f"{where}: its text is not what was recorded")
            self._check_fields(row.record, row.seq, where)
            self._own += 1
        self._chain = next_chain(self._chain, leaf)
        if _unhex(row.chain, where) != self._chain:
            raise TrailBroken(f"{where}: it does not continue the chain")
        self.tree.push(leaf)

    def _check_fields(self, record: str, seq: int, where: str) -> None:
        try:
            fields = msgspec.json.decode(record, type=_Fields)
        except msgspec.MsgspecError:
            raise TrailBroken(f"{where}: its text is no record") from None
        if fields.seq != seq or fields.tenant_id != self._trail.tenant_id:
            raise TrailBroken(f"{where}: its text belongs to another place")

    def _take_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        self._check_note(f"checkpoint of {checkpoint.size} rows", checkpoint.size, checkpoint.note, checkpoint.verifier)
        self._checkpoints += 1
        self._sealed = checkpoint.size

    def _check_note(self, where: str, size: int, note: str, verifier: str) -> None:
        """The note is a checkpoint of the tree as it is now, signed by a key of the line that has not handed over yet."""
        if verifier not in self._keys[self._signed_by :]:
            raise TrailBroken(
                f"{where}: it is signed by another key than those of the first line and the changes of key"
            )
        self._signed_by = self._keys.index(verifier)
        try:
            said = read_checkpoint(open_note(note, verifier))
        except NoteBroken as broken:
            raise TrailBroken(f"{where}: {broken}") from None
        if said.origin != self._trail.origin or said.size != size or said.size != self.tree.size:
            raise TrailBroken(f"{where}: it stands at row {self.tree.size} of {self._trail.origin}")
        if said.root != self.tree.root():
            raise TrailBroken(f"{where}: the rows before it are not those that were signed")

    def verdict(self) -> Verdict:
        self._know_keys()
        if self._trail.verifier and not self._sealed:
            raise TrailBroken("the file names a key and holds no checkpoint: it was cut")
        if self._gone == self.tree.size > 0:
            raise TrailBroken(f"row {self._gone + 1} is missing: the file ends where the trail begins")
        if self._sealed and self._keys[self._signed_by] != self._trail.verifier:
            raise TrailBroken("line 1: it names another key than that of the last checkpoint")
        return Verdict(
            rows=self.tree.size,
            own_rows=self._own,
            checkpoints=self._checkpoints,
            sealed_rows=self._sealed,
            verifier=self._trail.verifier or self._pinned,
            gone_rows=self._gone,
            keys=self._keys if self._trail.verifier else (),
        )


def _unhex(text: str, where: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != HASH_BYTES or raw.hex() != text:
        raise TrailBroken(f"{where}: a hash is 64 hexadecimal digits")
    return raw
