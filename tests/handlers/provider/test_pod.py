"""The pod as a process: how it starts, refuses to start, protects its memory and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from handlers.catalog.loading import load_catalog
from handlers.local.probes import accepts
from handlers.provider.pod import choose_address
from handlers.settings import PodSettings, SettingError, Variable
from handlers.transport.wire import FrameKind
from tests.handlers.provider.pod_driver import PodProcess, chat
from tests.upstreams.scripted import ScriptedUpstream
from tests.waiting import PATIENCE_S, until


def settings(provider: str, base_url: str = "") -> PodSettings:
    return PodSettings.parse({Variable.PROVIDER: provider, Variable.LISTEN: "127.0.0.1:0", Variable.BASE_URL: base_url})


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("openai", ""),
        ("openai", "http://127.0.0.1:9000/v1"),
        ("openai", "http://[::1]:9000/v1"),
        ("azure", "https://my-resource.openai.azure.com/openai/v1"),
        ("ollama", "http://10.1.2.3:11434/v1"),
    ],
)
def test_an_override_may_stay_here_or_fill_a_placeholder(provider: str, address: str) -> None:
    row = load_catalog("global", enabled=frozenset({provider})).providers[provider]
    assert choose_address(row, settings(provider, address)) == (address or row.base_url)


@pytest.mark.claim("C23", "A47")
@pytest.mark.parametrize(
    ("provider", "address"),
    [
        ("openai", "https://elsewhere.example/v1"),
        ("openai", "https://api.openai.com.elsewhere.example/v1"),
        ("azure", "https://elsewhere.example/#.openai.azure.com/openai/v1"),
        ("azure", "https://a.b.openai.azure.com/openai/v1"),
        ("openai", "http://127.0.0.1@elsewhere.example/v1"),
        ("openai", "nonsense"),
    ],
)
def test_an_override_cannot_send_a_credential_elsewhere(provider: str, address: str) -> None:
    row = load_catalog("global", enabled=frozenset({provider})).providers[provider]
    with pytest.raises(SettingError, match="THEROUTER_BASE_URL"):
        choose_address(row, settings(provider, address))


@pytest.mark.claim("C45", "C46")
@pytest.mark.parametrize("address", ["https://api.openai.com/v1", "https://api.openai.com./v1", "https://api.z.ai/v1"])
def test_c46_a_self_hosted_provider_is_not_a_way_to_the_other_region(address: str) -> None:
    row = load_catalog("china", enabled=frozenset({"vllm"})).providers["vllm"]
    china = PodSettings.parse(
        {
            Variable.REGION: "china",
            Variable.PROVIDER: "vllm",
            Variable.LISTEN: "127.0.0.1:0",
            Variable.BASE_URL: address,
        }
    )
    with pytest.raises(SettingError, match=r"THEROUTER_BASE_URL.*region_restricted"):
        choose_address(row, china)


def start_without(tmp_path: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "handlers.provider"],
        env={"PATH": os.environ["PATH"], Variable.SECRETS: str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    assert "THEROUTER_PROVIDER" in start_without(tmp_path)


def test_a_missing_wire_key_is_named(tmp_path: Path) -> None:
    variables = {Variable.PROVIDER: "openai", Variable.LISTEN: f"unix:{tmp_path}/s"}
    assert "origin.json" in start_without(tmp_path, **variables)
    (tmp_path / "origin.json").write_text('{"region":"global","environment":"local"}')
    assert "wire/openai" in start_without(tmp_path, **variables)


def test_a_provider_of_the_other_region_does_not_start(tmp_path: Path) -> None:
    variables = {Variable.PROVIDER: "openai", Variable.LISTEN: f"unix:{tmp_path}/s", Variable.REGION: "china"}
    assert "openai" in start_without(tmp_path, **variables)


@pytest.mark.claim("C7", "C37")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_c7_a_pod_leaves_no_core_and_no_readable_socket(pod: PodProcess) -> None:
    limits = Path(f"/proc/{pod.process.pid}/limits").read_text()
    (core,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]
    socket_mode = Path(pod.address.removeprefix("unix:")).stat().st_mode
    assert socket_mode & 0o077 == 0


@pytest.mark.claim("C31")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_c31_a_pod_keeps_no_file_open_but_its_log(pod: PodProcess) -> None:
    pod.ask(chat())
    opened = set()
    descriptors = Path(f"/proc/{pod.process.pid}/fd")
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):  # who is not root does not even see them: a pod refuses to be dumped
            list(descriptors.iterdir())
        return
    for link in descriptors.glob("*"):
        with suppress(FileNotFoundError):  # closed since it was listed
            opened.add(str(link.readlink()))
    regular = {name for name in opened if name.startswith("/") and not name.startswith("/dev/")}
    assert regular == {str(pod.log)}


def test_a_terminated_pod_lets_its_streams_end(upstream: ScriptedUpstream) -> None:
    with PodProcess("openai", f"{upstream.url}/v1") as leaving:
        exchange = leaving.open(chat("well n=20 delay_ms=50", stream=True), stream=True)
        exchange.read_until(FrameKind.DATA)
        leaving.process.send_signal(signal.SIGTERM)
        until(lambda: not accepts(leaving.address))
        with pytest.raises(OSError, match=r"[Rr]efused|[Nn]o such file"):
            leaving.ask(chat())
        answer = exchange.finish()
        assert answer.end.failure is None
        assert b"[DONE]" in answer.body
        assert leaving.process.wait(PATIENCE_S) == 0
        log = leaving.log.read_text()
        assert '"event":"stopped"' in log
        assert '"drained":true' in log


def test_an_idle_pod_stops_at_once(upstream: ScriptedUpstream) -> None:
    with PodProcess("openai", f"{upstream.url}/v1") as idle:
        idle.ask(chat())
        idle.process.send_signal(signal.SIGTERM)
        assert idle.process.wait(PATIENCE_S) == 0, "streams might have ten minutes"


def test_a_killed_pod_leaves_an_exchange_without_end(upstream: ScriptedUpstream) -> None:
    with PodProcess("openai", f"{upstream.url}/v1") as dying:
        exchange = dying.open(chat("hang-after k=5", stream=True), stream=True)
        exchange.read_until(FrameKind.USAGE)
        dying.process.send_signal(signal.SIGKILL)
        while exchange.read():
            pass
        exchange.socket.close()
        assert exchange.answer.ends == []
        assert exchange.answer.usages[-1].output > 0


def test_a_rotated_credential_and_wire_key_are_taken_up_without_a_restart(upstream: ScriptedUpstream) -> None:
    with PodProcess("openai", f"{upstream.url}/v1") as rotated:
        old_credential = rotated.credential
        assert rotated.ask(chat()).end.failure is None
        stream = rotated.open(chat("well n=10 delay_ms=50", stream=True), stream=True)
        rotated.rotate()
        assert upstream.wait_until(lambda _: signs_with(rotated, upstream) == f"Bearer {rotated.credential}")
        assert rotated.credential != old_credential
        rotated.wire_key = rotated.wire_key_before
        assert rotated.ask(chat()).end.failure is None
        assert stream.finish().end.failure is None


def signs_with(pod: PodProcess, upstream: ScriptedUpstream) -> str:
    exchange = pod.open(chat())
    if exchange.is_refused():
        return ""
    return upstream.received[-1].header("authorization")
