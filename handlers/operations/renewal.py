"""Rotates the secrets that are ours, one step at a time, while requests go on. `rotation` watches that it does.

Theory of operation
    Each run looks at the versions of every secret, their ids and dates, and takes the next step that is due; nothing else is
    remembered anywhere. A run that is killed leaves a version that is in use, and perhaps one to come, which the next run replaces.
    Between the steps lies `settle_s`: the time in which every process has read its secrets again (SECRETS_REFRESH_S three times).

    keys/mint        announce: one more key, known to all who verify        use: API keys are made with it
    seal/<provider>  prepare: the pod gets the next private key             publish: the admin room seals to it
                     reseal: gateways have what is sealed to the old one sealed anew by the pod
                     retire: the old key has no stage any more; what was sealed to it and is not sealed anew is gone for good
    wire/<provider>  prepare: the pod accepts the next key                  use: gateways sign with it      retire
    audit/checkpoint prepare: the checkpoint function gets the next key, and has the key in use hand over to it
                     use: checkpoints are signed with it        retire: the private half of the key before is gone
    audit/digest     use: digests are made with one more key; the room that makes them keeps those of before
    database/<role>  use: the role's other login gets a password and is named in the secret                 close: the login before

Rules
    What is about to be done is written into the audit trail first.
    Of all values only keys/mint, seal/public and audit/digest are read. Private keys and passwords are made here, put, and
    forgotten: the role of this function may put them and not get them.
    A sealing key is replaced only when nothing is left on the one before it.
    A secret that cannot be rotated does not keep the others from it; the run fails at its end, which sounds the alarm.
"""

from __future__ import annotations

import os
import re
import secrets as randomness
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from handlers.audit.notes import read_verifier
from handlers.clouds import SecretError, open_secret_store
from handlers.clouds.keeping import SecretKeeper, Version, Versions, open_secret_keeper
from handlers.clouds.secrets import Stage
from handlers.errors import TheRouterError
from handlers.keys.rotation import (
    add_digest_key,
    announce_mint_key,
    digest_public,
    digest_verifier,
    make_checkpoint_key,
    make_password,
    make_sealing_key,
    note_next_public,
    use_mint_key,
    use_next_public,
)
from handlers.keys.sealing import parse_public_rows
from handlers.operations.database import open_pool
from handlers.operations.journal import Outcome, read_event, report
from handlers.settings import Deployment
from handlers.store.logins import Login, logins_of, write_login
from handlers.store.migrate import ROOMS
from handlers.store.rotation import RotationStore

MINT, PUBLIC, DIGEST, CHECKPOINT = "keys/mint", "seal/public", "audit/digest", "audit/checkpoint"
HANDOVER_S_MAX = 3_600
"""The checkpoint function, which has the key in use hand over, runs every few minutes."""
_ANNOUNCED = re.compile(r"mint-announced-([0-9A-Za-z])-[0-9a-f]+")
_SEAL = re.compile(r"seal-([1-9][0-9]{0,8})-([0-9a-f]{32})")
_LOGIN = re.compile(r"login-([ab])-[0-9a-f]+")


class RenewalEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is promised about age, and how long the steps wait for one another."""

    rotate_after_days: int
    settle_s: int
    """Within which every process has read its secrets again."""
    retire_s: int
    """After which an old version is taken away: longer than a process may live on what it has read."""
    begin: tuple[str, ...] = ()
    """Secrets that are rotated whatever their age: a person's word."""


class SecretsRenewed(Outcome, frozen=True, kw_only=True):
    """The steps that were taken, as `<secret>:<step>`, and the secrets whose step failed."""

    steps: tuple[str, ...]
    failed: tuple[str, ...]


class RenewalFailed(RuntimeError):
    """Secrets could not be rotated; the log line names them."""


class RenewalStuck(RuntimeError):
    """A secret's versions do not fit one another: somebody has put one by hand. The message names the secret and the remedy."""


