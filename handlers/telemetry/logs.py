"""What may be logged: one frozen struct per event, one JSON line each, nothing else.

Rules
    A field is an integer, a boolean, a member of an enumeration, or an `Identifier`: a short string of ours over a small
    alphabet (`identifier()` turns anything else into "other"). No message, no exception, no header, no upstream text.
    Each event class below is the whole truth about that line; the data inventory is generated from this module.
"""

from __future__ import annotations

import os
import re
import time
from enum import StrEnum
from typing import NewType

import msgspec

from handlers.errors import FailureClass
from handlers.telemetry.redaction import redact

Identifier = NewType("Identifier", str)
"""A name of ours: request id, key id, provider slug, model id, host:port."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,159}")
OTHER = Identifier("other")


def identifier(value: str) -> Identifier:
    """The value if it is a plain name, else "other"."""
    return Identifier(value) if _IDENTIFIER.fullmatch(value) else OTHER


class Level(StrEnum):
    """How loud a line is."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_RANK = {Level.DEBUG: 0, Level.INFO: 1, Level.WARNING: 2, Level.ERROR: 3}


class Room(StrEnum):
    """Who speaks."""

    GATEWAY = "gateway"
    PROVIDER = "provider"
    ADMIN = "admin"
    PAYMENTS = "payments"
    OPERATIONS = "operations"
    SITE = "site"


class Dependency(StrEnum):
    """What a room needs and may lose."""

    DATABASE = "database"
    SECRETS = "secrets"
    POD = "pod"
    UPSTREAM = "upstream"
    SPOOL = "spool"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """The base of every log line."""

    level: Level = Level.INFO


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """A process serves."""

    room: Room
    listen: Identifier
    provider: Identifier = OTHER
    compiled: bool = False
    """The byte path runs as machine code."""


class Stopped(Event, frozen=True, kw_only=True, tag="stopped"):
    """A process ended on purpose."""

    room: Room
    drained: bool
    open_exchanges: int = 0


class AttemptEnded(Event, frozen=True, kw_only=True, tag="attempt"):
    """One try at one endpoint is over; logged when it failed, or at debug level."""

    request_id: Identifier
    provider: Identifier
    model: Identifier
    attempt: int
    duration_ms: int
    failure: FailureClass | None = None
    upstream_status: int = 0


class WireRefused(Event, frozen=True, kw_only=True, tag="wire_refused"):
    """A pod closed a connection without an answer: the token did not verify, or the endpoint is another provider's."""

    provider: Identifier
    reason: Identifier


class DependencyLost(Event, frozen=True, kw_only=True, tag="dependency_lost"):
    """A dependency failed; `sqlstate` or `errno` when there is one."""

    dependency: Dependency
    name: Identifier = OTHER
    code: Identifier = OTHER


class DependencyBack(Event, frozen=True, kw_only=True, tag="dependency_back"):
    """A dependency answers again."""

    dependency: Dependency
    name: Identifier = OTHER


class SpoolReplayed(Event, frozen=True, kw_only=True, tag="spool_replayed"):
    """Usage lines of an earlier process were settled."""

    lines: int
    torn_bytes: int = 0


class RecordRejected(Event, frozen=True, kw_only=True, tag="record_rejected"):
    """The database refused a usage line; it stays in the spool's rejects for a person to look at."""

    request_id: Identifier
    reason: Identifier


class KeysRevoked(Event, frozen=True, kw_only=True, tag="keys_revoked"):
    """The gateway forgot keys because the database said so."""

    count: int


class PaymentNoted(Event, frozen=True, kw_only=True, tag="payment"):
    """A payment company told us something and it was compared with its order; amounts and ids of the company stay out."""

    provider: Identifier
    kind: Identifier
    outcome: Identifier
    order_id: Identifier = OTHER


class FaultCaught(Event, frozen=True, kw_only=True, tag="fault"):
    """A bug: an exception that no stage declared. Type and place, never its text."""

    room: Room
    kind: Identifier
    place: Identifier
    request_id: Identifier = OTHER


class Log:
    """Writes events of a level and above as JSON lines to a file descriptor."""

    def __init__(self, level: Level = Level.INFO, descriptor: int = 2) -> None:
        self._threshold = _RANK[level]
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode

    def emit(self, event: Event) -> None:
        """Write one line. A log that cannot be written never stops the work it describes."""
        if _RANK[event.level] < self._threshold:
            return
        line = b'{"ts":"%b",%b\n' % (_timestamp(), self._encode(event)[1:])
        try:
            os.write(self._descriptor, redact(line))
        except OSError:
            return

    def fault(self, room: Room, error: BaseException, *, request_id: str = "") -> None:
        """Tell of a bug: the exception's type and the code line it came from."""
        place, trace = "unknown", error.__traceback__
        while trace is not None:
            place = f"{trace.tb_frame.f_globals.get('__name__', 'unknown')}:{trace.tb_lineno}"
            trace = trace.tb_next
        self.emit(
            FaultCaught(
                level=Level.ERROR,
                room=room,
                kind=identifier(type(error).__name__),
                place=identifier(place),
                request_id=identifier(request_id),
            )
        )


def _timestamp() -> bytes:
    now_ns = time.time_ns()
    seconds, rest = divmod(now_ns, 1_000_000_000)
    return (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1_000_000:03d}Z").encode()
