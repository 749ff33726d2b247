"""`therouter replay` over a small made folder: real processes, every dialect, judged and billed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.local import cli
from tests.laws.made import HOSTILE_TEXT
from tests.laws.test_anthropic_messages import message
from tests.laws.test_openai_chat import TestOpenaiChat as Chat

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def record(
    number: int, provider: str, api: str, path: str, request: dict[str, Any], body: bytes, **extra: Any
) -> bytes:
    fields = {"id": f"made-{number}", "provider": provider, "api": api, "path": path, "request_json": request}
    return msgspec.json.encode(fields | {"status": 200, "streaming": False, "body": body.decode()} | extra)


def write(folder: Path, name: str, *records: bytes) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wb") as file:
        file.write(b"\n".join(records))


def test_a_folder_of_recordings_is_played_judged_and_billed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chat, messages = "/v1/chat/completions", "/v1/messages"
    limited = msgspec.json.encode({"error": {"code": "rate_limit_exceeded", "message": "x"}})
    write(
        tmp_path,
        "openai",
        record(1, "openai", "chat.completions", chat, ASKED | {"stream": True}, Chat.made["text"], streaming=True),
        record(2, "openai", "chat.completions", chat, ASKED, limited, status=429),
        record(3, "openai", "embeddings", "/v1/embeddings", {"input": "a"}, b"{}"),
    )
    asked = ASKED | {"max_tokens": 50}
    kept = asked | {"container": "container_1"}
    said = message([{"type": "text", "text": HOSTILE_TEXT}])
    write(
        tmp_path,
        "anthropic",
        record(4, "anthropic", "messages", messages, asked, said),
        record(5, "anthropic", "messages", messages, kept, said),
    )
    status = cli.main(["replay", str(tmp_path), "--json"])
    played = msgspec.json.decode(capsys.readouterr().out)
    assert [(one["dialect"], one["reason"]) for one in played if one["verdict"] == "miss"] == []
    verdicts = {(one["exchange"], one["dialect"]): one["verdict"] for one in played}
    dialects = ("openai_chat", "openai_responses", "anthropic_messages", "google_generate", "google_interactions")
    assert {verdicts["made-1", dialect] for dialect in dialects} == {"valid"}
    assert {verdicts["made-4", dialect] for dialect in dialects} == {"valid"}
    assert {verdicts["made-5", dialect] for dialect in dialects} == {"refused"}
    assert verdicts["made-2", "openai_chat"] == "error"
    assert len(verdicts) == 16
    for one in played:
        if one["verdict"] == "valid":
            assert one["recorded_tokens"] == one["billed_tokens"]
            assert one["recorded_tokens"] == [20, 9]
    assert status == 0


def test_a_folder_without_exchanges_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", str(tmp_path)]) == 1
    assert "no exchange" in capsys.readouterr().err
