"""A provider that says nothing for long, behind a proxy that cuts what is silent: clients get their answer all the same."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from handlers.catalog.entries import Timeouts
from tests.faults.reading import Told, read_answer
from tests.faults.upstream_faults import PAIRS, PATHS, TEXT
from tests.gateways import Haste, extra_gateway
from tests.http_client import Answer, Client
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream

PATIENT = Timeouts(
    headers_ms=900_000,
    first_event_ms=900_000,
    between_bytes_ms=900_000,
    between_events_ms=900_000,
    total_ms=900_000,
)
PAIR = PAIRS[0]
SILENCE_S = 3.5
"""What the proxy stands: seven times what lies between two signs of life, and less than the provider is silent for."""


@contextlib.asynccontextmanager
async def impatient_proxy(port: int, silence_s: float) -> AsyncIterator[int]:
    """A TCP proxy that cuts a connection on which nothing has come back for so long, as CloudFront does."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit_s: float | None) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            while data := await asyncio.wait_for(reader.read(65_536), limit_s):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        there = asyncio.create_task(carry(reader, behind_writer, None))
        await carry(behind_reader, writer, silence_s)
        behind_writer.close()
        await there

    serving: set[asyncio.Task[None] | None] = set()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*(task for task in serving if task is not None))


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    with ScriptedUpstream() as upstream, running_system({PAIR.faulty: f"{upstream.url}/openai/v1"}) as running:
        yield running


def body(dialect: str, marker: str, *, stream: bool) -> bytes:
    said = [{"role": "user", "content": f"{{{{play {marker}}}}}"}]
    fields: dict[str, object] = {"model": PAIR.model, "stream": stream}
    responses = dialect == "openai_responses"
    fields["max_output_tokens" if responses else "max_tokens"] = 64
    fields["input" if responses else "messages"] = said
    return msgspec.json.encode(fields)


async def ask_all(
    port: int, key: str, marker: str, silence_s: float, timeout_s: float
) -> dict[tuple[str, bool], Answer]:
    cases = [(dialect, stream) for dialect in PATHS for stream in (True, False)]
    async with impatient_proxy(port, silence_s) as through:

        async def ask(dialect: str, *, stream: bool) -> Answer:
            client = Client(through, key)
            answer = await client.post(PATHS[dialect], body(dialect, marker, stream=stream), timeout_s)
            client.close()
            return answer

        answers = await asyncio.gather(*(ask(dialect, stream=stream) for dialect, stream in cases))
    return dict(zip(cases, answers, strict=True))


def read_all(answers: dict[tuple[str, bool], Answer]) -> dict[tuple[str, bool], Told]:
    return {case: read_answer(case[0], answer, stream=case[1]) for case, answer in answers.items()}


def test_a_silent_call_completes_through_a_proxy_that_cuts_silence(system: RunningSystem) -> None:
    with extra_gateway(system, Haste(PATIENT, keep_alive_s=0.5), "silent") as gateway:
        started = time.monotonic()
        answers = asyncio.run(ask_all(gateway.port, system.new_key(), "late ms=5000", SILENCE_S, 60.0))
        assert time.monotonic() - started > 5
    for case, told in read_all(answers).items():
        assert (told.wrong, told.error, told.text, told.ended) == ("", "", TEXT, True), case
    for (dialect, stream), answer in answers.items():
        # Nobody had answered when the head left, so it names nobody; the body says it.
        assert "x-therouter-provider" not in answer.headers
        if stream:
            assert f": served by provider={PAIR.faulty} model={PAIR.model} attempts=1".encode() in answer.body
            sign = b'"type": "ping"' if dialect == "anthropic_messages" else b": keep-alive"
            assert answer.body.count(sign) >= 2
        else:
            assert answer.body.startswith(b"  ")
            assert msgspec.json.decode(answer.body)["openrouter_metadata"]["provider"] == PAIR.faulty


def test_a_failure_after_a_sign_of_life_is_told_in_the_body(system: RunningSystem) -> None:
    with extra_gateway(system, Haste(PATIENT, keep_alive_s=0.5), "failing") as gateway:
        answers = asyncio.run(ask_all(gateway.port, system.new_key(), "late ms=5000 code=500", SILENCE_S, 60.0))
    for case, told in read_all(answers).items():
        assert (told.wrong, told.status, told.text, told.ended) == ("", 200, "", False), case
        assert told.error == "provider_unavailable", case


def test_without_signs_of_life_the_proxy_cuts(system: RunningSystem) -> None:
    """What the others prove depends on the proxy being as strict as it says."""
    with extra_gateway(system, Haste(PATIENT), "mute") as gateway:
        answers = asyncio.run(ask_all(gateway.port, system.new_key(), "late ms=5000", SILENCE_S, 60.0))
    assert not any(answer.complete for answer in answers.values())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_minutes_of_silence_at_the_real_times(system: RunningSystem) -> None:
    with extra_gateway(system, Haste(PATIENT), "real") as gateway:
        answers = asyncio.run(ask_all(gateway.port, system.new_key(), "late ms=600000", 30.0, 700.0))
    for case, told in read_all(answers).items():
        assert (told.wrong, told.error, told.text, told.ended) == ("", "", TEXT, True), case
