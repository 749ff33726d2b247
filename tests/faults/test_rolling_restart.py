"""Every gateway is replaced while 500 streams are open and short requests keep coming: nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import msgspec
import pytest

from tests.faults.reading import read_answer
from tests.faults.upstream_faults import PAIRS, PATHS
from tests.gateways import ExtraGateway, Haste, extra_gateway
from tests.http_client import Answer, Client
from tests.system import RunningSystem, running_system
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S, eventually

STREAMS = 500
EVENTS = 10
FILES = 4 * STREAMS
MODEL = PAIRS[0].model
DIALECT = "openai_chat"
EXPECTED = "".join(f"word{number} " for number in range(EVENTS))


class Balancer:
    """Sends each new connection to the next gateway that is in service, as a load balancer does."""

    def __init__(self) -> None:
        self.in_service: list[int] = []
        self._turn = itertools.count()

    def next_port(self) -> int:
        return self.in_service[next(self._turn) % len(self.in_service)]


def body(marker: str, *, stream: bool) -> bytes:
    said = [{"role": "user", "content": f"{{{{play {marker}}}}}"}]
    return msgspec.json.encode({"model": MODEL, "max_tokens": 64, "stream": stream, "messages": said})


async def ask(
    balancer: Balancer, key: str, marker: str, *, stream: bool, on_data: Callable[[Answer], None] | None = None
) -> Answer:
    client = Client(balancer.next_port(), key)
    answer = await client.post(PATHS[DIALECT], body(marker, stream=stream), 60.0, on_data)
    client.close()
    return answer


async def keep_asking(balancer: Balancer, key: str, over: asyncio.Event, answers: list[Answer]) -> None:
    while not over.is_set():
        answers.append(await ask(balancer, key, "well", stream=False))
        await asyncio.sleep(0.02)


async def more(answers: list[Answer], count: int) -> None:
    """Wait for so many more answers."""
    wanted = len(answers) + count
    await eventually(lambda: len(answers) >= wanted)


async def replace_all(
    balancer: Balancer, short: list[Answer], old: list[ExtraGateway], new: list[ExtraGateway]
) -> None:
    """One after the other: the new one into service, the old one out of it, and then SIGTERM."""
    for leaving, coming in zip(old, new, strict=True):
        balancer.in_service.append(coming.port)
        balancer.in_service.remove(leaving.port)
        await more(
            short, 2
        )  # clusters give their balancers some time to hear of it: the last one sent here has its answer
        process = leaving.child.process
        assert process is not None
        process.terminate()


@contextmanager
def files_allowed(wanted: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(wanted, before[1])), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def roll(
    system: RunningSystem, upstream: ScriptedUpstream, old: list[ExtraGateway], new: list[ExtraGateway]
) -> tuple[list[Answer], list[Answer]]:
    """(The answers to the streams, those to the short requests.)"""
    balancer, key, over = Balancer(), system.new_key(), asyncio.Event()
    balancer.in_service = [gateway.port for gateway in old]
    begun: set[int] = set()
    asked = partial(ask, balancer, key, f"well n={EVENTS} gate=replaced", on_data=lambda answer: begun.add(id(answer)))
    streams = [asyncio.create_task(asked(stream=True)) for _ in range(STREAMS)]
    short: list[Answer] = []
    asking = asyncio.create_task(keep_asking(balancer, key, over, short))
    await eventually(lambda: len(begun) == STREAMS or any(stream.done() for stream in streams))
    await replace_all(balancer, short, old, new)
    done = Counter(stream.result().status for stream in streams if stream.done())
    assert not done, f"they were to be open all the while: {done}"
    upstream.tell_heard("replaced")
    answers = await asyncio.gather(*streams)
    await more(short, 10)
    over.set()
    await asking
    return answers, short


@pytest.mark.claim("C66")
def test_a_rolling_restart_breaks_none_of_five_hundred_streams() -> None:
    with ExitStack() as stack:
        stack.enter_context(files_allowed(FILES))
        upstream = stack.enter_context(ScriptedUpstream())
        system = stack.enter_context(running_system({"groq": f"{upstream.url}/openai/v1"}, log_level="error"))
        made = [stack.enter_context(extra_gateway(system, Haste(), f"roll{n}")) for n in range(4)]
        streams, short = asyncio.run(roll(system, upstream, made[:2], made[2:]))
        ended = [gateway.child.process.wait(PATIENCE_S) for gateway in made[:2] if gateway.child.process is not None]
    broken = [
        answer
        for answer in streams
        if not answer.complete or read_answer(DIALECT, answer, stream=True).text != EXPECTED
    ]
    assert not broken, f"{len(broken)} broken streams"
    assert all(answer.complete and answer.status == 200 for answer in short)
    assert ended == [0, 0], "each old gateway has ended by itself once its streams were over"
