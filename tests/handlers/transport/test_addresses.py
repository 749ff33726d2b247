from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from handlers.transport.addresses import (
    Address,
    bound_address,
    connect,
    dial,
    listen,
    notice_silent_loss,
    parse_address,
)
from tests.handlers.transport.recorders import run
from tests.namespaces import Namespace, NoNamespace
from tests.waiting import eventually


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/p.sock", Address("/run/p.sock", "", 0)),
        ("127.0.0.1:80", Address("", "127.0.0.1", 80)),
        ("[::1]:8080", Address("", "::1", 8080)),
        ("pod.example:0", Address("", "pod.example", 0)),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "unix:", "localhost", ":80", "h:", "h:x", "h:65536", "h:-1", "h:\u0663"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        parse_address(text)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_bound_address_can_be_connected_to(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        accepted = asyncio.Event()

        class Accepting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.set()
                transport.close()

        server = await listen(Accepting, "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s")
        address = bound_address(server)
        assert not address.endswith(":0")
        await connect(asyncio.Protocol, address)
        await accepted.wait()
        server.close()
        await asyncio.sleep(0.01)

    run(main())


def test_quiet_tcp_connections_are_probed_and_unix_ones_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        probed: list[int] = []

        class Accepting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                notice_silent_loss(transport)
                connection = transport.get_extra_info("socket")
                probed.append(connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                transport.close()

        for address in ("127.0.0.1:0", f"unix:{tmp_path}/s"):
            server = await listen(Accepting, address)
            await connect(asyncio.Protocol, bound_address(server))
            await eventually(lambda: len(probed) > 0)
            server.close()
        await eventually(lambda: len(probed) == 2)
        assert probed == [1, 0]
        await asyncio.sleep(0.01)

    run(main())


def test_a_busy_port_is_an_os_error() -> None:
    async def main() -> None:
        server = await listen(asyncio.Protocol, "127.0.0.1:0")
        with pytest.raises(OSError, match="in use"):
            await listen(asyncio.Protocol, bound_address(server))
        server.close()

    run(main())


class Closing(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def test_the_first_address_of_a_host_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def resolve(host: str, port: int, **_: Any) -> list[Any]:
            assert host == "pod.example"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        server = await listen(Closing, "127.0.0.1:0")
        port = int(bound_address(server).rpartition(":")[2])
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        for addresses in (["127.0.0.2", "127.0.0.1"], ["127.0.0.1"]):  # noqa: B007 the resolver reads it
            await dial(Closing, "pod.example", port)
        for addresses in (["127.0.0.2", "127.0.0.3"], []):  # noqa: B007 the resolver reads it
            with pytest.raises(ConnectionRefusedError):
                await dial(Closing, "pod.example", port)
        server.close()
        await asyncio.sleep(0.01)

    run(main())


IMPATIENT = """
import asyncio, sys, time
from handlers.transport.addresses import dial
from tests.handlers.transport.recorders import run

async def main():
    started = time.monotonic()
    try:
        async with asyncio.timeout(0.1):
            await dial(asyncio.Protocol, "nowhere.example", 443)
    except TimeoutError:
        assert time.monotonic() - started < 0.9
        await asyncio.sleep(1.5)
        print("impatient")

run(main())
"""


def test_a_look_up_that_outlives_its_caller_troubles_nobody() -> None:
    """Asked of a real resolver that never answers: it gives up a second after the question."""
    try:
        namespace = Namespace()
    except NoNamespace as reason:
        pytest.skip(str(reason))
    try:
        done = subprocess.run(
            namespace.command([sys.executable, "-c", IMPATIENT]), env={**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "impatient\n"), done.stderr
        assert namespace.packets_away() > 0, "the resolver was asked"
    finally:
        namespace.close()
