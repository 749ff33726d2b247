"""The rotation as its schedule calls it; test_renewal_kills.py is about its steps."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import msgspec
import pytest

from handlers.clouds.local_keeping import write_private
from handlers.keys.grammar import MintKeys
from handlers.keys.rotation import make_sealing_key
from handlers.operations import renewal
from handlers.operations.journal import EventError
from handlers.operations.renewal import RenewalFailed, handler
from handlers.settings import SECRETS_REFRESH_S, Variable
from stacks.policy import PRODUCTION
from tests.database import Database
from tests.handlers.clouds.keepers import Held, fill, held_in_files

EVENT = {
    "rotate_after_days": PRODUCTION.secret_rotation_days,
    "settle_s": PRODUCTION.secret_settle_s,
    "retire_s": PRODUCTION.secret_retire_s,
}


@pytest.fixture
def held(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Held:
    """A folder of secrets, and the settings of a function that finds them."""
    held, first = held_in_files(tmp_path / "s"), make_sealing_key(1)
    mint = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    fill(held, {
        "keys/mint": msgspec.json.encode({"newest": "1", "keys": {"1": mint}}).decode(),
        "seal/public": msgspec.json.encode({"openai": {"version": 1, "public": first.public}}).decode(),
        "wire/openai": secrets.token_urlsafe(32),
    })  # fmt: skip
    monkeypatch.setenv(Variable.SECRETS, str(tmp_path / "s"))
    monkeypatch.setattr(renewal, "open_pool", lambda: database.pool("rotation"))
    return held


@pytest.mark.claim("C16", "C63")
def test_what_is_young_stays_and_what_a_person_names_is_replaced(held: Held, database: Database) -> None:
    assert handler(EVENT, None) == {"outcome": "SecretsRenewed", "steps": [], "failed": []}
    named = {**EVENT, "begin": ["keys/mint"]}
    assert handler(named, None)["steps"] == ["keys/mint:announce"]
    assert handler(named, None)["steps"] == []
    assert MintKeys.parse(held.store.get("keys/mint").reveal()).newest == "1"
    (record,) = (
        str(row[0]) for row in database.query("select record from therouter.audit_row where tenant_id is null")
    )
    row = msgspec.json.decode(record)
    assert (row["action"], row["target"], row["after"]["step"]) == ("secret.rotate", "keys/mint", "announce")
    assert row["actor"] == "role:rotation"


def test_a_secret_that_makes_no_sense_is_named_and_keeps_no_other_from_its_turn(
    held: Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(Variable.DIARY, str(tmp_path / "diary"))
    write_private(tmp_path / "s" / "keys" / "mint", b"canary-of-no-json")
    with pytest.raises(RenewalFailed):
        handler({**EVENT, "begin": ["keys/mint", "wire/openai"]}, None)
    said = (tmp_path / "diary").read_text()
    assert '"steps":["wire/openai:prepare"],"failed":["keys/mint"]' in said
    assert "canary" not in said
    assert set(held.keeper.versions("wire/openai")) == {"current", "pending"}


def test_an_event_that_is_not_its_schedules_is_refused() -> None:
    with pytest.raises(EventError):
        handler({"rotate_after_days": 60}, None)


def test_everybody_has_read_a_secret_again_before_it_is_relied_on() -> None:
    assert PRODUCTION.secret_settle_s >= 3 * SECRETS_REFRESH_S
    assert PRODUCTION.secret_retire_s >= 86_400, "a secret store that is down for a day has no effect"
    assert PRODUCTION.secret_rotation_days < PRODUCTION.secret_age_days_max
