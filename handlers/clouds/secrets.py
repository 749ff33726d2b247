"""What a secret is, and where a room gets it.

Secrets are read when a process starts and when it is told to refresh, never per request. A store that is down later has no
effect: the last good values stay.
"""

from __future__ import annotations

import hmac
import re
from enum import StrEnum
from typing import NoReturn, Protocol, SupportsIndex

import msgspec

from handlers.catalog.elsewhere import providers_elsewhere

ROOT = "therouter"
SECRET_BYTES_MAX = 65_536
PAYMENT_COMPANIES = {"global": "stripe", "china": "wechat"}
"""Subjects of the kind `payments`, as in handlers.workloads."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}/[a-z][a-z0-9-]{0,62}")


class SecretError(RuntimeError):
    """A secret is missing, unreadable or belongs elsewhere; the message names it and the remedy, never a value."""


class SecretMissing(SecretError):
    """The store answers, and has no such secret or no version of it in this stage."""


class Stage(StrEnum):
    """Which version of a secret: each stage names at most one."""

    CURRENT = "current"
    """The one in use."""
    PREVIOUS = "previous"
    """The one in use before; gone once nothing needs it any more."""
    PENDING = "pending"
    """The one to come: who checks tokens accepts it already, nobody makes them with it."""


class Secret:
    """Bytes that show themselves to nobody but the caller of `reveal` and `text`."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes."""
        return self._value

    def text(self) -> str:
        """The bytes as UTF-8; SecretError when they are not."""
        try:
            return self._value.decode()
        except UnicodeDecodeError:
            raise SecretError("a secret is not UTF-8 text; store it again") from None

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, _specification: str) -> str:
        return repr(self)

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret would be a fingerprint of it


class SecretStore(Protocol):
    """Where secrets come from."""

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        """The secret of a short name such as `wire/openai`.

        Raises:
            SecretMissing: there is none.
            SecretError: it cannot be read.
        """
        ...


def check_name(name: str) -> str:
    """The short name, if it is one: `<kind>/<subject>`. It can lead out of no folder and into no other environment."""
    if not _NAME.fullmatch(name):
        raise SecretError("a secret's short name is <kind>/<subject> in lower case, as in wire/openai")
    return name


def store_name(environment: str, name: str) -> str:
    """The name in a cloud's store: `therouter/<environment>/<kind>/<subject>`, as in handlers.workloads.

    A region has a store of its own in an account of its own, so the name does not repeat it.
    """
    return f"{ROOT}/{environment}/{check_name(name)}"


def foreign_secrets(region: str) -> frozenset[str]:
    """Short names of secrets that only the other region has: those of its own providers and of its payment company."""
    slugs = providers_elsewhere(region)
    companies = {company for other, company in PAYMENT_COMPANIES.items() if other != region}
    return frozenset(
        {f"{kind}/{slug}" for kind in ("provider", "seal", "wire") for slug in slugs}
        | {f"payments/{company}" for company in companies}
    )


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose secrets a folder or a stand-in holds."""

    region: str
    environment: str


class KeptSecrets:
    """A store that remembers: what was read once stays readable, whatever happens to the store behind."""

    def __init__(self, store: SecretStore, foreign: frozenset[str] = frozenset()) -> None:
        self._store = store
        self._foreign = foreign
        self._kept: dict[tuple[str, Stage], Secret] = {}
        self.changes = 0
        """How many values a refresh has found changed or gone."""

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        """The last good value; read from the store the first time. The other region's secrets are not asked for."""
        if name in self._foreign:
            raise SecretError(f"the secret {name} is the other region's and has no place here (region_restricted)")
        kept = self._kept.get((name, stage))
        if kept is None:
            kept = self._kept[name, stage] = self._store.get(name, stage)
        return kept

    def find(self, name: str, stage: Stage) -> Secret | None:
        """The secret in a stage that it need not have; None when it has none, or none that can be read now."""
        try:
            return self.get(name, stage)
        except SecretError:
            return None

    def refresh(self) -> tuple[str, ...]:
        """Read everything again; returns the names that could not be read and keep their old value.

        What has left a stage that it need not have is forgotten.
        """
        stale = []
        for (name, stage), before in list(self._kept.items()):
            try:
                after = self._store.get(name, stage)
            except SecretError as error:
                if isinstance(error, SecretMissing) and stage is not Stage.CURRENT:
                    del self._kept[name, stage]
                    self.changes += 1
                else:
                    stale.append(name)
                continue
            if after != before:
                self._kept[name, stage] = after
                self.changes += 1
        return tuple(stale)
