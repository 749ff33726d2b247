"""Speech and transcriptions as streams, with the official library, through the whole system, metered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from openai import OpenAI

from tests.acceptance.cast import global_alone
from tests.acceptance.test_openai_client import eventually
from tests.laws.made import sse
from tests.system import running_system
from tests.upstreams.answering import Asked, Reply, answering

pytestmark = [global_alone, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
USAGE = {"type": "tokens", "total_tokens": 50, "input_tokens": 37, "output_tokens": 13,
         "input_token_details": {"audio_tokens": 37}}  # fmt: skip
HEARD = sse(
    {"type": "transcript.text.delta", "delta": "Good "},
    {"type": "transcript.text.delta", "delta": "morning."},
    {"type": "transcript.text.done", "text": "Good morning.", "usage": USAGE},
    "[DONE]",
)
SAID = sse(
    {"type": "speech.audio.delta", "audio": "SUQz"},
    {"type": "speech.audio.done", "usage": {"input_tokens": 3, "output_tokens": 20, "total_tokens": 23}},
)


@contextmanager
def upstream() -> Iterator[tuple[str, list[bytes]]]:
    """(address, the bodies that it was sent)."""
    seen: list[bytes] = []

    def answer(asked: Asked) -> Reply:
        seen.append(asked.body)
        return Reply(SAID if asked.path.endswith("/speech") else HEARD, content_type="text/event-stream")

    with answering(answer) as address:
        yield address, seen


def test_speech_and_transcriptions_stream_to_the_official_library_and_are_billed() -> None:
    with upstream() as (address, seen), running_system({"openai": address}) as system:
        key = system.new_key("audio")
        with OpenAI(base_url=f"{system.url}/v1", api_key=key, max_retries=0) as client:
            raw: Any = client.audio.transcriptions.with_raw_response.create(
                model="openai/gpt-4o-transcribe", file=("a.mp3", b"ID3" + b"x" * 9_000), stream=True
            )
            events = list(raw.parse())
            assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
            assert events[-1].text == "Good morning."
            assert b'name="stream"\r\n\r\ntrue' in seen[-1]
            row = eventually(system, key, raw.headers["x-request-id"])
            assert (row["prompt_tokens"], row["completion_tokens"]) == (37, 13)
            assert row["total_cost"] > 0
            spoken = client.audio.speech.with_raw_response.create(
                model="openai/gpt-4o-mini-tts", voice="alloy", input="Good morning.", stream_format="sse"
            )
            assert spoken.headers["content-type"].startswith("text/event-stream")
            assert b"speech.audio.done" in spoken.parse().read()
            row = eventually(system, key, spoken.headers["x-request-id"])
            assert (row["prompt_tokens"], row["completion_tokens"]) == (3, 20)
            assert row["total_cost"] > 0
