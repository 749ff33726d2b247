"""`therouter bootstrap aws`: what a fresh deployment still needs, in one command, and again after each deployment of an image.

    therouter bootstrap aws --stage production --values DIR --owner founder@example.com --key-file FILE

    1. Every secret that the stacks made holds a placeholder, which no room accepts. Those that are ours get their first version
       (keys/first.py); those that come from outside are read from `DIR/<kind>/<subject>`, 0600 files.
    2. The migrate function, which stands where the database can be reached, applies the migrations and sets the roles' passwords.
    3. With --owner, the first tenant, its owner and a management key: the key goes into FILE and nowhere else.

Rules
    Nothing is ever overwritten: a secret that has a value keeps it, and a file for one that has a value stops the command before
    anything is written. The one exception follows from others: seal/public gains the providers that it lacks.
    No value is printed, and none is in an error. All of it may be repeated.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from handlers.clouds.local import read_private
from handlers.clouds.secrets import SecretError
from handlers.keys.first import PUBLIC_HALVES, first_version, is_ours, public_halves
from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import hash_secret
from handlers.operations.beginning import Founder
from handlers.operations.migrate import Migrated


class BootstrapRefused(RuntimeError):
    """Something stands in the way; the message names it and the remedy, never a value."""


class Containers(Protocol):
    """The secrets that a deployment made."""

    def names(self) -> tuple[str, ...]:
        """Their short names."""
        ...

    def read(self, name: str) -> bytes | None:
        """The value, or None while it is the deployment's placeholder."""
        ...

    def put(self, name: str, value: bytes) -> None:
        """Put a new current version."""
        ...


class Cloud(Protocol):
    """What differs between the clouds."""

    region: str

    @property
    def containers(self) -> Containers:
        """The secrets."""
        ...

    def migrate(self, founder: Founder | None) -> Migrated:
        """Run the migrate function and return what it did; BootstrapRefused when it failed."""
        ...


class Filled(NamedTuple):
    """What happened to each secret."""

    made: tuple[str, ...]
    taken: tuple[str, ...]
    """From the operator's files."""
    kept: tuple[str, ...]
    missing: tuple[str, ...]
    """They come from outside and no file was there."""


def fill(containers: Containers, given: Mapping[str, bytes]) -> Filled:
    """Give every empty container its first version; BootstrapRefused before anything is written."""
    names = containers.names()
    values = {name: containers.read(name) for name in names}
    _refuse(given, values)
    made = tuple(name for name in names if values[name] is None and is_ours(name))
    for name in made:
        value = first_version(name)
        containers.put(name, value)
        values[name] = value
    taken = tuple(name for name in names if name in given)
    for name in taken:
        containers.put(name, given[name])
        values[name] = given[name]
    made += _publish(containers, values)
    kept = tuple(name for name in names if name not in {*made, *taken} and values[name] is not None)
    missing = tuple(name for name in names if values[name] is None)
    return Filled(made, taken, kept, missing)


def _refuse(given: Mapping[str, bytes], values: Mapping[str, bytes | None]) -> None:
    for name in given:
        if name not in values:
            raise BootstrapRefused(
                f"there is a file for {name}, and the deployment has no such secret: remove the file"
            )
        if values[name] is not None:
            raise BootstrapRefused(
                f"{name} has a value already and nothing is overwritten: remove the file, or rotate the secret"
            )
        if is_ours(name) or name == PUBLIC_HALVES:
            raise BootstrapRefused(f"{name} is made here and by nobody else: remove the file")


def _publish(containers: Containers, values: dict[str, bytes | None]) -> tuple[str, ...]:
    """`seal/public` from the private halves; what stands in it already must agree."""
    if PUBLIC_HALVES not in values:
        return ()
    halves = {name.partition("/")[2]: value for name, value in values.items() if name.startswith("seal/") and value}
    halves.pop("public", None)
    before = values[PUBLIC_HALVES]
    try:
        public = public_halves(halves, before or b"{}")
    except ValueError as broken:
        raise BootstrapRefused(f"{PUBLIC_HALVES}: {broken}: restore the last version") from None
    if before is not None and msgspec.json.decode(before) == msgspec.json.decode(public):
        return ()
    containers.put(PUBLIC_HALVES, public)
    values[PUBLIC_HALVES] = public
    return (PUBLIC_HALVES,)


def read_values(folder: Path | None) -> dict[str, bytes]:
    """The operator's files by short name; BootstrapRefused for one that others may read."""
    if folder is None:
        return {}
    found = {}
    for path in sorted(folder.glob("*/*")):
        name = f"{path.parent.name}/{path.name}"
        try:
            found[name] = read_private(path, name)
        except SecretError as refused:
            raise BootstrapRefused(str(refused)) from None
    return found


class MadeKey(NamedTuple):
    """The first management key, and whose it is."""

    founder: Founder
    token: str

    def __repr__(self) -> str:
        return "MadeKey(...)"


def make_first_key(cloud: Cloud, stage: str, email: str) -> MadeKey:
    """A management key of the first tenant; only its hash leaves this machine."""
    mint = cloud.containers.read("keys/mint")
    if mint is None:
        raise BootstrapRefused("keys/mint has no value: run this command without --owner first")
    made = generate_key(cloud.region, stage, MintKeys.parse(mint))
    return MadeKey(Founder.of(email, made.key_id, hash_secret(made.secret)), made.token)


def run(cloud: Cloud, options: argparse.Namespace) -> int:
    """All steps; 0: done, 1: secrets are missing, 2: refused."""
    try:
        _refuse_existing(options.key_file)
        filled = fill(cloud.containers, read_values(options.values))
        for what, names in zip(("made", "taken from its file", "kept"), filled, strict=False):
            for name in names:
                _say(f"{name}: {what}")
        for name in filled.missing:
            _say(f"{name}: MISSING, put it into a 0600 file under --values; its room does not start without it")
        key = make_first_key(cloud, options.stage, options.owner) if options.owner else None
        migrated = cloud.migrate(key.founder if key else None)
        _say(f"database: {len(migrated.applied)} migrations applied, {len(migrated.roles)} passwords set")
        if key is not None:
            _keep(key, options.key_file, founded=migrated.founded)
    except (BootstrapRefused, SecretError) as refused:
        sys.stderr.write(f"refused: {refused}\n")
        return 2
    return 1 if filled.missing else 0


def _refuse_existing(path: Path | None) -> None:
    if path is not None and path.exists():
        raise BootstrapRefused(f"{path} exists: name a file that does not")


def _keep(key: MadeKey, path: Path, *, founded: bool) -> None:
    if not founded:
        _say("the first tenant has a management key already; no other was made")
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key.token}\n")
    _say(f"tenant {key.founder.tenant_id}: its first management key is in {path}")


def parser(program: str) -> argparse.ArgumentParser:
    """What both clouds' commands take."""
    made = argparse.ArgumentParser(prog=program, description="first secrets, migrations, first key")
    made.add_argument("--stage", choices=("production", "staging", "small"), default="production")
    made.add_argument("--values", type=Path, help="folder of 0600 files <kind>/<subject> that come from outside")
    made.add_argument("--owner", default="", help="mail address of the first tenant's owner")
    made.add_argument("--key-file", type=Path, help="new file for the first management key; goes with --owner")
    return made


def checked(made: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; usage errors end here."""
    options = made.parse_args(argv)
    if bool(options.owner) != bool(options.key_file):
        made.error("--owner and --key-file go together: the key is shown to a file or not made")
    return options


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
