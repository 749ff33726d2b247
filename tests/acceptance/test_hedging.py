"""A late first token: the second endpoint answers, the first is cancelled, and both are accounted for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.acceptance.cast import global_alone
from tests.acceptance.test_openai_client import eventually
from tests.gateways import Haste, extra_gateway
from tests.system import RunningSystem, running_system
from tests.upstreams.answers import WORDS
from tests.upstreams.scripted import ScriptedUpstream

pytestmark = global_alone
MODEL = "meta-llama/llama-3.3-70b-instruct"


@dataclass
class Track:
    system: RunningSystem
    key: str
    slow: ScriptedUpstream
    quick: ScriptedUpstream


@pytest.fixture(scope="module")
def track() -> Iterator[Track]:
    with ScriptedUpstream() as slow, ScriptedUpstream(obedient=False) as quick:
        addresses = {"groq": f"{slow.url}/openai/v1", "together": f"{quick.url}/v1"}
        with running_system(addresses) as system:
            yield Track(system, system.new_key("hedging"), slow, quick)


def ask(
    track: Track, play: str, *, hedge_after: float | None = 0.2, stream: bool = True, url: str = ""
) -> httpx.Response:
    body = {
        "model": MODEL,
        "max_tokens": 32,
        "stream": stream,
        "messages": [{"role": "user", "content": f"{{{{play {play}}}}}"}],
        "provider": {"order": ["groq", "together"], "allow_fallbacks": False, "hedge_after": hedge_after},
    }
    headers = {"Authorization": f"Bearer {track.key}"}
    return httpx.post(f"{url or track.system.url}/v1/chat/completions", headers=headers, json=body, timeout=30)


def words_of(answer: httpx.Response) -> str:
    events = [line[6:] for line in answer.text.split("\n") if line.startswith("data: {")]
    return "".join(word for word in WORDS if any(f'"content":"{word}"' in event for event in events))


def test_the_first_to_speak_answers_and_the_other_is_cancelled_and_shown(track: Track) -> None:
    started = time.monotonic()
    answer = ask(track, "late ms=8000")
    assert time.monotonic() - started < 5
    assert answer.headers["x-therouter-provider"] == "together"
    assert answer.text.count("data: [DONE]") == 1
    assert answer.text.count('"content":"quick "') == 1
    assert words_of(answer) == "".join(WORDS)
    provider, _, lost_id = answer.headers["x-therouter-hedge-lost"].partition(" ")
    assert provider == "groq"
    seen = track.slow.received[-1]
    assert track.slow.wait_until(lambda _: seen.hung_up_at is not None, 3)
    won = eventually(track.system, track.key, answer.headers["x-request-id"])
    lost = eventually(track.system, track.key, lost_id)
    assert (won["provider"], won["http_status"]) == ("together", 200)
    assert won["cost_nano"] > 0
    assert (lost["provider"], lost["http_status"], lost["cost_nano"]) == ("groq", 499, 0)
    assert all(rule.difference == 0 for rule in track.system.access.store.check_ledger())


def test_who_speaks_in_time_is_not_raced(track: Track) -> None:
    before = len(track.quick.received)
    for play, options in (
        ("well", {"hedge_after": 30.0}),
        ("late ms=600", {"hedge_after": None}),
        ("late ms=600", {"stream": False}),
    ):
        answer = ask(track, play, **options)
        assert (answer.status_code, answer.headers["x-therouter-provider"]) == (200, "groq")
        assert "x-therouter-hedge-lost" not in answer.headers
    assert len(track.quick.received) == before


def test_a_failure_of_the_first_is_silent_while_the_second_runs_and_races_are_bounded(track: Track) -> None:
    answers = [ask(track, "late ms=500 code=500") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 6, "raced or fallen back, each is served"
    assert all(answer.text.count('"content":"quick "') == 1 for answer in answers)
    raced = sum("x-therouter-hedge-lost" in answer.headers for answer in answers)
    assert raced <= 2, "at most a few of so few requests"


def test_a_client_of_a_race_is_kept_company_until_somebody_speaks(track: Track) -> None:
    """A race that nobody wins for long looks like any other silence: signs of life, then one whole answer or one error."""
    for hedge_after in (0.2, 1.8):  # the race begins before the first sign of life, and after it
        with extra_gateway(track.system, Haste(keep_alive_s=0.5), f"race{hedge_after}") as gateway:
            track.quick.play("late", ms="5000")
            answer = ask(track, "late ms=20000", hedge_after=hedge_after, url=gateway.url)
            assert answer.text.count(": keep-alive") >= 2
            assert answer.text.index(": keep-alive") < answer.text.index(": served by provider=together")
            lost = answer.text.partition(": hedge lost by groq ")[2].partition("\n")[0]
            assert len(lost) == 36, "headers had left, so the loser is named in a comment"
            assert (words_of(answer), answer.text.count("data: [DONE]")) == ("".join(WORDS), 1)
            track.quick.play("late", ms="3000", code="500")
            failed = ask(track, "late ms=4000 code=500", hedge_after=hedge_after, url=gateway.url)
            assert failed.text.count('"finish_reason":"error"') == 1, "one terminal error, after both have failed"
            assert ": keep-alive" in failed.text
            assert "[DONE]" not in failed.text
