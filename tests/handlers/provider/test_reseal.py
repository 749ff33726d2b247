"""A pod seals a key anew for the same place and hands back nothing but the new text (C16)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from handlers.errors import FailureClass
from handlers.keys.opening import open_sealed
from handlers.keys.sealing import SealBroken, SealContext, SealingKey, generate_keypair, read_header, seal
from handlers.transport.wire import RESEAL, FrameKind
from tests.handlers.provider.pod_driver import Answer, PodProcess
from tests.upstreams.addresses import refusing_port

OLD, NEW = generate_keypair(), generate_keypair()
SECRET = b"a-provider-key-of-a-customer"


def place(**other: str) -> SealContext:
    at = {"region": "global", "environment": "local", "provider": "openai", "account": "account-1", "record": "r-1"}
    return SealContext(**{**at, **other})


def sealed_for(where: SealContext, version: int = 1) -> str:
    return seal(SealingKey(version, {1: OLD, 2: NEW}[version][1]), SECRET, where)


@pytest.fixture(scope="module")
def pod() -> Iterator[PodProcess]:
    """It holds both keys, and nobody answers at its provider: sealing anew calls nobody."""
    keys = {1: OLD[0], 2: NEW[0]}
    with refusing_port() as port, PodProcess("openai", f"http://127.0.0.1:{port}/v1", sealing_keys=keys) as process:
        yield process


def reseal(pod: PodProcess, sealed: str, **fields: str) -> Answer:
    given = {"endpoint": RESEAL, "credential": "byok", "byok_record": "r-1", "byok_sealed": sealed, **fields}
    return pod.ask(b"", **given)


@pytest.mark.claim("C15", "C16")
def test_the_new_text_opens_with_the_new_key_at_the_same_place_and_nowhere_else(pod: PodProcess) -> None:
    answer = reseal(pod, sealed_for(place()))
    assert answer.kinds == [FrameKind.END]
    assert answer.end.failure is None
    fresh = answer.body.decode()
    assert read_header(fresh).version == 2
    assert open_sealed({2: NEW[0]}, fresh, place()) == SECRET
    with pytest.raises(SealBroken):
        open_sealed({1: OLD[0]}, fresh, place())
    for other in ({"account": "account-2"}, {"record": "r-2"}, {"environment": "production"}, {"region": "china"}):
        with pytest.raises(SealBroken):
            open_sealed({2: NEW[0]}, fresh, place(**other))
    assert SECRET not in answer.raw


@pytest.mark.claim("C15", "C16")
def test_a_text_of_another_tenant_record_provider_or_environment_is_not_sealed_anew(pod: PodProcess) -> None:
    elsewhere = [
        place(account="account-2"), place(record="r-2"), place(environment="production"), place(region="china"),
        place(provider="anthropic"),
    ]  # fmt: skip
    for where, version in itertools.product(elsewhere, (1, 2)):
        answer = reseal(pod, sealed_for(where, version))
        assert answer.end.failure is FailureClass.UNAUTHENTICATED_UPSTREAM
        assert answer.body == b""


def test_the_token_covers_what_is_asked_for(pod: PodProcess) -> None:
    """One that was made for a request to a model does not have a key sealed anew, nor one for another record."""
    for made_for in ({"endpoint": "openai/gpt-4o-mini@openai"}, {"byok_record": "r-2"}, {"account": "account-2"}):
        token = pod.request(**{"endpoint": RESEAL, "byok_record": "r-1", **made_for}).token
        exchange = pod.open(b"", endpoint=RESEAL, byok_record="r-1", byok_sealed=sealed_for(place()), token=token)
        assert exchange.is_refused()


@pytest.mark.parametrize("sealed", ["", "garbage", "tr1.global.local.openai.9.AAAA"])
def test_what_does_not_open_is_a_failure_without_words(pod: PodProcess, sealed: str) -> None:
    answer = reseal(pod, sealed)
    assert answer.end.failure is FailureClass.UNAUTHENTICATED_UPSTREAM
    assert (answer.end.message, answer.body) == ("", b"")