class Rotator(NamedTuple):
    """What rotation works with."""

    keeper: SecretKeeper
    read: Callable[[str], bytes]
    """The value in use of keys/mint, seal/public or audit/digest, read anew each time."""
    store: RotationStore
    event: RenewalEvent
    now: datetime
    steps: list[str]

    def age_s(self, version: Version) -> float:
        """Of a version, in seconds."""
        return (self.now - version.since).total_seconds()

    def is_settled(self, version: Version) -> bool:
        """Whether every process knows it by now."""
        return self.age_s(version) >= self.event.settle_s

    def is_due(self, name: str, held: Versions) -> bool:
        """Whether a secret is to be replaced: its age, a person's word, or a run that was killed before it was done."""
        aged = timedelta(seconds=self.age_s(held[Stage.CURRENT])) >= timedelta(days=self.event.rotate_after_days)
        return aged or name in self.event.begin or Stage.PENDING in held

    def note(self, name: str, step: str, version: str) -> None:
        """Say what is about to be done."""
        self.store.note(name, step, version)
        self.steps.append(f"{name}:{step}")

    def put(self, name: str, value: bytes, version: str) -> None:
        """Put a value and use it at once."""
        self.keeper.put_pending(name, value, version)
        self.keeper.promote(name, version)


def renew_mint(rotator: Rotator, name: str, held: Versions) -> None:
    """The next step of keys/mint."""
    current = held[Stage.CURRENT]
    announced = _ANNOUNCED.fullmatch(current.id)
    if announced and rotator.is_settled(current):
        version = f"mint-in-use-{randomness.token_hex(10)}"
        rotator.note(name, "use", version)
        rotator.put(name, use_mint_key(rotator.read(name), announced[1]), version)
    elif not announced and rotator.is_due(name, held):
        value, letter = announce_mint_key(rotator.read(name))
        version = f"mint-announced-{letter}-{randomness.token_hex(10)}"
        rotator.note(name, "announce", version)
        rotator.put(name, value, version)


def renew_seal(rotator: Rotator, name: str, held: Versions) -> None:
    """The next step of seal/<provider>."""
    provider, current = name.partition("/")[2], held[Stage.CURRENT]
    rows = rotator.read(PUBLIC)
    row, made = parse_public_rows(rows)[provider], _SEAL.fullmatch(current.id)
    if made and int(made[1]) > row.version:
        if digest_public(row.next) != made[2]:
            raise RenewalStuck(f"{PUBLIC} has another next key than {name}: put the public half of its key there")
        if rotator.is_settled(current):
            version = f"public-{randomness.token_hex(16)}"
            rotator.note(name, "publish", version)
            rotator.put(PUBLIC, use_next_public(rows, provider), version)
        return
    published = rotator.keeper.versions(PUBLIC)[Stage.CURRENT]
    left = rotator.store.reseal(provider, row.version) if rotator.is_settled(published) else 1
    if made and _is_apart(held) and Stage.PENDING not in held:
        if not left and rotator.age_s(current) >= rotator.event.retire_s:
            rotator.note(name, "retire", held[Stage.PREVIOUS].id)
            rotator.keeper.retire(name)
    elif not left and rotator.is_due(name, held):
        _prepare_seal(rotator, name, rows, row.version + 1)


def _prepare_seal(rotator: Rotator, name: str, rows: bytes, number: int) -> None:
    """The public half is noted before the private one is in use: nobody could compute it afterwards."""
    key = make_sealing_key(number)
    version = f"seal-{number}-{key.digest}"
    rotator.note(name, "prepare", version)
    rotator.keeper.put_pending(name, key.value, version)
    rotator.put(
        PUBLIC, note_next_public(rows, name.partition("/")[2], key.public), f"public-{randomness.token_hex(16)}"
    )
    rotator.keeper.promote(name, version)


def renew_wire(rotator: Rotator, name: str, held: Versions) -> None:
    """The next step of wire/<provider>."""
    _take_turns(rotator, name, held, lambda: (make_password(), f"wire-{randomness.token_hex(16)}"))


def renew_checkpoint(rotator: Rotator, name: str, held: Versions) -> None:
    """The next step of audit/checkpoint: as of wire/<provider>, and the next key is not used before it was handed over to."""
    pending = held.get(Stage.PENDING)
    if pending is None or _is_handed_over(rotator.store.successor(), pending.id):
        _take_turns(rotator, name, held, _make_checkpoint_version)
    elif rotator.age_s(pending) >= HANDOVER_S_MAX:
        raise RenewalStuck(f"nobody hands over to the next key of {name}: see the checkpoint function's alarm")


def _make_checkpoint_version() -> tuple[bytes, str]:
    key = make_checkpoint_key()
    return key.value, f"checkpoint-{key.digest}"


