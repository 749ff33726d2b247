from __future__ import annotations

import copy
import pickle

import pytest

from handlers.clouds.secrets import (
    PAYMENT_COMPANIES,
    KeptSecrets,
    Secret,
    SecretError,
    SecretMissing,
    Stage,
    check_name,
    foreign_secrets,
    store_name,
)
from handlers.workloads import PAYMENT_COMPANIES as WORKLOAD_COMPANIES
from handlers.workloads import store_name as granted_name

CANARY = b"canary-of-a-secret"


@pytest.mark.claim("C17", "C19")
def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret(CANARY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret, repr({"x": [secret]})]  # noqa: UP031
    assert not any("canary" in text for text in shown)
    assert not hasattr(secret, "__dict__")
    assert (secret.reveal(), secret.text()) == (CANARY, CANARY.decode())


@pytest.mark.claim("C4", "C17")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(Secret(CANARY), protocol)
    with pytest.raises(TypeError, match="not written"):
        copy.deepcopy(Secret(CANARY))


def test_secrets_compare_by_value_and_have_no_hash() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(b"other")
    assert Secret(CANARY) != CANARY
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret(CANARY))


def test_bytes_that_are_no_text_are_named_without_being_shown() -> None:
    with pytest.raises(SecretError) as caught:
        Secret(b"\xff canary").text()
    assert "canary" not in str(caught.value)


@pytest.mark.claim("C63")
@pytest.mark.parametrize(
    "name", ["", "wire", "wire/", "/openai", "../production/keys/mint", "wire/../keys", "Wire/x", "a/b/c", "wire/x\n"]
)
def test_a_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(SecretError):
        check_name(name)


@pytest.mark.claim("C16")
def test_rooms_ask_for_the_names_that_their_identities_were_granted() -> None:
    for name in ("wire/openai", "keys/mint", "seal/public"):
        assert store_name("production", name) == granted_name("production", name)


class Flaky:
    """A store that can go away, and whose secrets can change."""

    def __init__(self) -> None:
        self.values = {"wire/openai": b"one", "keys/mint": b"two"}
        self.down = False
        self.reads = 0

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        self.reads += 1
        key = name if stage is Stage.CURRENT else f"{name}.{stage}"
        if self.down:
            raise SecretError(f"no answer about {name}")
        if key not in self.values:
            raise SecretMissing(f"no {name}")
        return Secret(self.values[key])


@pytest.mark.claim("C16", "C59")
def test_the_last_good_value_outlives_its_store() -> None:
    store = Flaky()
    kept = KeptSecrets(store)
    assert kept.get("wire/openai").reveal() == b"one"
    store.down = True
    assert kept.get("wire/openai").reveal() == b"one"
    assert store.reads == 1
    assert kept.refresh() == ("wire/openai",)
    assert kept.get("wire/openai").reveal() == b"one"
    store.down = False
    store.values["wire/openai"] = b"rotated"
    assert kept.refresh() == ()
    assert kept.get("wire/openai").reveal() == b"rotated"


@pytest.mark.claim("C16", "C59")
def test_a_version_that_is_gone_is_forgotten_and_one_that_cannot_be_read_is_not() -> None:
    store = Flaky()
    kept = KeptSecrets(store)
    assert kept.find("wire/openai", Stage.PREVIOUS) is None
    store.values["wire/openai.previous"] = b"zero"
    assert kept.find("wire/openai", Stage.PREVIOUS) == Secret(b"zero")
    store.down = True
    assert kept.refresh() == ("wire/openai",)
    assert kept.find("wire/openai", Stage.PREVIOUS) == Secret(b"zero")
    store.down = False
    del store.values["wire/openai.previous"]
    before = kept.changes
    assert kept.refresh() == ()
    assert kept.changes == before + 1
    assert kept.find("wire/openai", Stage.PREVIOUS) is None


def test_a_secret_that_was_never_read_is_missed() -> None:
    with pytest.raises(SecretError, match="wire/nobody"):
        KeptSecrets(Flaky()).get("wire/nobody")


@pytest.mark.claim("C45", "C49")
@pytest.mark.parametrize(
    ("region", "name"), [("china", "provider/openai"), ("china", "payments/stripe"), ("global", "payments/wechat")]
)
def test_c49_a_secret_of_the_other_region_is_not_even_asked_for(region: str, name: str) -> None:
    asked: list[str] = []

    class Store:
        def get(self, wanted: str, _stage: Stage = Stage.CURRENT) -> Secret:
            asked.append(wanted)
            return Secret(CANARY)

    kept = KeptSecrets(Store(), foreign_secrets(region))
    with pytest.raises(SecretError, match=rf"{name}.*region_restricted"):
        kept.get(name)
    assert asked == []
    assert kept.get("keys/mint") == Secret(CANARY)


def test_the_payment_companies_are_those_of_the_workloads() -> None:
    assert {region: name for region, (name, _) in WORKLOAD_COMPANIES.items()} == PAYMENT_COMPANIES
