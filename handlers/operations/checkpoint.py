"""Seals the audit trail: each time, a signed checkpoint over all rows so far, and a check that the trail is still what it was.

Rules
    The chain is recomputed over every row that a checkpoint adds, beginning at the last row of the one before. Once a night
    (`rebuild`) it is recomputed from the first row, and the tree's root compared with the last checkpoint. Then rows end that are
    older than promised, up to a checkpoint that stands for them and is the trail's beginning from then on; the database lets no
    other row go (migrations/0413), and that it was done is a row of the trail.
    When a key to come is prepared (`renewal`), the key in use hands over to it: see handlers.audit.lineage.
    What the new rows revoked and removed is reported before they are sealed, so that a restore can take it away again.
    A trail that does not fit is never sealed: the function fails, which sounds its alarm, and says at which row.
    The last checkpoint is copied into the archive, where nobody can change it: who rewrites the database, this function's key
    and all, cannot make the trail agree with the copies. A copy that fails sounds the alarm and is made the next time.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated

import msgspec
from msgspec import Meta

from handlers.audit.lineage import Succession, line_of_keys, sign_succession
from handlers.audit.merkle import Frontier
from handlers.audit.notes import NoteBroken, checkpoint_text, open_note, read_checkpoint, verifier_of
from handlers.audit.verification import CHAIN_START, next_chain
from handlers.clouds.archive import Archive, open_archive
from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report
from handlers.operations.restore import note_gone
from handlers.operations.sealing import Sealer, open_sealer
from handlers.store.operations import OperationsStore, SealedTrail


class CheckpointEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rebuild`: look at every row since the first; then those that are older than `keep_days` may go, where it is set."""

    rebuild: bool = False
    keep_days: Annotated[int, Meta(ge=730)] | None = None


class TrailSealed(Outcome, frozen=True, kw_only=True):
    """How many rows are sealed now, how many of them newly, and the root."""

    rows: int
    new_rows: int
    root: str
    rebuilt: bool


class TrailTampered(RuntimeError):
    """The audit trail or its last checkpoint is not what it was; the message says where."""


class TrailEnded(Outcome, frozen=True, kw_only=True):
    """How many rows have gone because their time is over, and after which row the trail begins."""

    rows: int
    beginning: int


def hand_over(store: OperationsStore, sealer: Sealer, archive: Archive) -> bool:
    """Let the key in use hand over to the one to come, if that is not done; returns whether it was done now."""
    if sealer.coming is None or verifier_of(sealer.origin, sealer.coming) in _known_keys(store, sealer):
        return False
    step = sign_succession(sealer.origin, sealer.key, sealer.coming)
    note = step.note.encode()
    archive.keep(f"checkpoints/succession-{sha256(note).hexdigest()[:16]}.note", note)
    return store.succeed(step.before, step.after, step.note)


def seal_trail(store: OperationsStore, sealer: Sealer, *, rebuild: bool = False) -> TrailSealed:
    """One checkpoint."""
    keys = _known_keys(store, sealer)
    last, beginning = store.last_checkpoint(), store.audit_beginning()
    sealed = _trusted(last, keys) if last is not None else Frontier()
    first = _trusted(beginning, keys) if beginning is not None else Frontier()
    frontier = first if rebuild else Frontier(sealed.size, sealed.pack())
    for leaf in _checked_leaves(store, frontier.size, beginning):
        frontier.push(leaf)
        if frontier.size == sealed.size and frontier.root() != sealed.root():
            raise TrailTampered(f"the first {sealed.size} rows of the audit trail are not those that were sealed")
    if frontier.size < sealed.size:
        raise TrailTampered(f"the audit trail ends at row {frontier.size}, and {sealed.size} rows were sealed")
    new_rows = frontier.size - sealed.size
    if new_rows:
        note_gone(store, sealed.size, frontier.size)
        note = sealer.sign(checkpoint_text(sealer.origin, frontier.size, frontier.root()))
        store.seal_audit(frontier.size, note, sealer.verifier, frontier.pack())
    root = base64.b64encode(frontier.root()).decode()
    return TrailSealed(rows=frontier.size, new_rows=new_rows, root=root, rebuilt=rebuild)