def _take_turns(rotator: Rotator, name: str, held: Versions, make: Callable[[], tuple[bytes, str]]) -> None:
    """Prepare a next version (`make`: its value and id), use it once everybody knows it, retire the one before once nobody needs it."""
    current, pending = held[Stage.CURRENT], held.get(Stage.PENDING)
    if pending is not None:
        if rotator.is_settled(pending):
            rotator.note(name, "use", pending.id)
            rotator.keeper.promote(name, pending.id)
    elif rotator.is_due(name, held):
        value, version = make()
        rotator.note(name, "prepare", version)
        rotator.keeper.put_pending(name, value, version)
    elif _is_apart(held) and rotator.age_s(current) >= rotator.event.settle_s + rotator.event.retire_s:
        rotator.note(name, "retire", held[Stage.PREVIOUS].id)
        rotator.keeper.retire(name)


def _is_handed_over(verifier: str, version: str) -> bool:
    """Whether the key that was announced last is that of this version."""
    return bool(verifier) and version == f"checkpoint-{digest_verifier(read_verifier(verifier).public)}"


def renew_digest(rotator: Rotator, name: str, held: Versions) -> None:
    """The next step of audit/digest: there is one."""
    if rotator.is_due(name, held):
        version = f"digest-{randomness.token_hex(16)}"
        rotator.note(name, "use", version)
        rotator.put(name, add_digest_key(rotator.read(name)), version)


def renew_login(rotator: Rotator, name: str, held: Versions) -> None:
    """The next step of database/<role>."""
    role, current = name.partition("/")[2], held[Stage.CURRENT]
    made = _LOGIN.fullmatch(current.id)
    letter = "a" if made and made[1] == "b" else "b"
    other = logins_of(role)["ab".index(letter)]
    is_open = other in rotator.store.open_logins()
    if rotator.is_due(name, held) and (not is_open or not made or rotator.is_settled(current)):
        login, version = Login(other, make_password().decode()), f"login-{letter}-{randomness.token_hex(12)}"
        rotator.note(name, "use", version)
        rotator.keeper.put_pending(name, write_login(login), version)
        rotator.store.open_login(login.user, login.password)
        rotator.keeper.promote(name, version)
    elif made and is_open and rotator.age_s(current) >= rotator.event.retire_s:
        rotator.note(name, "close", current.id)
        rotator.store.close_login(other)


def _is_apart(held: Versions) -> bool:
    """A version before is there, and is not the one in use under a second name."""
    return Stage.PREVIOUS in held and held[Stage.PREVIOUS].id != held[Stage.CURRENT].id


def _without_echo(held: Versions) -> Versions:
    """A version that is in use is not one to come, even where a killed run has left it that label."""
    if Stage.PENDING in held and held[Stage.PENDING] == held.get(Stage.CURRENT):
        return {stage: version for stage, version in held.items() if stage is not Stage.PENDING}
    return held


Step = Callable[[Rotator, str, Versions], None]


def rotated_secrets(providers: list[str]) -> dict[str, Step]:
    """The secrets that are rotated here, and how."""
    return {
        MINT: renew_mint,
        **{f"seal/{provider}": renew_seal for provider in providers},
        **{f"wire/{provider}": renew_wire for provider in providers},
        CHECKPOINT: renew_checkpoint,
        DIGEST: renew_digest,
        **{f"database/{role}": renew_login for role in ROOMS},
    }


def renew(
    keeper: SecretKeeper, read: Callable[[str], bytes], store: RotationStore, event: RenewalEvent, now: datetime
) -> SecretsRenewed:
    """Take the next step of each secret; `read` as in Rotator."""
    rotator = Rotator(keeper, read, store, event, now, [])
    failed = []
    for name, step in rotated_secrets(sorted(parse_public_rows(read(PUBLIC)))).items():
        try:
            held = _without_echo(keeper.versions(name))
            if Stage.CURRENT in held:
                step(rotator, name, held)
        except (SecretError, TheRouterError, RenewalStuck, ValueError):
            failed.append(name)
    return SecretsRenewed(steps=tuple(rotator.steps), failed=tuple(failed))


def handler(event: Mapping[str, object], _context: object) -> dict[str, object]:
    """Called every hour; safe to repeat and to interrupt."""
    wanted, deployment = read_event(event, RenewalEvent), Deployment.parse(os.environ)
    done = renew(
        open_secret_keeper(deployment),
        lambda name: open_secret_store(deployment).get(name).reveal(),
        RotationStore(open_pool()),
        wanted,
        datetime.now(UTC),
    )
    answer = report(done)
    if done.failed:
        raise RenewalFailed("secrets were not rotated: see this function's last log line for their names")
    return answer
