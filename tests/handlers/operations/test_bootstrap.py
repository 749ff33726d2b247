"""The steps of a bootstrap, over containers that are a dictionary: nothing is overwritten, nothing is said twice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from handlers.keys.first import public_halves
from handlers.keys.rotation import make_sealing_key
from handlers.operations.bootstrap import BootstrapRefused, fill, read_values

NAMES = (
    "audit/checkpoint", "audit/digest", "database/admin", "keys/mint", "payments/stripe", "provider/openai", "seal/openai",
    "seal/public", "wire/openai",
)  # fmt: skip
OUTSIDE = ("payments/stripe", "provider/openai")


class Kept:
    """Containers that remember every write."""

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.values: dict[str, bytes | None] = dict.fromkeys(names)
        self.written: list[str] = []

    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    def read(self, name: str) -> bytes | None:
        return self.values[name]

    def put(self, name: str, value: bytes) -> None:
        self.written.append(name)
        self.values[name] = value


def test_everything_that_is_ours_is_made_and_what_is_not_is_named() -> None:
    store = Kept()
    filled = fill(store, {})
    assert set(filled.made) == set(NAMES) - set(OUTSIDE)
    assert filled.missing == OUTSIDE
    assert (filled.taken, filled.kept) == ((), ())
    assert store.values["seal/public"] == public_halves({"openai": store.values["seal/openai"] or b""})


def test_files_fill_what_comes_from_outside_and_the_second_run_writes_nothing() -> None:
    store = Kept()
    filled = fill(store, dict.fromkeys(OUTSIDE, b"given"))
    assert (filled.taken, filled.missing) == (OUTSIDE, ())
    before = dict(store.values)
    store.written.clear()
    again = fill(store, {})
    assert (store.written, store.values) == ([], before)
    assert set(again.kept) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "message"),
    [("provider/openai", "has a value already"), ("keys/mint", "made here"), ("provider/nobody", "no such secret")],
)
def test_a_file_that_has_no_place_stops_everything_before_a_write(name: str, message: str) -> None:
    store = Kept()
    store.values["provider/openai"] = b"there"
    with pytest.raises(BootstrapRefused, match=message) as refused:
        fill(store, {name: b"canary-value", "payments/stripe": b"canary-value"})
    assert store.written == []
    assert "canary" not in str(refused.value)


def test_an_interrupted_run_is_taken_up_where_it_stopped() -> None:
    store = Kept()
    fill(store, {})
    mint = store.values["keys/mint"]
    store.values["wire/openai"] = store.values["seal/public"] = None
    assert set(fill(store, {}).made) == {"wire/openai", "seal/public"}
    assert store.values["keys/mint"] == mint


def test_a_new_provider_extends_the_public_halves_and_changes_none() -> None:
    store = Kept()
    fill(store, {})
    before = msgspec.json.decode(store.values["seal/public"] or b"")
    store.values |= dict.fromkeys(("seal/groq", "wire/groq"))
    assert set(fill(store, {}).made) == {"seal/groq", "wire/groq", "seal/public"}
    after = msgspec.json.decode(store.values["seal/public"] or b"")
    assert after["openai"] == before["openai"]
    assert set(after) == {"groq", "openai"}


def test_public_halves_that_follow_from_nothing_are_refused() -> None:
    store = Kept()
    fill(store, {})
    other = Kept()
    fill(other, {})
    store.values["seal/public"] = other.values["seal/public"]
    store.values["seal/groq"] = None
    with pytest.raises(BootstrapRefused, match="seal/public"):
        fill(store, {})


def test_a_rotation_under_way_is_left_alone() -> None:
    """The private half has its next version already; the public one follows when every pod has read it."""
    store = Kept()
    fill(store, {})
    store.values["seal/openai"] = make_sealing_key(2).value
    before = dict(store.values)
    assert fill(store, {}).made == ()
    assert store.values == before


def test_files_that_others_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "provider" / "openai"
    path.parent.mkdir()
    path.write_text("canary-value")
    path.chmod(0o644)
    with pytest.raises(BootstrapRefused, match="provider/openai") as refused:
        read_values(tmp_path)
    assert "canary" not in str(refused.value)
    path.chmod(0o600)
    assert read_values(tmp_path) == {"provider/openai": b"canary-value"}
    assert read_values(None) == {}