def end_trail(store: OperationsStore, sealer: Sealer, keep_days: int) -> TrailEnded:
    """Remove rows whose time is over, up to a checkpoint that stands for them; after a rebuild has looked at them a last time."""
    ending = store.audit_ending(keep_days)
    if ending is not None:
        _trusted(ending, _known_keys(store, sealer))
        store.begin_audit(ending.size)
    rows = 0
    while gone := store.end_audit():
        rows += gone
    beginning = store.audit_beginning()
    return TrailEnded(rows=rows, beginning=beginning.size if beginning else 0)


def archive_checkpoint(store: OperationsStore, archive: Archive) -> None:
    """Keep a copy of the last checkpoint; ArchiveFailed when it is not taken.

    Its name says its content, too: after a restore, another trail of the same length is kept beside the lost one.
    """
    last = store.last_checkpoint()
    if last is not None:
        note = last.note.encode()
        archive.keep(f"checkpoints/{last.size:012}-{sha256(note).hexdigest()[:16]}.note", note)


def _known_keys(store: OperationsStore, sealer: Sealer) -> tuple[str, ...]:
    """The public keys that have signed or will, as far as the key in use vouches for them."""
    steps = [Succession(*row) for row in store.successions()]
    try:
        return line_of_keys(sealer.origin, steps, sealer.verifier)
    except NoteBroken:
        raise TrailTampered("the changes of the checkpoints' key are not those that were signed") from None


def _trusted(checkpoint: SealedTrail, keys: tuple[str, ...]) -> Frontier:
    """The tree of a checkpoint, if the row is what its signed note says."""
    if checkpoint.verifier not in keys:
        raise TrailTampered(f"the checkpoint of {checkpoint.size} rows is signed by a key that is not ours")
    try:
        said = read_checkpoint(open_note(checkpoint.note, checkpoint.verifier))
        frontier = Frontier(checkpoint.size, checkpoint.frontier)
    except NoteBroken:
        raise TrailTampered(f"the checkpoint of {checkpoint.size} rows is not signed by its key") from None
    except ValueError:
        raise TrailTampered(f"the tree of the checkpoint of {checkpoint.size} rows is damaged") from None
    if (said.size, said.root) != (checkpoint.size, frontier.root()):
        raise TrailTampered(f"the checkpoint of {checkpoint.size} rows is not what was signed")
    return frontier


def _checked_leaves(store: OperationsStore, after: int, beginning: SealedTrail | None) -> Iterator[bytes]:
    """The leaves after a row, each having continued the chain."""
    chain = CHAIN_START
    if beginning is not None and after == beginning.size:
        chain = beginning.chain
    elif after:
        last = store.audit_leaves(after - 1, 1)
        if not last:
            raise TrailTampered(f"row {after} of the audit trail is gone")
        chain = last[0].chain
    while page := store.audit_leaves(after):
        for row in page:
            chain = next_chain(chain, row.leaf)
            if row.seq != after + 1 or row.chain != chain:
                raise TrailTampered(f"row {after + 1} of the audit trail does not continue its chain")
            after += 1
            yield row.leaf


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every few minutes, and once a night with `rebuild`; safe to repeat."""
    wanted = read_event(event, CheckpointEvent)
    archive, store, sealer = open_archive(os.environ), open_store(), open_sealer()
    hand_over(store, sealer, archive)
    answer = report(seal_trail(store, sealer, rebuild=wanted.rebuild))
    archive_checkpoint(store, archive)
    if wanted.rebuild and wanted.keep_days is not None:
        report(end_trail(store, sealer, wanted.keep_days))
    return answer
