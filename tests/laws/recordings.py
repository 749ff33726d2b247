"""Recorded answers of real providers, read once for each process; tests skip, saying so, where they are absent."""

from __future__ import annotations

import base64
import gzip
import os
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

FULL = os.environ.get("THEROUTER_LAWS_FULL") == "1"
"""All recordings at many splittings, instead of a sample."""
SAMPLE = 12
# api of a recording -> the wire format it speaks
WIRE_FORMATS = {
    "chat.completions": "openai_chat",
    "messages": "anthropic_messages",
    "responses": "openai_responses",
    "generateContent": "gemini",
    "converse": "bedrock_converse",
    "chat": "cohere",
}


class Recording(NamedTuple):
    """One recorded answer."""

    id: str
    provider: str
    streams: bool
    body: bytes
    request: Any


def recordings_folder() -> Path | None:
    """Where the recordings are, or None."""
    named = os.environ.get("THEROUTER_RECORDINGS")
    folder = Path(named) if named else Path(__file__).parents[2].parent / "shared" / "recordings"
    return folder if folder.is_dir() else None


@cache
def _all() -> dict[str, list[Recording]]:
    folder = recordings_folder()
    found: dict[str, list[Recording]] = {}
    for path in sorted(folder.glob("*.jsonl.gz")) if folder else ():
        with gzip.open(path) as lines:
            for line in lines:
                record = msgspec.json.decode(line)
                wire_format = WIRE_FORMATS.get(record["api"])
                if wire_format is None or record["status"] != 200 or not _speaks(record, wire_format):
                    continue
                found.setdefault(wire_format, []).append(_recording(record))
    return found


def _speaks(record: dict[str, Any], wire_format: str) -> bool:
    """Some recordings carry another API under the same name: those of threads, skills and Ollama's own."""
    if wire_format == "cohere":
        return bool(record["provider"] == "cohere" and "/v2/" in record["path"])
    if wire_format == "bedrock_converse" and record["streaming"] and not record.get("body_b64"):
        return False  # saved as lines of JSON, without their framing
    if wire_format == "openai_responses" and not record["path"].partition("?")[0].endswith("/responses"):
        return False
    request = record.get("request_json")
    return isinstance(request, dict) and _has_prompt(request) and "encoding_format" not in request


def _has_prompt(request: dict[str, Any]) -> bool:
    return any(name in request for name in ("messages", "input", "contents", "prompt"))


def _recording(record: dict[str, Any]) -> Recording:
    text = record.get("body")
    body = text.encode() if text is not None else base64.b64decode(record["body_b64"])
    streams = record["streaming"] and body.lstrip()[:1] not in {b"{", b"["}  # some saved a stream as one body
    return Recording(record["id"], record["provider"], streams, body, record.get("request_json"))


def recorded(wire_format: str, *, streams: bool) -> list[Recording]:
    """Recorded answers of a format: an even sample over all providers, or all of them.

    Answers that were saved empty show nothing and are left out.
    """
    if recordings_folder() is None:
        pytest.skip("no recordings: set THEROUTER_RECORDINGS or place them at ../shared/recordings")
    found = [one for one in _all().get(wire_format, []) if one.streams is streams and one.body.strip()]
    if FULL or len(found) <= SAMPLE:
        return found
    return found[:: max(1, len(found) // SAMPLE)][:SAMPLE]
