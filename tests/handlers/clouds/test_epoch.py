"""What a restore has announced, and that nobody takes silence for an all-clear."""

from __future__ import annotations

import pytest

from handlers.clouds.epoch import EPOCH, NEVER, announced_epoch, read_epoch
from handlers.clouds.secrets import KeptSecrets, Secret, SecretError, SecretMissing, Stage


class Store:
    """Holds the announcement, or fails."""

    def __init__(self, held: bytes | SecretError) -> None:
        self._held = held

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        assert (name, stage) == (EPOCH, Stage.CURRENT)
        if isinstance(self._held, SecretError):
            raise self._held
        return Secret(self._held)


@pytest.mark.parametrize(
    ("announced", "epoch"),
    [(b"", 0), (b"0", 0), (b"12", 12), (b" 12\n", 12), (b"twelve", NEVER), (b"-1", NEVER), (b"9" * 10, NEVER), (b"\xff", NEVER)],
)  # fmt: skip
def test_what_is_announced_and_cannot_be_understood_is_more_than_any_database_has(announced: bytes, epoch: int) -> None:
    assert read_epoch(announced) == epoch
    assert announced_epoch(KeptSecrets(Store(announced))) == epoch


@pytest.mark.claim("C10")
@pytest.mark.parametrize("failure", [SecretMissing("it is not there"), SecretError("the store is busy")])
def test_what_cannot_be_read_is_not_taken_for_nothing(failure: SecretError) -> None:
    with pytest.raises(SecretError):
        announced_epoch(KeptSecrets(Store(failure)))
