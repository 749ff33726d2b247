"""After a restore: takes away again what was revoked, removed and purged since the backup, and only then lets the rooms serve.

The procedure
    1. Put a number higher than the one before into the secret `restore/epoch`: within minutes (at once, when they start anew)
       gateways, admin and payments answer everybody 503, and payments' schedule, purge and spending wait, until the database has
       this epoch (handlers.store.restoration). Those that run notice a database that went back by themselves. What payment
       companies tell us meanwhile is refused with the same 503: they send it again, Stripe for three days, WeChat Pay for one.
    2. Restore the database.
    3. Call this function with the entries that the checkpoint function has reported since the moment of the backup: they stand in
       its log (outcome RevocationsNoted), outside the database. Entries from before that moment do no harm.
    4. It replays them in order, purges what is due, ends all sessions, and writes the epoch: the rooms forget what they remember,
       and serve.
    5. Call payments with {"task": "reconcile", "day": ...} for each day since the backup: payments that the database has forgotten
       are credited again. Those whose order was opened after the backup are listed as `foreign`: a person credits them.
    6. If the checkpoints' key was handed over since the backup, the checkpoint function fails: the trail knows nothing of the key in
       use. Write it down again from its copy in the archive (checkpoints/succession-*.note, whose second and third line are the
       keys): select therouter.operations_succeed('<key before>', '<key after>', '<the note>').

What is replayed: keys revoked or made to expire, provider keys deleted, replaced or disabled (a replaced one is disabled: its owner
puts the new one again), people removed or erased and their roles, retention, tenants frozen or closed, and every purge.
What is not: limits, budgets and settings that were changed, keys and people that were added; what was written in the last five
minutes before a loss and is in no checkpoint. Whoever restores tells the tenants.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from handlers.clouds import open_secret_store
from handlers.clouds.epoch import EPOCH, NEVER, announced_epoch
from handlers.operations.database import open_store
from handlers.operations.journal import Outcome, read_event, report
from handlers.operations.purge import PurgeEvent, purge
from handlers.operations.sealing import Sealer, open_sealer
from handlers.settings import Deployment, SettingError
from handlers.store.operations import ROWS_WITHOUT_LIMIT, OperationsStore


class RestoreEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was reported since the backup, oldest first, and the promised bounds of retention."""

    entries: tuple[str, ...]
    purge: PurgeEvent


class RevocationsNoted(Outcome, frozen=True, kw_only=True):
    """What a restore to a moment before this would bring back. Kept outside the database by being reported."""

    upto: int
    entries: tuple[str, ...]


class Restored(Outcome, frozen=True, kw_only=True):
    """How much was taken away again, and the epoch in which the rooms serve."""

    entries: int
    rows: int
    epoch: int


def note_gone(store: OperationsStore, after: int, upto: int) -> None:
    """Report what the rows of the trail between two numbers took away."""
    entries = store.gone(after, upto)
    if entries:
        report(RevocationsNoted(upto=upto, entries=tuple(entries)))


def restore(
    store: OperationsStore, entries: Iterable[str], purge_event: PurgeEvent, epoch: int, now: datetime, sealer: Sealer
) -> Restored:
    """Replay, purge, reopen; may be repeated and interrupted. `epoch`: the one that is announced outside."""
    told = tuple(dict.fromkeys(entries))
    for entry in told:
        store.replay(entry)
    confirmed = msgspec.structs.replace(purge_event, confirm_rows=ROWS_WITHOUT_LIMIT)
    rows = 0
    while done := purge(store, confirmed, now, sealer).rows:
        rows += done
    reopened = max(epoch, store.restore_epoch() + 1)
    store.reopen(reopened, len(told))
    return Restored(entries=len(told), rows=rows, epoch=reopened)


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called by a person, once for each restore."""
    wanted = read_event(event, RestoreEvent)
    epoch = announced_epoch(open_secret_store(Deployment.parse(os.environ)))
    if epoch == NEVER:
        raise SettingError(
            f"the secret {EPOCH} is a number of at most nine digits: put one, and call this function again"
        )
    return report(restore(open_store(), wanted.entries, wanted.purge, epoch, datetime.now(UTC), open_sealer()))
