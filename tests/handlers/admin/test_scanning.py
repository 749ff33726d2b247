"""Leaked keys, in GitHub's partner format, signed as GitHub signs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email import message_from_bytes
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from handlers.admin.scanning import Scanner
from handlers.clouds.mail import FolderMailbox
from handlers.keys.grammar import MintKeys, generate_key
from handlers.settings import SettingError
from tests.database import Database
from tests.handlers.admin.rooms import House, Reply, open_house
from tests.handlers.admin.scanners import IDENTIFIER, KEY, published_keys

PATH = "/admin/integrations/secret-scanning"
PLACE = "https://github.com/somebody/something/blob/main/.env"


@pytest.fixture
def keys_url() -> Iterator[str]:
    """Where the scanner publishes its keys."""
    with published_keys() as url:
        yield url


@pytest.fixture
def guarded(database: Database, keys_url: str, tmp_path: Path) -> Iterator[House]:
    with open_house(database, scanner=Scanner(keys_url), mailbox=FolderMailbox(tmp_path / "mail")) as house:
        yield house


def report(house: House, *tokens: str, key: ec.EllipticCurvePrivateKey = KEY, **headers: str) -> Reply:
    body = msgspec.json.encode([{"token": token, "type": "therouter_api_key", "url": PLACE} for token in tokens])
    signature = base64.b64encode(key.sign(body, ec.ECDSA(SHA256()))).decode()
    given = {
        "github-public-key-identifier": IDENTIFIER, "github-public-key-signature": signature,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }  # fmt: skip
    return house.ask("POST", PATH, raw=body, token="", headers=given)


def test_a_key_found_in_public_is_revoked_and_its_owners_are_told(guarded: House, tmp_path: Path) -> None:
    made = guarded.ask("POST", "/admin/keys", {"name": "leaky"}, role="admin").json
    answer = report(guarded, made["key"], "sk-tr-nothing-of-ours")
    assert answer.status == 200
    expected = base64.b64encode(sha256(made["key"].encode()).digest()).decode()
    assert [(each["label"], each["token_hash"] == expected) for each in answer.json] == [
        ("true_positive", True), ("false_positive", False),
    ]  # fmt: skip
    assert guarded.ask("GET", f"/admin/keys/{made['data']['key_id']}").json["data"]["state"] == "revoked"
    assert guarded.audit()[-1] == ("integration:secret-scanning", "key.leak", made["data"]["key_id"])
    letters = [message_from_bytes(path.read_bytes()) for path in (tmp_path / "mail").iterdir()]
    tenant = guarded.tenants["mine"]
    assert {letter["To"] for letter in letters} == {f"owner@{tenant}.example", f"admin@{tenant}.example"}
    for letter in letters:
        text = str(letter.get_payload())
        assert PLACE in text
        assert made["key"] not in text
    again = report(guarded, made["key"])
    assert again.json[0]["label"] == "true_positive"
    assert len(list((tmp_path / "mail").iterdir())) == len(letters)


def test_who_is_not_the_scanner_revokes_nothing(guarded: House) -> None:
    token = guarded.token()
    stranger = ec.generate_private_key(ec.SECP256R1())
    for answer in (
        report(guarded, token, key=stranger),
        report(guarded, token, github_public_key_signature=""),
        report(guarded, token, github_public_key_signature="!!"),
        report(guarded, token, github_public_key_identifier="another"),
    ):
        assert answer.status == 401
    assert guarded.ask("GET", "/admin/me").status == 200


def test_keys_that_we_did_not_make_never_reach_the_database(guarded: House) -> None:
    foreign = [
        generate_key("global", "local", MintKeys({"1": b"x" * 32}, "1")).token,
        generate_key("china", "local", guarded.mint_keys).token,
        generate_key("global", "production", guarded.mint_keys).token,
        "", "x" * 10_000,
    ]  # fmt: skip
    assert {each["label"] for each in report(guarded, *foreign).json} == {"false_positive"}


def test_without_a_scanner_the_door_is_shut_and_plain_http_is_refused(house: House) -> None:
    assert report(house, "x").status == 404
    with pytest.raises(SettingError):
        Scanner("http://keys.example.com")
