"""An exported audit trail, checked offline: it needs the file, and to be safe against a forged file, the public key.

The file is JSON lines, in this order:

    {"kind":"trail","version":1,"origin":...,"tenant_id":...,"verifier":...}
    {"kind":"row","seq":1,"record":"...","leaf":"...","chain":"..."}       a row of the tenant: its text
    {"kind":"row","seq":2,"leaf":"...","chain":"..."}                      a row of somebody else: its leaf alone
    {"kind":"checkpoint","size":2,"note":"...","verifier":"..."}

What is proven
    Each text hashes to its leaf, each leaf continues the chain, and the tree over the leaves has the signed roots. A change of
    any bit names the row where it shows.
What is not
    Rows after the last checkpoint are proven by the chain alone: who can rewrite the end of the database can rewrite those.
    Without `verifier` from elsewhere, the file vouches for itself: compare the key that is printed with the published one.
    Requests for inference are usage rows and not audited; neither are health checks, sign-ins that failed, and reads within
    a tenant. What people do to the database behind the API is in the cloud's own trail.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from handlers.audit.merkle import HASH_BYTES, Frontier, hash_leaf
from handlers.audit.notes import NoteBroken, open_note, read_checkpoint

CHAIN_START = bytes(HASH_BYTES)


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


class SignedCheckpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="checkpoint", tag_field="kind"):
    """One checkpoint."""

    size: int
    note: str
    verifier: str


Line = Trail | Row | SignedCheckpoint


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
            if line.version != 1:
                raise TrailBroken("line 1: the form of this file is another version's")
            if verifier and line.verifier not in {"", verifier}:
                raise TrailBroken("line 1: the file names another key than the one given")
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
        self._own = self._checkpoints = self._sealed = 0

    def take(self, line: Row | SignedCheckpoint | Trail) -> None:
        if isinstance(line, Row):
            self._take_row(line)
        elif isinstance(line, SignedCheckpoint):
            self._take_checkpoint(line)

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
        where = f"checkpoint of {checkpoint.size} rows"
        try:
            said = read_checkpoint(open_note(checkpoint.note, self._pinned or checkpoint.verifier))
        except NoteBroken as broken:
            raise TrailBroken(f"{where}: {broken}") from None
        if checkpoint.verifier != self._trail.verifier:
            raise TrailBroken(f"{where}: it is signed by another key than the first line names")
        if said.origin != self._trail.origin or said.size != checkpoint.size or said.size != self.tree.size:
            raise TrailBroken(f"{where}: it stands at row {self.tree.size} of {self._trail.origin}")
        if said.root != self.tree.root():
            raise TrailBroken(f"{where}: the rows before it are not those that were signed")
        self._checkpoints += 1
        self._sealed = checkpoint.size

    def verdict(self) -> Verdict:
        if self._trail.verifier and not self._checkpoints:
            raise TrailBroken("the file names a key and holds no checkpoint: it was cut")
        return Verdict(
            rows=self.tree.size,
            own_rows=self._own,
            checkpoints=self._checkpoints,
            sealed_rows=self._sealed,
            verifier=self._pinned or self._trail.verifier,
        )


def _unhex(text: str, where: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != HASH_BYTES or raw.hex() != text:
        raise TrailBroken(f"{where}: a hash is 64 hexadecimal digits")
    return raw
