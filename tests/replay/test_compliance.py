"""llm-comply, a compliance suite that nobody here wrote, in its five formats against the running gateway."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.replay.apt_upstream import apt_upstream


class Suite(NamedTuple):
    """One format of the suite."""

    path: str
    model: str
    """The suite skips checks by the model's name: these are names under which it skips none."""
    checks: int


SUITES = {
    "openai-chat": Suite("/v1", "vllm/gpt-5-apt", 9),
    "anthropic": Suite("/v1", "vllm/claude-sonnet-4-apt", 9),
    "open-responses": Suite("/v1", "vllm/gpt-5-apt", 13),
    "google-genai": Suite("", "vllm/apt", 9),
    "google-interactions": Suite("", "vllm/apt", 9),
}
UNSATISFIED = {
    "compact-response": "the model behind compacts no conversations: `compaction` items are OpenAI's own, sealed by its service",
}
"""Checks that pass with a warning of the suite, and why the model behind cannot do better."""
HEADERS = {"anthropic": ["-H", "anthropic-version:2023-06-01"]}


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[str, str]]:
    """Address and key of a system whose one provider can do everything."""
    folder = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
    folder.chmod(0o711)
    with apt_upstream() as address:
        options = Options(
            port=0,
            model=False,
            addresses={"vllm": address},
            models={"vllm": ["apt", "gpt-5-apt", "claude-sonnet-4-apt"]},
            durable=False,
        )
        system = LocalSystem(Home(folder / "global"), options)
        try:
            system.start()
            access = Access.open(system.home)
            access.ensure_tenant()
            key = access.create_key("compliance")
            access.close()
            yield system.url, key
        finally:
            system.stop()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("format_", sorted(SUITES))
def test_every_check_passes_and_none_is_skipped(gateway: tuple[str, str], format_: str) -> None:
    url, key = gateway
    suite = SUITES[format_]
    command = [sys.executable, "-m", "llm_comply.cli", "run", "-u", url + suite.path, "-k", key, "-m", suite.model]
    command += ["--format", format_, "--json", *HEADERS.get(format_, [])]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=100)
    results = msgspec.json.decode(ran.stdout)["results"]
    assert [(result["id"], result.get("errors")) for result in results if result["status"] != "passed"] == []
    assert len(results) == suite.checks
    assert {result["id"] for result in results if result.get("warnings")} <= set(UNSATISFIED)
