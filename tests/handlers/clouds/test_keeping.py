"""Versions of secrets: one to come, one in use, one before; the same in all three stores."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handlers.clouds.keeping import check_id
from handlers.clouds.secrets import SecretError, SecretMissing, Stage
from handlers.local.aws import AwsStandIn, ensure_secrets
from tests.handlers.clouds.keepers import Held, held_in_files, held_in_kms, held_in_moto

NAME = "wire/openai"
ONE, TWO = "one-" + "1" * 32, "two-" + "2" * 32


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsStandIn]:
    folder = tmp_path_factory.mktemp("secrets")
    ensure_secrets(folder, "global", "local", [])
    stand_in = AwsStandIn(folder, log=folder.parent / "aws.log")
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture(params=["files", "moto", "kms"])
def held(request: pytest.FixtureRequest, tmp_path: Path, stand_in: AwsStandIn) -> Iterator[Held]:
    if request.param == "kms":
        with held_in_kms() as kept:
            yield kept
    else:
        yield held_in_files(tmp_path / "s") if request.param == "files" else held_in_moto(stand_in)


def values(held: Held) -> dict[Stage, str]:
    found = {}
    for stage in Stage:
        try:
            found[stage] = held.store.get(NAME, stage).text()
        except SecretMissing:
            continue
    return found


@pytest.mark.claim("C16")
def test_a_version_comes_is_used_and_goes(held: Held) -> None:
    held.create(NAME, "first")
    assert values(held) == {Stage.CURRENT: "first"}
    held.keeper.put_pending(NAME, b"second", ONE)
    assert values(held) == {Stage.CURRENT: "first", Stage.PENDING: "second"}
    assert held.keeper.versions(NAME)[Stage.PENDING].id == ONE
    held.keeper.promote(NAME, ONE)
    assert values(held) == {Stage.CURRENT: "second", Stage.PREVIOUS: "first"}
    versions = held.keeper.versions(NAME)
    assert versions[Stage.CURRENT].id == ONE
    assert set(versions) == {Stage.CURRENT, Stage.PREVIOUS}
    assert abs((datetime.now(UTC) - versions[Stage.CURRENT].since).total_seconds()) < 30
    held.keeper.retire(NAME)
    assert "first" not in values(held).values()
    assert values(held)[Stage.CURRENT] == "second"


def test_each_call_may_be_repeated(held: Held) -> None:
    held.create(NAME, "first")
    for _ in range(2):
        held.keeper.put_pending(NAME, b"second", ONE)
    for _ in range(2):
        held.keeper.promote(NAME, ONE)
    assert values(held) == {Stage.CURRENT: "second", Stage.PREVIOUS: "first"}
    for _ in range(2):
        held.keeper.retire(NAME)
    assert values(held)[Stage.CURRENT] == "second"


def test_a_later_version_to_come_takes_the_place_of_an_earlier_one(held: Held) -> None:
    held.create(NAME, "first")
    held.keeper.put_pending(NAME, b"second", ONE)
    held.keeper.put_pending(NAME, b"third", TWO)
    assert values(held) == {Stage.CURRENT: "first", Stage.PENDING: "third"}
    held.keeper.promote(NAME, TWO)
    assert values(held) == {Stage.CURRENT: "third", Stage.PREVIOUS: "first"}


def test_what_is_not_there_has_no_versions(held: Held) -> None:
    assert held.keeper.versions("wire/nobody") == {}
    with pytest.raises(SecretError):
        held.keeper.promote("wire/nobody", ONE)


@pytest.mark.parametrize("version", ["", "short", "x" * 65, "no spaces in an id, please, " * 2, "../" * 12])
def test_an_id_that_a_store_would_refuse_is_refused_by_all(version: str) -> None:
    with pytest.raises(SecretError):
        check_id(version)
