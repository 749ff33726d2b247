"""The side-by-side run of both regions' tests, a few of each here; `make sovereignty` runs them all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.claims.canaries import make_canary
from tests.faults.sovereignty import ALL_TESTS, PROJECT, SMOKE_TESTS, Run, main, search, side_by_side
from tests.namespaces import Namespace, NoNamespace

SOUND = Run("global", 10, 0, 1, 0, (), 2, 100, 1_000, 3, (), ())


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    try:
        made = Namespace()
    except NoNamespace as reason:
        pytest.skip(str(reason))
    yield made
    made.close()


@pytest.mark.claim("C46", "C47", "C49", "A08")
def test_a08_tests_of_both_regions_pass_side_by_side_without_a_packet_or_a_word_between_them(
    capsys: pytest.CaptureFixture[str], namespace: Namespace
) -> None:
    assert namespace.packets_away() == 0
    assert main(["--smoke"]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    for region in ("global", "china"):
        assert f"{region:<7} " in said
    assert said.count("0 failed") == 2
    assert said.count("packets away: 0 (of 2 sent on purpose, 2 counted)") == 2
    assert said.count("the other region's in 0") == 2


def test_what_is_run_is_there() -> None:
    assert [path for path in (*ALL_TESTS, *SMOKE_TESTS) if not (PROJECT / path).exists()] == []


def test_packets_of_both_kinds_are_counted_and_loopback_is_not(namespace: Namespace) -> None:
    here = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    namespace.run(sys.executable, "-c", here)
    assert namespace.packets_away() == 0
    send = "import socket; socket.socket(socket.{}, socket.SOCK_DGRAM).sendto(b'x', ('{}', 53))"
    namespace.run(sys.executable, "-c", send.format("AF_INET", "198.51.100.1"))
    assert namespace.packets_away() == 1
    namespace.run(sys.executable, "-c", send.format("AF_INET6", "2001:db8:1::1"))
    assert namespace.packets_away() == 2
    told = [line.split()[1:] for line in namespace.destinations()]
    assert told == [["198.51.100.1", "udp", "53"], ["2001:db8:1::1", "udp", "53"]]
    assert namespace.interfaces() == {"lo", "away", "nothing"}


def test_a_look_up_tells_the_name_and_a_connection_its_address(namespace: Namespace) -> None:
    tried = "import socket; socket.setdefaulttimeout(0.2); socket.create_connection(('{}', 443))"
    for host in ("stray.example", "2001:db8:1::2"):
        run = namespace.command([sys.executable, "-c", tried.format(host)])
        assert subprocess.run(run, env={**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}, check=False).returncode
    told = [line.split()[2:] for line in namespace.destinations()]
    assert {(protocol, port, *name) for protocol, port, *name in told} == {
        ("udp", "53", "stray.example"),
        ("tcp", "443"),
    }


def test_a_canary_is_found_in_any_form_and_anywhere(tmp_path: Path) -> None:
    canary, other = make_canary(), make_canary()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "plain").write_text(f"x{canary}y")
    (tmp_path / "hex").write_text(canary.encode().hex())
    (tmp_path / "wide").write_bytes(canary.encode("utf-16-le"))
    (tmp_path / "nothing").write_bytes(os.urandom(1_000))
    (tmp_path / "twin").write_bytes((tmp_path / "hex").read_bytes())
    seen = search(tmp_path, canary, other)
    assert seen.found == {canary: ["deep/plain", "hex", "twin", "wide"], other: []}
    assert seen.files == 5
    assert seen.bytes > 1_000


@pytest.mark.parametrize(
    "broken",
    [{"failed": 1}, {"passed": 0}, {"packets": 1}, {"counted": 1}, {"own": 0}, {"foreign": ("logs/gateway.log",)}],
)
def test_each_thing_that_does_not_hold_makes_the_run_unsound(broken: dict[str, object]) -> None:
    assert SOUND.sound
    assert not SOUND._replace(**broken).sound  # type: ignore[arg-type]


def test_a_test_that_fails_in_a_region_is_told(tmp_path: Path, namespace: Namespace) -> None:
    assert namespace.packets_away() == 0
    failing = tmp_path / "test_failing.py"
    failing.write_text("import logging\n\ndef test_it() -> None:\n    logging.error('no test')\n    assert False\n")
    root = tmp_path / "root"
    root.mkdir()
    runs = side_by_side([str(failing)], root, "0")
    assert [(run.passed, run.failed) for run in runs] == [(0, 1), (0, 1)]
    for run in runs:
        assert len(run.failures) == 1
        assert "test_failing.py::test_it" in run.failures[0]
