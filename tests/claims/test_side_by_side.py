"""Both regions at once on one machine, each in a network namespace that has loopback and a counted way into nothing.

packets     every packet that would leave a namespace goes to its interface `away`, which swallows and counts it
canaries    what only one region was told (keys, prompts, credentials, names) is searched for in all that the other wrote
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.claims.canaries import Canaries, Scanner, files, text
from tests.claims.one_region import Orders, Serving, Tried
from tests.namespaces import Namespace, NoNamespace

PROJECT = Path(__file__).resolve().parents[2]
SECRET_PART = slice(-60, -17)
"""Of an API key: what only its owner knows."""
MODELS = {
    "global": {"openai": "openai/gpt-4o-mini", "groq": "meta-llama/llama-3.3-70b-instruct"},
    "china": {"deepseek": "deepseek/deepseek-v4-pro", "moonshot": "moonshotai/kimi-k3"},
}
FOREIGN = {"global": ("tencent/hunyuan-turbos-latest", "volcengine"), "china": ("gpt-4o-mini", "openai")}
OTHER = {"global": "china", "china": "global"}


@dataclass
class Region:
    """One region while it runs, and what it left."""

    orders: Orders
    canaries: Canaries
    namespace: Namespace
    process: subprocess.Popen[str]
    serving: Serving
    tried: Tried
    packets: int

    @property
    def folder(self) -> Path:
        return Path(self.orders.folder) / self.orders.region


def _orders(region: str, folder: Path, canaries: Canaries) -> Orders:
    foreign_model, foreign_provider = FOREIGN[region]
    return Orders(
        region=region,
        folder=str(folder),
        credential=canaries.plant("credential", "openai"),
        key_name=canaries.plant("key name"),
        prompt=f"Hello {canaries.plant('prompt')}",
        models=list(MODELS[region].values()),
        providers=list(MODELS[region]),
        foreign_model=foreign_model,
        foreign_provider=foreign_provider,
    )


@contextmanager
def _process(namespace: Namespace, orders: Orders, temporary: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        namespace.command([sys.executable, "-m", "tests.claims.one_region"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(orders).decode() + "\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the region ended early; its error stands above"
    return line


@pytest.fixture(scope="module")
def regions() -> Iterator[dict[str, Region]]:
    """Both regions have run, at the same time, and have stopped."""
    root = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
    root.chmod(0o711)
    ran: dict[str, Region] = {}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        started = []
        for region in MODELS:
            try:
                namespace = Namespace()
            except NoNamespace as reason:
                pytest.skip(str(reason))
            stack.callback(namespace.close)
            canaries = Canaries()
            orders = _orders(region, root, canaries)
            (root / region).mkdir(mode=0o711)
            temporary = root / region / "tmp"
            temporary.mkdir()
            temporary.chmod(0o1777)
            process = stack.enter_context(_process(namespace, orders, temporary))
            started.append((region, namespace, orders, canaries, process))
        serving = {region: msgspec.json.decode(_hear(process), type=Serving) for region, *_, process in started}
        for region, *_, process in started:
            assert process.stdin is not None
            process.stdin.write(serving[OTHER[region]].key + "\n")
            process.stdin.flush()
        for region, namespace, orders, canaries, process in started:
            tried = msgspec.json.decode(_hear(process), type=Tried)
            canaries.planted["API key"] = serving[region].key[SECRET_PART]
            ran[region] = Region(orders, canaries, namespace, process, serving[region], tried, -1)
        for one in ran.values():
            assert one.process.wait(60) == 0
            one.packets = one.namespace.packets_away()
        yield ran


@pytest.mark.claim("C45", "C46")
def test_c46_both_regions_serve_while_nothing_else_can_be_reached(regions: dict[str, Region]) -> None:
    for region in regions.values():
        for statuses in (region.serving.statuses, region.tried.statuses):
            assert len(statuses) == 6 * len(region.orders.models) + 7
            assert set(statuses) == {200, 201}
        assert region.tried.requests_upstream == 2 * 6 * len(region.orders.models)


@pytest.mark.claim("C46", "A08")
def test_a08_no_packet_leaves_either_region(regions: dict[str, Region]) -> None:
    told = {name: region.namespace.destinations()[: region.packets] for name, region in regions.items()}
    assert {name: region.packets for name, region in regions.items()} == {"global": 0, "china": 0}, told


@pytest.mark.claim("C46")
def test_a_packet_that_leaves_is_counted(regions: dict[str, Region]) -> None:
    send = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('198.51.100.1', 53))"
    for region in regions.values():
        before = region.namespace.packets_away()
        region.namespace.run(sys.executable, "-c", send)
        assert region.namespace.packets_away() == before + 1


@pytest.mark.claim("C45", "A08")
def test_a08_what_belongs_to_the_other_region_is_refused_by_name(regions: dict[str, Region]) -> None:
    for region in regions.values():
        chinese = region.orders.region == "china"
        assert region.tried.refusals == [(status, "region_restricted", chinese) for status in (401, 403, 403)]


@pytest.mark.claim("C46", "C47", "C48", "C49")
def test_c46_nothing_of_one_region_is_in_any_artefact_of_the_other(regions: dict[str, Region]) -> None:
    for name, region in regions.items():
        other = regions[OTHER[name]]
        places = [files("all files", region.folder), text("sent to providers", region.tried.upstream.encode())]
        scanner = Scanner(
            Canaries(
                planted=other.canaries.planted,
                controls={
                    "all files": region.canaries.planted["key name"],
                    "sent to providers": region.canaries.planted["prompt"],
                },
            )
        )
        assert scanner.scan_all(places) == []
        assert scanner.missed_controls(places) == []


@pytest.mark.claim("C47", "C49")
def test_c49_the_regions_share_no_secret(regions: dict[str, Region]) -> None:
    # The epoch of the last restore is kept beside the secrets and is none: a small number, 0 in both.
    secrets = [
        {path.read_bytes() for path in (region.folder / "secrets").glob("*/*") if path.parent.name != "restore"}
        for region in regions.values()
    ]
    assert all(len(found) > 5 for found in secrets)
    assert secrets[0].isdisjoint(secrets[1])


def test_every_duty_was_done_in_both_regions(regions: dict[str, Region]) -> None:
    """A duty that fails writes a line; one that succeeds is quiet."""
    said = {name: (region.folder / "logs" / "schedules.log").read_text() for name, region in regions.items()}
    assert said == {"global": "", "china": ""}
