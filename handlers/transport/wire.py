"""The internal wire: what a gateway and a provider pod say to one another.

Theory of operation
    One connection carries one exchange at a time, so back-pressure is TCP's own and cancelling is closing: closing the
    gateway's half asks the pod to cancel its provider and to answer with the END that tells what was produced. A frame is
    kind (1 byte), flags (1 byte), length (4 bytes, big endian), payload.

        gateway -> pod   REQUEST  length of JSON (4 bytes), the `WireTerms` as JSON, the rest of the `WireRequest` as a JSON list
                         BODY     the client's body, untouched, in one frame (possibly empty)
        pod -> gateway   HEAD     one `WireHead` as JSON; absent when the attempt failed before anything was produced, and
                                  where it would say what PLAIN_HEAD says
                         DATA     client-ready bytes; flag SEMANTIC once they carry the first semantic content
                         USAGE    one `Usage` as JSON: cumulative, replaces the one before
                         END      length of JSON (4 bytes), one `WireEnd` as JSON, then the final client-ready bytes
                         ANSWER   HEAD and END in one, when nothing comes between them: length of JSON (4 bytes), the
                                  `WireHead` as JSON, then what an END says

Rules
    Exactly one END (or ANSWER) closes each exchange, whatever happened. Bytes that tell the client "finished" travel only in END: the
    gateway writes the usage line to its spool before it forwards them.
    Before the first DATA frame with SEMANTIC (or an END of a completed exchange) nothing has been committed, and the gateway
    may try another endpoint. A pod therefore sends HEAD only when it is ready to commit, or to keep a client waiting.
    A pod answers a REQUEST whose token it cannot verify by closing the connection without a frame.
    A REQUEST for the endpoint RESEAL calls no provider: the pod opens the sealed key that it carries and seals it, for the same
    place, to its newest sealing key. The new text is the END's final bytes; nothing that was opened leaves the pod.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from typing import Final

import msgspec

from handlers.errors import FailureClass
from handlers.translation.canonical.usage import NO_USAGE, Usage

FRAME_HEADER_BYTES: Final = 6
FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
LAST_CHANCE_MS: Final = 1_000
"""The least total time that an attempt gets."""
SEMANTIC: Final = 0x01
"""Flag of DATA: these bytes carry text, reasoning, a tool call or a refusal."""
RESEAL: Final = "byok/reseal"
"""No endpoint of a catalogue has this name; the request's token covers it like any other."""


class FrameKind(IntEnum):
    """The first byte of a frame."""

    REQUEST = 1
    BODY = 2
    HEAD = 3
    DATA = 4
    USAGE = 5
    END = 6
    ANSWER = 7


class WireDeadlines(msgspec.Struct, frozen=True):
    """Milliseconds left for each phase, counted from the arrival of the REQUEST."""

    connect_ms: int
    headers_ms: int
    first_event_ms: int
    between_bytes_ms: int
    between_events_ms: int
    total_ms: int
    whole_ms: int = 0
    """For an answer that is no stream, which says nothing before it is whole; 0: total_ms."""


class WireTerms(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """What is the same for all requests of one kind: encoded once by the gateway, decoded once by the pod.

    Equal bytes are one object in a pod for as long as its memo lasts, so what follows from them can be kept beside it.
    """

    dialect: str
    operation: str
    endpoint: str
    """Catalogue endpoint id; the pod refuses one of another provider."""
    public_model: str
    """The model name that the client shall see in the answer."""
    stream: bool
    deadlines: WireDeadlines
    content_type: str = "application/json"
    target: str = ""
    """The request target, for dialects that put the model or the method there."""
    client_headers: dict[str, str] = {}
    """Allow-listed protocol headers (anthropic-version, anthropic-beta, ...), lower case."""
    credential: str = "shared"
    """shared | byok"""
    stateless: bool = True
    """Force store:false and refuse upstream object ids: always on shared credentials."""
    require_parameters: bool = False
    """Refuse as unsupported, before anything is sent, rather than drop a parameter."""
    upstream_stream: bool = True
    """Call upstream in streaming mode even for a non-streaming client, where the format allows."""

    @cached_property
    def encoded(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)


class WireRequest(msgspec.Struct, frozen=True):
    """Everything a pod needs beside the body."""

    terms: WireTerms
    request_id: str
    token: str
    account: str
    """The tenant's public id; part of the token and of the sealing context, never sent upstream."""
    attempt: int = 1
    """Which try of the plan this is, from 1; for logs."""
    output_tokens_max: int = 0
    """Clamp for the output cap because the balance affords no more; 0: as the client asked."""
    elapsed_ms: int = 0
    """What earlier attempts have used up of the total time."""
    byok_record: str = ""
    byok_sealed: str = ""
    kept: tuple[str, ...] | None = None
    """Fingerprints of provider-bound material that may go to this credential; all else is left out of the body. None: the
    body carries none."""

    @property
    def deadlines(self) -> WireDeadlines:
        """One total over all attempts: a fallback does not begin it anew."""
        deadlines = self.terms.deadlines
        if not self.elapsed_ms:
            return deadlines
        left_ms = max(LAST_CHANCE_MS, deadlines.total_ms - self.elapsed_ms)
        return msgspec.structs.replace(deadlines, total_ms=left_ms)


class WireHead(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """What starts the client's response."""

    status: int
    content_type: str
    headers: dict[str, str] = {}
    """Allow-listed, ours: x-therouter-warnings (dropped or adapted parameters) and the like."""

    @cached_property
    def encoded(self) -> bytes:
        """As JSON: few heads start most responses."""
        return msgspec.json.encode(self)


PLAIN_HEAD: Final = WireHead(200, "application/json")
"""What starts the client's response to an exchange that completed without a HEAD."""


class WireEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the exchange ended."""

    usage: Usage = NO_USAGE
    failure: FailureClass | None = None
    """None: completed."""
    upstream_status: int = 0
    """Status of the provider's answer, 0 when there was none."""
    retry_after_ms: int = 0
    finish_reason: str = ""
    """stop | length | tool_calls | content_filter | refusal | error, or empty."""
    param: str = ""
    """The client's field at fault, when the failure is the client's and we know it."""
    message: str = ""
    """Our own words about a client's fault (never upstream text); empty for all other failures."""
    code: str = ""
    """The error code of that fault; empty: the failure's own."""
    semantic: bool = False
    """Anything semantic was produced."""
    first_event_ms: int = 0
    """From REQUEST to the first semantic event."""
    upstream_model: str = ""
    minted: tuple[str, ...] = ()
    """Fingerprints of provider-bound material that the answer carried (translation/canonical/bound_material.py)."""
