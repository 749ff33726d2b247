"""What the Python of one request costs, stage by stage, without sockets: `python -m tests.bench.stages [--profile]`.

The real protocol objects of the gateway and of a provider pod are joined by transports that keep what is written. Each stage
is fed the bytes of the one before it, so one turn is a whole request:

    gateway in   client's request -> REQUEST and BODY frames on the wire
    pod in       those frames     -> the provider's request
    pod out      provider's answer -> HEAD, DATA and END frames
    gateway out  those frames     -> client's response, usage line in the spool

Figures are processor time and the best of several batches: what the code costs when the caches are warm. The difference to
the figures of `make bench` is the kernel, the other threads, and cold caches.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from handlers.catalog.loading import load_catalog
from handlers.gateway.room import Gateway
from handlers.gateway.spool import Spool
from handlers.keys.grammar import MintedKey, MintKeys, generate_key
from handlers.keys.hashing import BcryptPool, hash_secret
from handlers.keys.principal import KeyLimits, KeyRow, Principal
from handlers.keys.verification import KeyVerifier
from handlers.provider.credentials import Credentials
from handlers.provider.pod import served_endpoints
from handlers.provider.room import ProviderRoom
from handlers.provider.signing import make_signer
from handlers.store.gateway import GatewayStore, LeaseGrant
from handlers.telemetry.logs import Level, Log
from handlers.transport.client import UpstreamPool, parse_origin
from handlers.transport.client_connection import UpstreamConnection
from handlers.transport.wire_client import WireClient
from handlers.transport.wire_client import _Connection as GatewayEnd
from handlers.transport.wire_server import WireServer
from handlers.transport.wire_server import _Connection as PodEnd
from tests.bench.traffic import PROVIDER, chat_body, completion, stream_events

ORIGIN = "http://127.0.0.1:1"
ACCOUNT = "01890000-0000-7000-8000-00000000000a"
USER = "01890000-0000-7000-8000-00000000000b"
STAGES = ("gateway in", "pod in", "pod out", "gateway out")
EVENTS = 50
"""Of the streamed answer."""


class KeptBytes(asyncio.Transport):
    """A transport that keeps what is written until somebody takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[bytes] = []

    def write(self, data: Any) -> None:
        self.kept.append(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.kept += list_of_data

    def take(self) -> bytes:
        kept, self.kept = b"".join(self.kept), []
        return kept

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class Ledger:
    """A database that knows one key and grants all credit."""

    def __init__(self, key: MintedKey) -> None:
        principal = Principal(key.key_id, ACCOUNT, USER, "active", None, KeyLimits(), 90, "prefer")
        self._row = KeyRow(key.key_id, hash_secret(key.secret), "active", None, principal)

    async def find_key(self, key_id: str) -> KeyRow | None:
        return self._row if key_id == self._row.key_id else None

    async def lease(self, *_: object) -> LeaseGrant:
        return LeaseGrant(10**15, 10**15, "active")

    lease_for_key = lease

    async def watch(self) -> tuple[int, int]:
        """The latest change and the epoch: no restore was ever made."""
        return 0, 0

    def __getattr__(self, _: str) -> Any:
        """Whatever else a gateway asks in the background finds nothing."""

        async def nothing(*_: object, **__: object) -> list[Any]:
            return []

        return nothing


class Chain:
    """One client connection through gateway and pod to one provider connection."""

    def __init__(self, folder: Path) -> None:
        mint_keys = MintKeys({"1": os.urandom(32)}, "1")
        self.key = generate_key("global", "local", mint_keys)
        wire_key = os.urandom(32)
        catalog = load_catalog("global", enabled=frozenset({PROVIDER}))
        log = Log(Level.ERROR)
        self.client, self.to_pod, self.to_gateway, self.upstream = (KeptBytes() for _ in range(4))
        ledger = Ledger(self.key)
        wire_client = WireClient("unix:/nowhere", connections_max=1)
        self.gateway = Gateway(
            catalog=catalog,
            enabled=frozenset({PROVIDER}),
            store=cast("GatewayStore", ledger),
            verifier=KeyVerifier(
                find_key=ledger.find_key,
                bcrypt_pool=BcryptPool(),
                mint_keys=mint_keys,
                region="global",
                environment="local",
            ),
            wire_keys={PROVIDER: wire_key},
            pods={PROVIDER: wire_client},
            spool=Spool(folder / "spool"),
            log=log,
        )
        self.gateway.recorder.start()
        self.client_end = self.gateway.server.create_protocol()
        self.client_end.connection_made(self.client)
        self.gateway_end = GatewayEnd(wire_client)
        self.gateway_end.connection_made(self.to_pod)
        wire_client._connections = 1
        wire_client._idle.append(self.gateway_end)
        provider = catalog.providers[PROVIDER]
        signer = make_signer("bearer", "made-up-credential", ORIGIN)
        credentials = Credentials(provider, f"{ORIGIN}/v1", "global", "local", signer, (wire_key,), {})
        pool = UpstreamPool()
        room = ProviderRoom(credentials, served_endpoints(catalog, provider), pool, log)
        self.pod_end = PodEnd(WireServer(room.serve))
        self.pod_end.connection_made(self.to_gateway)
        origin = pool._origins[ORIGIN] = parse_origin(ORIGIN)
        origin.connections = 1
        self.upstream_end = UpstreamConnection(pool, origin)
        self.upstream_end.connection_made(self.upstream)
        origin.idle.append(self.upstream_end)

    def request(self, body: bytes) -> bytes:
        """What a client with an official SDK sends."""
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: application/json\r\n"
            f"Authorization: Bearer {self.key.token}\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.0\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def send(self, request: bytes, answer: list[bytes], spent: list[int]) -> bytes:
        """One request through all stages; adds the nanoseconds of each stage to `spent`; the client's response."""
        clock = time.thread_time_ns
        at_0 = clock()
        self.client_end.data_received(request)
        at_1 = clock()
        self.pod_end.data_received(self.to_pod.take())
        at_2 = clock()
        self.upstream.take()
        response = b""
        spent[0] += at_1 - at_0
        spent[1] += at_2 - at_1
        for data in answer:
            at_3 = clock()
            self.upstream_end.data_received(data)
            at_4 = clock()
            if self.to_gateway.kept:
                self.gateway_end.data_received(self.to_gateway.take())
            spent[2] += at_4 - at_3
            spent[3] += clock() - at_4
            response += self.client.take()
        return response


async def first_answer(path: Chain, request: bytes) -> None:
    """The first request waits for the key and the credit; the rest never does."""
    await path.gateway.revocation.poll()
    path.client_end.data_received(request)
    while not path.to_pod.kept:  # noqa: ASYNC110 - nobody in the code under test would set an event
        await asyncio.sleep(0.01)
    path.pod_end.data_received(path.to_pod.take())
    path.upstream_end.data_received(completion())
    path.gateway_end.data_received(path.to_gateway.take())
    response = path.client.take()
    if not response.startswith(b"HTTP/1.1 200"):
        raise RuntimeError("the stages do not answer as they should")
    await asyncio.sleep(0.05)


async def measure(batches: int, requests: int, *, profile: bool = False) -> dict[str, list[float]]:
    """Microseconds of each stage: `json` per request, `sse` per streamed event (the request's own cost left out)."""
    with tempfile.TemporaryDirectory(prefix="tr-stages-") as folder:
        path = Chain(Path(folder))
        whole, streamed = path.request(chat_body(stream=False)), path.request(chat_body(stream=True))
        await first_answer(path, whole)
        answers = {"json": [completion()], "short": stream_events(1), "long": stream_events(1 + EVENTS)}
        requests_of = {"json": whole, "short": streamed, "long": streamed}
        best = {kind: [float("inf")] * len(STAGES) for kind in answers}
        profiler = cProfile.Profile() if profile else None
        for _ in range(batches):
            for kind, answer in answers.items():
                count = requests if kind == "json" else max(1, requests // 20)
                spent = [0] * len(STAGES)
                if profiler is not None and kind == "json":
                    profiler.enable()
                for _ in range(count):
                    path.send(requests_of[kind], answer, spent)
                if profiler is not None:
                    profiler.disable()
                best[kind] = [min(old, ns / count / 1000) for old, ns in zip(best[kind], spent, strict=True)]
                await asyncio.sleep(0)
        await path.gateway.recorder.stop(1.0)
        if profiler is not None:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(60)
        per_event = [max(0.0, many - one) / EVENTS for many, one in zip(best["long"], best["short"], strict=True)]
        return {"json": best["json"], "sse": per_event}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", action="store_true", help="also print where the time of a JSON request goes")
    figures = asyncio.run(measure(20, 300, profile=parser.parse_args().profile))
    print(f"{'microseconds of Python':24}" + "".join(f"{stage:>13}" for stage in STAGES) + f"{'total':>9}")
    for kind, meaning in (("json", "per JSON request"), ("sse", "per streamed event")):
        row = figures[kind]
        print(f"{meaning:24}" + "".join(f"{value:13.1f}" for value in row) + f"{sum(row):9.1f}")


if __name__ == "__main__":
    main()
