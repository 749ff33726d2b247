"""Whose requests a pod serves: a valid token, one of its own endpoints, a credential it can open."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Never

import pytest

from handlers.errors import FailureClass
from handlers.keys.sealing import SealContext, SealingKey, generate_keypair, seal
from handlers.keys.wire_token import mint_wire_token
from handlers.translation.short_way import ShortWay
from handlers.transport.frames import FrameReader, decode_end
from handlers.transport.wire import FrameKind
from tests.bench.stages import Chain, first_answer
from tests.bench.traffic import chat_body, stream_events
from tests.handlers.provider.pod_driver import PodProcess, chat
from tests.upstreams.addresses import refusing_port, silent_port
from tests.upstreams.scripted import ScriptedUpstream

PRIVATE, PUBLIC = generate_keypair()


@pytest.fixture(scope="module")
def byok_pod(upstream: ScriptedUpstream) -> Iterator[PodProcess]:
    with PodProcess("openai", f"{upstream.url}/v1", sealing_keys={3: PRIVATE}) as process:
        yield process


def token(pod: PodProcess, **changed: Any) -> str:
    fields = {
        "key": pod.wire_key,
        "request_id": "request-1",
        "account": "account-1",
        "endpoint": "openai/gpt-4o-mini@openai",
        "byok_record": "",
        "expires_at_s": int(time.time()) + 30,
    }
    return mint_wire_token(**{**fields, **changed})


@pytest.mark.claim("C1", "C36")
@pytest.mark.parametrize(
    "changed",
    [
        {"key": secrets.token_bytes(32)},
        {"request_id": "request-2"},
        {"account": "account-2"},
        {"endpoint": "openai/gpt-4o@openai"},
        {"byok_record": "record-1"},
        {"expires_at_s": int(time.time()) - 1},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_token_for_anything_else_is_refused_without_a_frame(
    pod: PodProcess, upstream: ScriptedUpstream, changed: dict[str, Any]
) -> None:
    before = len(upstream.received)
    assert pod.open(chat(), request_id="request-1", token=token(pod, **changed)).is_refused()
    assert len(upstream.received) == before
    assert b'"reason":"token"' in pod.log.read_bytes()


@pytest.mark.parametrize("bad", ["", "0", "zz.00", "1.", ".", "\u00e9.00"])
def test_a_malformed_token_is_refused(pod: PodProcess, bad: str) -> None:
    assert pod.open(chat(), token=bad).is_refused()


@pytest.mark.claim("C23", "C36")
@pytest.mark.parametrize(
    "endpoint", ["anthropic/claude-sonnet-4@anthropic", "openai/gpt-4o-mini@azure", "openai/no-such-model@openai", ""]
)
def test_an_endpoint_of_another_provider_is_refused(pod: PodProcess, upstream: ScriptedUpstream, endpoint: str) -> None:
    before = len(upstream.received)
    assert pod.open(chat(), endpoint=endpoint).is_refused()
    assert len(upstream.received) == before
    assert b'"reason":"endpoint"' in pod.log.read_bytes()


@pytest.mark.from_source
def test_what_was_sent_is_called_off_when_nothing_can_be_made_that_reads_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        path, closed = Chain(tmp_path), []
        monkeypatch.setattr(path.upstream, "abort", lambda: closed.append(True))
        request = path.request(chat_body(stream=True))
        await first_answer(path, path.request(chat_body(stream=False)))
        path.send(request, stream_events(1), [0] * 4)

        def fail(*_: object) -> Never:
            raise LookupError

        monkeypatch.setattr(ShortWay, "join", fail)
        path.client_end.data_received(request)
        path.pod_end.data_received(path.to_pod.take())
        assert path.upstream.take()
        assert closed == [True]
        ((kind, _, end),) = FrameReader().feed(path.to_gateway.take())
        assert (kind, decode_end(end)[0].failure) == (FrameKind.END, FailureClass.SERVER_ERROR)
        await path.gateway.recorder.stop(1.0)

    asyncio.run(scene())


def test_the_shared_credential_signs(pod: PodProcess, upstream: ScriptedUpstream) -> None:
    assert pod.ask(chat()).end.failure is None
    assert upstream.received[-1].header("authorization") == f"Bearer {pod.credential}"


@pytest.mark.claim("C30")
def test_c30_only_the_adapters_headers_and_ours_leave(pod: PodProcess, upstream: ScriptedUpstream) -> None:
    hostile = {"cookie": "a=b", "x-forwarded-for": "203.0.113.9", "authorization": "Bearer theirs", "x-evil": "1"}
    assert pod.ask(chat(), client_headers=hostile, account="account-9").end.failure is None
    seen = upstream.received[-1]
    names = {name.lower() for name, _ in seen.headers}
    assert names <= {
        "host",
        "content-type",
        "content-length",
        "authorization",
        "accept-encoding",
        "user-agent",
        "accept",
    }
    assert seen.header("authorization") == f"Bearer {pod.credential}"
    assert "account-9" not in str(seen.headers)
    assert b"account-9" not in seen.body


def sealed_for(**changed: str) -> str:
    context = {"region": "global", "environment": "local", "provider": "openai", "account": "a1", "record": "r1"}
    return seal(SealingKey(3, PUBLIC), b"sk-customers-own-key", SealContext(**{**context, **changed}))


@pytest.mark.claim("C15")
def test_a_customers_key_signs_the_customers_request(byok_pod: PodProcess, upstream: ScriptedUpstream) -> None:
    answer = byok_pod.ask(chat(), account="a1", credential="byok", byok_record="r1", byok_sealed=sealed_for())
    assert answer.end.failure is None
    assert upstream.received[-1].header("authorization") == "Bearer sk-customers-own-key"
    assert byok_pod.ask(chat(), account="a1").end.failure is None
    assert upstream.received[-1].header("authorization") == f"Bearer {byok_pod.credential}"


@pytest.mark.claim("C15", "C35")
@pytest.mark.parametrize(
    "changed",
    [{"account": "a2"}, {"record": "r2"}, {"provider": "azure"}, {"region": "china"}, {"environment": "production"}],
)
def test_a_sealed_key_from_elsewhere_does_not_open(
    byok_pod: PodProcess, upstream: ScriptedUpstream, changed: dict[str, str]
) -> None:
    before = len(upstream.received)
    sealed = sealed_for(**changed)
    answer = byok_pod.ask(chat(), account="a1", credential="byok", byok_record="r1", byok_sealed=sealed)
    assert answer.kinds == [FrameKind.END]
    assert answer.end.failure is FailureClass.UNAUTHENTICATED_UPSTREAM
    assert len(upstream.received) == before


def test_a_pod_without_the_sealing_key_opens_nothing(pod: PodProcess) -> None:
    answer = pod.ask(chat(), account="a1", credential="byok", byok_record="r1", byok_sealed=sealed_for())
    assert answer.end.failure is FailureClass.UNAUTHENTICATED_UPSTREAM


def test_a_clients_fault_is_named_and_nothing_is_sent(pod: PodProcess, upstream: ScriptedUpstream) -> None:
    before = len(upstream.received)
    answer = pod.ask({"model": "openai/gpt-4o-mini", "messages": "not a list"})
    assert answer.kinds == [FrameKind.END]
    assert answer.end.failure is FailureClass.INVALID_REQUEST
    assert answer.end.param == "messages"
    assert answer.end.message
    assert len(upstream.received) == before


def test_a_dialect_that_does_not_exist_is_unsupported(pod: PodProcess) -> None:
    answer = pod.ask(chat(), dialect="klingon")
    assert answer.end.failure is FailureClass.UNSUPPORTED


def test_a_refused_connection_is_a_failure_to_connect() -> None:
    with refusing_port() as port, PodProcess("openai", f"http://127.0.0.1:{port}/v1") as lonely:
        assert lonely.ask(chat()).end.failure is FailureClass.CONNECT


def test_a_silent_address_is_a_failure_to_connect() -> None:
    with silent_port() as port, PodProcess("openai", f"http://127.0.0.1:{port}/v1") as lonely:
        started = time.monotonic()
        deadlines = lonely.request().deadlines
        answer = lonely.ask(chat(), deadlines=type(deadlines)(400, 5000, 5000, 5000, 5000, 5000))
        assert answer.end.failure is FailureClass.CONNECT
        assert time.monotonic() - started < 2


def test_one_connection_serves_many_exchanges_upstream(pod: PodProcess, upstream: ScriptedUpstream) -> None:
    pod.ask(chat())
    before = upstream.connections
    for _ in range(5):
        assert pod.ask(chat(stream=True), stream=True).end.failure is None
    assert upstream.connections == before


@pytest.mark.claim("A73")
def test_a73_a_file_of_the_shared_account_cannot_be_named(byok_pod: PodProcess, upstream: ScriptedUpstream) -> None:
    body = chat()
    body["messages"] = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-of-another"}}]}]
    before = len(upstream.received)
    answer = byok_pod.ask(body, stateless=False)
    assert answer.end.failure is FailureClass.INVALID_REQUEST
    assert answer.end.param == "messages[0].content[0].file.file_id"
    assert answer.end.code == "stateful_field"
    assert len(upstream.received) == before
    own = {"account": "a1", "credential": "byok", "byok_record": "r1", "byok_sealed": sealed_for()}
    assert byok_pod.ask(body, stateless=False, **own).end.failure is None
