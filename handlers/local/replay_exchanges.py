"""Recorded exchanges as things to ask: which provider of ours stands for theirs, in which dialects, with which bodies.

A folder holds one gzipped JSON-lines file per provider; each record is one HTTP exchange with a provider. What a record was
asked in its own dialect is sent as it was; in other dialects it goes through the canonical request and is written down by
the adapter of that dialect's own format.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from handlers.errors import TheRouterError
from handlers.local.replay_interactions import write_interaction
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.dialects.base import ClientBody
from handlers.translation.framing.aws_event_stream import message_bytes
from handlers.translation.registry import ADAPTERS, DIALECTS

DIALECT_FORMATS = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic_messages": "anthropic_messages",
    "google_generate": "gemini",
    "google_interactions": "google_interactions",
}
"""Dialects, and the wire format that is the same format."""
_API_FORMATS = {
    "chat.completions": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic_messages",
    "generateContent": "gemini",
    "converse": "bedrock_converse",
    "chat": "cohere",
}
_PROMPTS = {
    "openai_chat": "messages",
    "openai_responses": "input",
    "anthropic_messages": "messages",
    "gemini": "contents",
    "bedrock_converse": "messages",
    "cohere": "messages",
}
_NOT_GENERATION = ("/compact", "/input_tokens", "/count_tokens")
"""Ends of paths below a generation API that are other operations."""
_SLUGS = {"google": "gemini"}
_PLAIN = b'{"model":"m","messages":[{"role":"user","content":"Replay."}]}'
"""What is asked where the recorded request is in no dialect of ours."""


class Record(msgspec.Struct, frozen=True):
    """One line of a file, as far as it is read."""

    id: str
    provider: str
    api: str | None = None
    path: str | None = None
    request_json: Any = None
    status: int = 200
    response_headers: dict[str, Any] | None = None
    body: str | None = None
    body_b64: str | None = None
    streaming: bool = False


class Exchange(msgspec.Struct, frozen=True):
    """One recorded exchange that can be played."""

    id: str
    provider: str
    wire_format: str
    streams: bool
    status: int
    content_type: str
    body: bytes
    request: bytes
    """In its own dialect; empty where that is none of ours."""

    @property
    def own_dialect(self) -> str:
        """The dialect that it was asked in, or empty."""
        if not self.request:
            return ""
        return next((name for name, format_ in DIALECT_FORMATS.items() if format_ == self.wire_format), "")

    def asked_in(self, dialect: str) -> bytes:
        """The body to send in a dialect.

        Raises:
            TheRouterError: the recorded request cannot be said in it.
        """
        if dialect == self.own_dialect:
            return self.request
        own = self.own_dialect or "openai_chat"
        client = ClientBody(self.request or _PLAIN, self.streams, stateless=False, target=_target(self.streams))
        canonical = DIALECTS[own].parse(client)
        wire_format = DIALECT_FORMATS[dialect]
        target = UpstreamTarget(wire_format, "m", "replay", quirks=frozenset({"open_parameters", "cache_control"}))
        sent = msgspec.structs.replace(canonical, stream=self.streams)
        if dialect == "google_interactions":
            return write_interaction(sent)
        return ADAPTERS[wire_format].build_request(sent, target).upstream.body


def _target(streams: bool) -> str:  # noqa: FBT001 one switch, named at its one caller
    return "/v1beta/models/m:streamGenerateContent?alt=sse" if streams else "/v1beta/models/m:generateContent"


def slug_of(provider: str) -> str:
    """Our name for a provider of the recordings."""
    return _SLUGS.get(provider, provider)


def read_exchanges(folder: Path) -> Iterator[Exchange]:
    """Every exchange of a folder that carries a request to a generation API.

    Raises:
        OSError, msgspec.DecodeError: a file cannot be read.
    """
    for path in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                record = msgspec.json.decode(line, type=Record)
                exchange = _exchange(record)
                if exchange is not None:
                    yield exchange


def _exchange(record: Record) -> Exchange | None:
    wire_format = _API_FORMATS.get(record.api or "")
    path = (record.path or "").partition("?")[0]
    if wire_format is None or not isinstance(record.request_json, dict):
        return None
    if path.endswith(_NOT_GENERATION):
        return None
    if _PROMPTS[wire_format] not in record.request_json or (wire_format == "cohere" and "/v2/" not in path):
        return None
    if wire_format == "cohere" and record.provider != "cohere":
        return None
    body = record.body.encode() if record.body is not None else base64.b64decode(record.body_b64 or "")
    if wire_format == "bedrock_converse" and record.streaming and record.body is not None:
        body = _framed(body)
    own = wire_format in DIALECT_FORMATS.values()
    headers = {name.lower(): str(value) for name, value in (record.response_headers or {}).items()}
    default = "text/event-stream" if record.streaming else "application/json"
    return Exchange(
        id=record.id,
        provider=record.provider,
        wire_format=wire_format,
        streams=record.streaming,
        status=record.status,
        content_type=headers.get("content-type", default),
        body=body,
        request=msgspec.json.encode(record.request_json) if own else b"",
    )


def _framed(body: bytes) -> bytes:
    """An event stream that was saved as lines of JSON, one event each, framed again."""
    framed = b""
    for line in body.splitlines():
        if not line.strip():
            continue
        for name, payload in msgspec.json.decode(line, type=dict[str, msgspec.Raw]).items():
            kind = "exception" if name.endswith("Exception") else "event"
            framed += message_bytes(name, bytes(payload), kind)
    return framed


def with_fields(body: bytes, dialect: str, **fields: Any) -> bytes:
    """The body with these top-level fields; Google's has no model, it stands in the path."""
    top: dict[str, Any] = dict(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    if dialect == "google_generate":
        fields.pop("model", None)
        fields.pop("stream", None)
    return msgspec.json.encode(top | fields)


def says(error: TheRouterError) -> str:
    """Why a request cannot be asked."""
    return f"{error.code}: {error.param or error.message}"
