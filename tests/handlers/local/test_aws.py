from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path

import boto3
import msgspec
import pytest

from handlers.clouds.secrets import SecretError
from handlers.keys.grammar import MintKeys
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.sealing import SealContext, parse_public_keys, seal
from handlers.local.aws import REGION, AwsStandIn, ensure_secrets, read_secret
from handlers.payments.credentials import read_stripe_secrets
from handlers.store.migrate import LOGINS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def ensure(folder: Path, *providers: str) -> dict[str, str]:
    return ensure_secrets(folder, "global", "local", providers)


@pytest.mark.claim("C20", "C63")
def test_everything_that_rooms_need_is_made_once_and_for_its_owner_alone(folder: Path) -> None:
    made = ensure(folder, "openai", "local")
    expected = {"keys/mint", "audit/checkpoint", "audit/digest", "seal/public", "payments/stripe", "restore/epoch"}
    expected |= {f"database/{role}" for role in LOGINS}
    expected |= {f"{kind}/{slug}" for kind in ("wire", "seal") for slug in ("openai", "local")}
    assert set(made) == expected
    assert len(set(made.values())) == len(made)
    for path in folder.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_second_start_changes_nothing_and_a_new_provider_adds_its_own(folder: Path) -> None:
    first = ensure(folder, "openai")
    assert ensure(folder, "openai") == first
    grown = ensure(folder, "openai", "groq")
    assert {name: grown[name] for name in first if name != "seal/public"} == {
        name: value for name, value in first.items() if name != "seal/public"
    }
    assert set(grown) - set(first) == {"wire/groq", "seal/groq"}


@pytest.mark.claim("C15", "C16")
def test_the_made_keys_work_together(folder: Path) -> None:
    made = ensure(folder, "openai", "groq")
    assert MintKeys.parse(made["keys/mint"].encode()).newest == "1"
    context = SealContext("global", "local", "openai", "account", "record")
    public = parse_public_keys(made["seal/public"].encode())
    sealed = seal(public["openai"], b"provider key", context)
    assert open_sealed(parse_private_keys(made["seal/openai"].encode()), sealed, context) == b"provider key"
    assert len(made["wire/openai"].encode()) >= 32
    assert read_stripe_secrets(read_secret(folder, "payments/stripe"), "test").webhook_secret


def test_the_newest_sealing_key_is_published(folder: Path) -> None:
    made = ensure(folder, "openai")
    other = ensure(folder.with_name("other"), "openai")
    keys = msgspec.json.decode(made["seal/openai"], type=dict[str, str])
    keys["2"] = msgspec.json.decode(other["seal/openai"], type=dict[str, str])["1"]
    (folder / "seal" / "openai").write_bytes(msgspec.json.encode(keys))
    assert parse_public_keys(ensure(folder, "openai")["seal/public"].encode())["openai"].version == 2


@pytest.mark.claim("A95")
@pytest.mark.parametrize(
    "value", ["", "\n", "changeme" * 8, "short", "a" * 64, "this-is-an-example-secret-of-forty-chars"]
)
@pytest.mark.parametrize("name", ["database/gateway", "wire/openai", "audit/digest"])
def test_a95_a_weak_empty_or_default_secret_stops_the_start_with_its_name(folder: Path, name: str, value: str) -> None:
    ensure(folder, "openai")
    (folder / name).write_text(value)
    with pytest.raises(SecretError, match=name) as caught:
        ensure(folder, "openai")
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.claim("A95")
@pytest.mark.parametrize("name", ["keys/mint", "seal/openai"])
def test_a95_a_broken_key_file_stops_the_start_with_its_name(folder: Path, name: str) -> None:
    ensure(folder, "openai")
    (folder / name).write_text('{"1": "AAAA"}')
    with pytest.raises(SecretError, match=name):
        ensure(folder, "openai")


@pytest.mark.claim("C46", "C63")
def test_a_folder_belongs_to_one_region_and_environment(folder: Path) -> None:
    ensure(folder)
    for region, environment in (("china", "local"), ("global", "production")):
        with pytest.raises(SecretError, match="global/local"):
            ensure_secrets(folder, region, environment, [])


@pytest.mark.claim("C46", "C49")
def test_c49_a_folder_with_a_secret_of_the_other_region_is_refused(folder: Path) -> None:
    ensure(folder, "openai")
    foreign = folder / "payments" / "wechat"
    foreign.write_bytes(b"x")
    foreign.chmod(0o600)
    with pytest.raises(SecretError, match=r"payments/wechat.*region_restricted"):
        ensure(folder, "openai")


def test_a_folder_made_by_a_loose_umask_is_tight_all_the_same(folder: Path) -> None:
    old = os.umask(0)
    try:
        ensure(folder, "openai")
    finally:
        os.umask(old)
    assert not [path for path in folder.rglob("*") if path.stat().st_mode & 0o077]


@pytest.mark.claim("C16", "C59")
def test_the_stand_in_holds_what_the_files_hold_after_each_start(folder: Path) -> None:
    made = ensure(folder, "openai")
    log = folder.parent / "aws.log"
    for _ in range(2):
        stand_in = AwsStandIn(folder, log=log)
        started = time.monotonic()
        stand_in.start()
        assert time.monotonic() - started < 15  # 0.7 s measured; the line is for busy machines
        try:
            variables = stand_in.variables()
            client = boto3.client(
                "secretsmanager",
                region_name=REGION,
                endpoint_url=variables["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
                aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            )
            held = {name: client.get_secret_value(SecretId=f"therouter/local/{name}")["SecretString"] for name in made}
            assert held == made
            client.delete_secret(SecretId="therouter/local/keys/mint", ForceDeleteWithoutRecovery=True)
        finally:
            stand_in.stop()
        assert not stand_in.is_healthy()
    del made["restore/epoch"]  # a number, and no secret
    assert not any(value in log.read_text() for value in made.values())
    assert re.match(r"http://127\.0\.0\.1:\d+$", stand_in.url)
