"""Every wire format that a provider of the catalogue speaks, end to end through a pod of that provider."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from handlers.catalog.loading import load_catalog
from handlers.errors import FailureClass
from handlers.provider.signing import SCHEMES
from handlers.translation.registry import ADAPTERS
from handlers.transport.wire import FrameKind
from tests.handlers.provider.pod_driver import Answer, PodProcess, chat
from tests.upstreams.answers import WORDS
from tests.upstreams.scripted import ScriptedUpstream


class Format(NamedTuple):
    """A provider that speaks a wire format, and what its requests look like."""

    provider: str
    endpoint: str
    base_path: str
    signed_by: str
    credential: str = "provider-credential"
    counts: tuple[int, int, int] = (8, 3, 9)
    """Input, read from cache, output."""


AWS_KEY = msgspec.json.encode({"access_key_id": "AKIDEXAMPLE", "secret_access_key": "made-up"}).decode()
FORMATS = [
    Format("openai", "openai/gpt-4o-mini@openai", "/v1", "authorization"),
    Format("anthropic", "anthropic/claude-sonnet-4.5@anthropic", "/v1", "x-api-key"),
    Format("gemini", "google/gemini-2.5-flash@gemini", "/v1beta", "x-goog-api-key"),
    Format("bedrock", "anthropic/claude-3-haiku@bedrock", "", "x-amz-date", AWS_KEY),
    Format(
        "cohere", "cohere/command@cohere", "/v2", "authorization", counts=(11, 0, 9)
    ),  # what it bills, cached or not
]
FAULTS = {
    "status code=503": FailureClass.OVERLOADED,
    "status code=429 retry_after=3": FailureClass.RATE_LIMITED,
    "slam": FailureClass.TRUNCATED,
    "garbage": FailureClass.MALFORMED,
    "truncate-at k=100": FailureClass.TRUNCATED,
}


def ask(pod: PodProcess, row: Format, play: str, *, stream: bool) -> Answer:
    return pod.ask(chat(play, stream=stream, max_tokens=100), stream=stream, endpoint=row.endpoint)


def said(answer: Answer, *, stream: bool) -> str:
    if not stream:
        return str(msgspec.json.decode(answer.body)["choices"][0]["message"]["content"])
    events = [line[6:] for line in answer.body.split(b"\n") if line.startswith(b"data: {")]
    deltas: list[dict[str, Any]] = [
        choice["delta"] for event in events for choice in msgspec.json.decode(event)["choices"]
    ]
    return "".join(delta.get("content") or "" for delta in deltas)


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.provider)
def test_a_format_end_to_end(upstream: ScriptedUpstream, row: Format) -> None:
    with PodProcess(row.provider, f"{upstream.url}{row.base_path}", credential=row.credential) as pod:
        for stream in (False, True):
            for play in ("well", "well split=1", "well split=64"):
                answer = ask(pod, row, play, stream=stream)
                assert answer.end.failure is None, play
                assert said(answer, stream=stream) == "".join(WORDS), play
                usage = answer.end.usage
                assert (usage.input, usage.cache_read, usage.output) == row.counts, play
                assert not usage.estimated, play
                assert upstream.received[-1].header(row.signed_by), play
            for play, failure in FAULTS.items():
                answer = ask(pod, row, play, stream=stream)
                assert (answer.kinds, answer.end.failure) == ([FrameKind.END], failure), play


@pytest.mark.parametrize("region", ["global", "china"])
def test_every_provider_of_the_catalogue_can_be_spoken_to_and_signed_for(region: str) -> None:
    providers = load_catalog(region).providers.values()
    assert {provider.slug: provider.auth for provider in providers if provider.auth not in SCHEMES} == {}
    assert {provider.slug: provider.wire_format for provider in providers if provider.wire_format not in ADAPTERS} == {}
