"""The small real model: pinned weights, real answers, a life no longer than its parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from handlers.local.model import SMOLLM2, ModelUnavailable, find_weights
from handlers.local.postgres import free_port


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "handlers.local.model", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert line[:3] == ["model", "smollm2-135m", "ready"]
        yield line[-1]
        process.terminate()


QUESTION = {"role": "user", "content": "Tell me a long story about a river."}


def ask(model_url: str, **fields: object) -> httpx.Response:
    # Its likeliest words: by chance it would end after fewer tokens than it may use.
    body = {"model": SMOLLM2.name, "temperature": 0, "max_tokens": 8, "messages": [QUESTION], **fields}
    return httpx.post(f"{model_url}/chat/completions", json=body, timeout=60)


def test_the_model_answers_and_counts_its_tokens(model_url: str) -> None:
    answer = ask(model_url).json()
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == 8
    assert answer["usage"]["prompt_tokens"] > 0


def test_the_model_streams_with_usage(model_url: str) -> None:
    text = ask(model_url, stream=True, stream_options={"include_usage": True}).text
    assert text.count("data: ") > 8
    assert '"completion_tokens":8' in text
    assert text.rstrip().endswith("data: [DONE]")


def test_the_model_refuses_a_bad_body(model_url: str) -> None:
    response = httpx.post(f"{model_url}/chat/completions", content=b"{", timeout=60)
    assert response.status_code == 400


def test_nothing_else_is_served(model_url: str) -> None:
    root = model_url.removesuffix("/v1")
    assert httpx.get(f"{root}/slots", timeout=60).status_code == 501
    assert httpx.get(f"{root}/", timeout=60).status_code == 404


def test_missing_weights_name_the_remedy() -> None:
    with pytest.raises(ModelUnavailable, match="make setup"):
        find_weights(replace(SMOLLM2, package="llm_that_is_not_there"))


def test_altered_weights_are_refused() -> None:
    with pytest.raises(ModelUnavailable, match="not the pinned file"):
        find_weights(replace(SMOLLM2, sha256="0" * 64))
    with pytest.raises(ModelUnavailable, match="not the pinned file"):
        find_weights(replace(SMOLLM2, size_bytes=1))


def test_the_model_ends_with_its_parent() -> None:
    script = (
        "import subprocess, sys\n"
        f"command = [sys.executable, '-m', 'handlers.local.model', '--port', '{free_port()}']\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline, "the model outlived its parent"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
