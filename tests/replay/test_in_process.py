"""Recorded answers through the translation into every dialect, judged by the official SDKs' strict models.

The same judgement through the whole gateway, over everything: `therouter replay ../shared/recordings`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from handlers.local.replay_exchanges import DIALECT_FORMATS
from handlers.local.replay_judges import Judge, load_judges
from handlers.local.replay_reading import carries_error, read_answer
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.dialects.base import STREAM_TYPE
from handlers.translation.registry import ADAPTERS
from tests.handlers.translation.driving import attempt, play
from tests.laws.recordings import Recording, recorded

JUDGES = cache(load_judges)
NORMALISED = frozenset({"normalise_answers"})


def answers(wire_format: str) -> list[Recording]:
    found = recorded(wire_format, streams=True) + recorded(wire_format, streams=False)
    return [one for one in found if not carries_error(wire_format, one.body)]


@pytest.mark.parametrize("wire_format", sorted(ADAPTERS))
@pytest.mark.parametrize("dialect", sorted(DIALECT_FORMATS))
@pytest.mark.parametrize("stream", [True, False])
def test_every_answer_is_valid_in_every_dialect_and_says_what_was_recorded(
    wire_format: str, dialect: str, stream: bool
) -> None:
    judge: Judge = JUDGES()[dialect]
    for one in answers(wire_format):
        upstream = UpstreamTarget(wire_format, "model-1", one.provider, quirks=NORMALISED)
        target = "/v1beta/models/m:streamGenerateContent?alt=sse"
        translation = attempt(
            dialect=dialect, upstream=upstream, stream=stream, upstream_stream=one.streams, target=target
        )
        outputs = play(translation, one.body)
        assert translation.outcome.failure is None, one.id
        told = b"".join(output.data + output.final for output in outputs)
        assert judge(told, stream) == "", one.id
        assert (translation.content_type == STREAM_TYPE) is stream
        _compare(one, wire_format, dialect, told, translation.outcome.usage)


def _compare(one: Recording, wire_format: str, dialect: str, told: bytes, usage: Any) -> None:
    reading = read_answer(wire_format, one.body)
    assert read_answer(DIALECT_FORMATS[dialect], told).text.strip() == reading.text.strip(), one.id
    if reading.prompt_tokens is not None:
        assert (usage.prompt_tokens, usage.completion_tokens) == (reading.prompt_tokens, reading.completion_tokens), (
            one.id
        )
