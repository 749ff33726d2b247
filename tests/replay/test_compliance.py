"""llm-comply, a compliance suite that nobody here wrote, in its five formats against the running gateway."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.replay.apt_upstream import AptUpstream

pytestmark = pytest.mark.xdist_group("compliance")
FORMATS = {
    "openai-chat": "/v1",
    "anthropic": "/v1",
    "open-responses": "/v1",
    "google-genai": "",
    "google-interactions": "",
}
HEADERS = {"anthropic": ["-H", "anthropic-version:2023-06-01"]}


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[str, str]]:
    """Address and key of a system whose one provider can do everything."""
    folder = Path(tempfile.mkdtemp(prefix="tr-", dir="/tmp"))
    folder.chmod(0o711)
    with AptUpstream() as upstream:
        options = Options(
            port=0, model=False, addresses={"vllm": upstream.url}, models={"vllm": ["apt"]}, durable=False
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


@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_every_check_passes_or_is_skipped_by_the_suite_itself(gateway: tuple[str, str], format_: str) -> None:
    url, key = gateway
    command = [sys.executable, "-m", "llm_comply.cli", "run", "-u", url + FORMATS[format_], "-k", key, "-m", "vllm/apt"]
    command += ["--format", format_, "--json", *HEADERS.get(format_, [])]
    ran = subprocess.run(command, capture_output=True, check=False, timeout=100)
    results = msgspec.json.decode(ran.stdout)["results"]
    assert [result for result in results if result["status"] == "failed"] == []
    assert sum(result["status"] == "passed" for result in results) >= 8
