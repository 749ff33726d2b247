from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from handlers.relay import Relay, RouteError, Target, inside, is_public, main, parse_networks, parse_routes

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Way = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def joined(
    serve: Serve, *, reachable: Callable[[str], bool] = lambda _address: True
) -> AsyncIterator[tuple[Relay, Way]]:
    """A host, a relay in front of it, and a caller connected to the relay."""
    host = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay = Relay({0: Target("127.0.0.1", host.sockets[0].getsockname()[1])}, reachable=reachable)
    (port,) = await relay.start("127.0.0.1")
    way = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield relay, way
    finally:
        way[1].close()
        host.close()
        await relay.drain(0)
        await asyncio.sleep(0)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def test_bytes_go_both_ways_unchanged() -> None:
    async def run() -> None:
        content = secrets.token_bytes(3_000_000)
        async with joined(echo) as (_, (reader, writer)):
            writer.write(content)
            writer.write_eof()
            assert await reader.read() == content

    for _ in range(3):
        uvloop.run(run())


def test_one_end_closes_the_other() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    async def run() -> None:
        async with joined(greet) as (relay, (reader, writer)):
            assert await reader.read() == b"bye"
            writer.close()
            for _ in range(100):
                if not relay.connections:
                    return
                await asyncio.sleep(0.01)
            pytest.fail("the caller's side stayed open")

    uvloop.run(run())


def test_a_slow_reader_holds_the_sender_back() -> None:
    sent = 0

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.set_write_buffer_limits(high=65_536)
        for _ in range(2_000):
            writer.write(b"x" * 65_536)
            sent += 65_536
            await writer.drain()

    async def run() -> None:
        async with joined(pour):
            await asyncio.sleep(0.5)
            # The kernel's buffers on two connections and ours; far from the 131 MB that would be sent.
            assert sent < 40_000_000

    uvloop.run(run())


@pytest.mark.claim("C38")
def test_a_name_that_leads_inside_is_refused() -> None:
    async def run() -> None:
        async with joined(echo, reachable=is_public) as (_, (reader, writer)):
            writer.write(b"anything")
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)

    uvloop.run(run())


@pytest.mark.claim("C38", "A68")
@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1", False), ("10.64.0.1", False), ("169.254.169.254", False), ("172.20.0.1", False), ("192.168.1.1", False),
        ("100.64.0.1", False), ("::1", False), ("fd00:ec2::254", False), ("fe80::1", False), ("0.0.0.0", False),
        ("104.18.7.192", True), ("2606:4700::6812:7c0", True),
    ],
)  # fmt: skip
def test_only_the_public_internet_is_outside(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_draining_lets_a_stream_finish_and_takes_no_new_one() -> None:
    release = asyncio.Event()

    async def stream(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"begun ")
        await release.wait()
        writer.write(b"finished")
        writer.close()

    async def run() -> None:
        async with joined(stream) as (relay, (reader, writer)):
            assert await reader.readexactly(6) == b"begun "
            port = writer.get_extra_info("peername")[1]
            drained = asyncio.create_task(relay.drain(5))
            await asyncio.sleep(0.1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            release.set()
            assert await reader.read() == b"finished"
            writer.close()
            await drained
            assert relay.connections == 0

    uvloop.run(run())


@pytest.mark.parametrize(
    "words",
    [[], ["10443"], ["=host"], ["x=host"], ["0=host"], ["70000=host"], ["1=a", "1=b"], ["1="], ["1=a:"], ["1=a:x"]],
)
def test_a_bad_route_is_refused_with_the_form(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RouteError, match="PORT=HOST"):
        parse_routes(words)
    assert main(words) == 2
    assert "PORT=HOST" in capsys.readouterr().err


def test_routes_are_read() -> None:
    routes = parse_routes(["10443=api.example.com", "10444=b", "5432=db.internal:5432"])
    assert routes == {10443: Target("api.example.com", 443), 10444: Target("b", 443), 5432: Target("db.internal", 5432)}


def test_within_networks_only_these_are_called(capsys: pytest.CaptureFixture[str]) -> None:
    may = inside(parse_networks(["10.64.8.0/26", "10.64.9.0/26"]))
    assert [may(address) for address in ("10.64.8.9", "10.64.9.1", "10.64.10.1", "104.18.7.192", "::1")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert main(["--within", "10.64.8.9/26", "5432=db.internal:5432"]) == 2
    assert "--within" in capsys.readouterr().err


@pytest.mark.claim("C57")
def test_a_door_refuses_a_name_that_leads_out_of_its_networks() -> None:
    async def run() -> None:
        async with joined(echo, reachable=inside(parse_networks(["10.64.8.0/26"]))) as (_, (reader, writer)):
            writer.write(b"anything")
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)

    uvloop.run(run())
