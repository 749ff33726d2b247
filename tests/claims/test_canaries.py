"""The search is tested before anything is judged by it: every encoding, every kind of place, and no false alarm."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.claims.canaries import Canaries, Place, Scanner, deleted_files, environments, files, text, waiting_process

ENCODERS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "lower case": lambda canary: canary.lower().encode(),
    "reversed": lambda canary: canary[::-1].encode(),
    "utf-16-le": lambda canary: canary.encode("utf-16-le"),
    "utf-16-be": lambda canary: canary.encode("utf-16-be"),
    "base64": lambda canary: base64.b64encode(canary.encode()),
    "base64 +1": lambda canary: base64.b64encode(b"{" + canary.encode() + b"}"),
    "base64 +2": lambda canary: base64.b64encode(b"[{" + canary.encode() + b"}"),
    "base64url": lambda canary: base64.urlsafe_b64encode(b"?" + canary.encode()),
    "hexadecimal": lambda canary: canary.encode().hex().encode(),
    "hexadecimal, upper": lambda canary: canary.encode().hex().upper().encode(),
    "percent": lambda canary: "".join(f"%{ord(character):02X}" for character in canary).encode(),
    "JSON escapes": lambda canary: "".join(f"\\u{ord(character):04x}" for character in canary).encode(),
    "masked to its beginning": lambda canary: f"{canary[:12]}***".encode(),
    "masked to its end": lambda canary: f"***{canary[-12:]}".encode(),
}


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=list(ENCODERS))
def test_every_encoding_is_found(encode: Callable[[str], bytes]) -> None:
    canaries = Canaries()
    canary = canaries.plant("body: user text")
    for before in (b"", b"{\x00\xff ", secrets.token_bytes(1000) + b"\n"):
        hits = Scanner(canaries).scan(text("log", before + encode(canary) + b" tail"))
        assert {hit.position for hit in hits} == {"body: user text"}


@pytest.mark.parametrize("shape", ["openai", "anthropic", "aws", "google", "stripe"])
def test_keys_are_found_by_what_is_inside(shape: str) -> None:
    canaries = Canaries()
    key = canaries.plant("header: authorization", shape)
    assert Scanner(canaries).scan(text("log", f"refused {key}".encode()))


def test_nothing_is_found_in_noise() -> None:
    canaries = Canaries()
    for number in range(200):
        canaries.plant(f"position {number}")
    noise = base64.b64encode(secrets.token_bytes(200_000)) + secrets.token_hex(100_000).encode()
    assert Scanner(canaries).scan(text("noise", noise)) == []


def test_a_hit_names_position_and_place_and_never_the_canary() -> None:
    canaries = Canaries()
    canary = canaries.plant("tool arguments")
    (hit, *_) = Scanner(canaries).scan(text("metrics", b"model=" + canary.encode()))
    assert (hit.position, hit.place, hit.encoding) == ("tool arguments", "metrics: metrics[0]", "plain")
    assert canary not in repr(hit)


def test_one_position_has_one_canary() -> None:
    canaries = Canaries()
    assert canaries.plant("a") == canaries.plant("a") != canaries.plant("b")


def test_files_are_searched_at_any_depth(tmp_path: Path) -> None:
    canaries = Canaries()
    deep = tmp_path / "data" / "base" / "5"
    deep.mkdir(parents=True)
    (deep / "16384").write_bytes(b"\x00" * 8192 + canaries.plant("body").encode())
    (tmp_path / "clean").mkdir()
    scanner = Scanner(canaries)
    (hit, *_) = scanner.scan(files("database", tmp_path / "data"))
    assert hit.place == "database: data/base/5/16384"
    assert scanner.scan(files("clean", tmp_path / "clean")) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_deleted_files_are_searched() -> None:
    canaries = Canaries()
    with tempfile.NamedTemporaryFile() as file:
        file.write(canaries.plant("body").encode())
        file.flush()
        Path(file.name).unlink()
        hits = Scanner(canaries).scan(deleted_files("deleted files", [os.getpid()]))
        Path(file.name).touch()
    assert hits


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_environments_and_command_lines_are_searched() -> None:
    canaries = Canaries()
    environment = {**os.environ, "PROMPT": canaries.plant("environment")}
    with waiting_process(environment, canaries.plant("argument")) as process:
        hits = Scanner(canaries).scan(environments("processes", [process.pid]))
    assert {hit.position for hit in hits} == {"environment", "argument"}


def test_a_place_without_a_found_control_is_no_evidence() -> None:
    canaries = Canaries()
    places = [
        text("log", b"line " + canaries.leak("log").encode()),
        text("metrics", b"nothing was leaked here"),
        text("spool", canaries.leak("another place").encode()),
    ]
    scanner = Scanner(canaries)
    assert scanner.missed_controls(places) == ["metrics", "spool"]
    assert scanner.scan_all(places) == []


def test_a_control_counts_only_in_its_own_place() -> None:
    canaries = Canaries()
    control = canaries.leak("log").encode()
    assert Scanner(canaries).missed_controls([Place("spool", lambda: [("line", control)])]) == ["spool"]


def test_the_search_is_linear_in_the_content_whatever_the_number_of_canaries() -> None:
    canaries = Canaries()
    for number in range(2_000):
        canaries.plant(f"position {number}")
    content = (b"some_ordinary_identifier another_rather_long_identifier 0123456789abcdef\x00" * 1000) * 10
    started = time.process_time()
    Scanner(canaries).scan(text("large", content))
    assert time.process_time() - started < 10
