"""The scripted upstream does what its plays say: a test against a broken tool proves nothing."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from tests.upstreams.addresses import refusing_port, silent_port
from tests.upstreams.plays import PLAYS
from tests.upstreams.scripted import ScriptedUpstream

PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/responses")
BROKEN = {
    "slam": httpx.ReadError,
    "reset-at k=200": httpx.ReadError,
    "truncate-at k=200": httpx.RemoteProtocolError,
    "garbage": httpx.RemoteProtocolError,
    "wrong-length": httpx.RemoteProtocolError,
    "hang-before-headers": httpx.ReadTimeout,
    "hang-after-headers": httpx.ReadTimeout,
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as scripted:
        yield scripted


def ask(upstream: ScriptedUpstream, path: str, play: str = "", *, stream: bool = False) -> httpx.Response:
    """Only of an upstream that falls silent on purpose nothing more is expected after half a second."""
    content = f"Hello {{{{play {play}}}}}" if play else "Hello"
    body = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": content}]}
    body["stream_options"] = {"include_usage": True}
    timeout = httpx.Timeout(60, read=0.5 if play.startswith("hang") else 60)
    return httpx.post(f"{upstream.url}{path}", json=body, timeout=timeout, headers={"x-mark": "here"})


@pytest.mark.parametrize("path", [*PATHS, "/v1/embeddings"])
def test_the_correct_answer_and_what_was_seen(upstream: ScriptedUpstream, path: str) -> None:
    answer = ask(upstream, path)
    assert answer.status_code == 200
    assert "usage" in answer.json()
    seen = upstream.received[-1]
    assert (seen.method, seen.target, seen.header("x-mark")) == ("POST", path, "here")
    assert seen.json()["model"] == "m"
    assert upstream.wait_until(lambda _: seen.finished)


@pytest.mark.parametrize("path", PATHS)
def test_a_stream_has_its_end_and_its_usage(upstream: ScriptedUpstream, path: str) -> None:
    lines = ask(upstream, path, stream=True).text.splitlines()
    ending = {"/v1/chat/completions": "data: [DONE]", "/v1/messages": "event: message_stop"}
    assert ending.get(path, "event: response.completed") in lines
    assert any("usage" in line for line in lines)


def test_usage_is_streamed_only_to_those_who_ask(upstream: ScriptedUpstream) -> None:
    body = {"model": "m", "stream": True, "messages": []}
    assert "usage" not in httpx.post(f"{upstream.url}/v1/chat/completions", json=body).text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("play", BROKEN)
def test_a_broken_answer_is_broken(upstream: ScriptedUpstream, play: str, stream: bool) -> None:
    with pytest.raises(BROKEN[play]):
        ask(upstream, PATHS[0], play, stream=stream)


def test_a_status_with_its_retry_after(upstream: ScriptedUpstream) -> None:
    answer = ask(upstream, PATHS[0], "status code=429 retry_after=7")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


def test_an_echo_quotes_credential_and_body(upstream: ScriptedUpstream) -> None:
    assert "x-mark: here" in ask(upstream, PATHS[0], "echo code=401").json()["error"]["message"]


def test_a_client_that_leaves_is_noticed(upstream: ScriptedUpstream) -> None:
    before = len(upstream.received)
    body = b"{{play hang-before-headers}}"
    with socket.create_connection(("127.0.0.1", upstream.port)) as client:
        client.sendall(b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        assert upstream.wait_until(lambda it: len(it.received) > before)
    seen = upstream.received[before]
    assert upstream.wait_until(lambda _: seen.hung_up_at is not None)
    assert not seen.finished


def test_the_queue_serves_requests_without_a_marker(upstream: ScriptedUpstream) -> None:
    upstream.play("status", code="500")
    assert [ask(upstream, PATHS[0]).status_code for _ in range(2)] == [500, 200]
    with pytest.raises(KeyError):
        upstream.play("no-such-play")


def test_every_play_can_be_performed_in_both_modes(upstream: ScriptedUpstream) -> None:
    slow = {"endless", "drip", "hang-before-headers", "hang-after-headers", "hang-after", "sse", "large-call"}
    for play in PLAYS.keys() - slow:
        for stream in (False, True):
            before = len(upstream.received)
            with contextlib.suppress(httpx.HTTPError):
                ask(upstream, PATHS[0], "informational n=2" if play == "informational" else play, stream=stream)
            assert upstream.wait_until(partial(is_over, number=before)), play


def is_over(upstream: ScriptedUpstream, number: int) -> bool:
    return any(seen.finished or seen.hung_up_at is not None for seen in upstream.received[number:])


def test_addresses_without_a_connection() -> None:
    with refusing_port() as port, pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")
    with silent_port() as port, pytest.raises(httpx.ConnectTimeout):
        httpx.get(f"http://127.0.0.1:{port}/", timeout=0.3)


def test_it_runs_as_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.upstreams.scripted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        httpx.post(f"{url}/control/play", json={"name": "status", "code": "503"})
        assert httpx.post(f"{url}/v1/chat/completions", json={"model": "m"}).status_code == 503
        (seen,) = httpx.get(f"{url}/control/received").json()
        assert (seen["target"], seen["play"], seen["finished"]) == ("/v1/chat/completions", "status", True)
        process.terminate()
