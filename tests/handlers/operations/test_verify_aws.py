"""Signing and the command line; what the checks see is proved on a whole deployment in tests/stacks/test_deployment.py."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from handlers.operations.evidence.document import (
    BROKEN,
    HOLDS,
    UNSEEN,
    Evidence,
    Finding,
    load_key,
    read_signed,
    sign,
    table,
)
from handlers.operations.verify_aws import ROWS, main
from stacks.policy import promises

FINDINGS = (Finding("C58", "Not public.", HOLDS), Finding("C65", "14 days.", BROKEN, ("BackupRetentionPeriod is 13",)))
EVIDENCE = Evidence("123456789012", "production", "2026-11-23T12:00:00+00:00", FINDINGS)


def test_what_is_signed_is_read_back() -> None:
    assert read_signed(sign(EVIDENCE, Ed25519PrivateKey.generate())) == EVIDENCE


def test_a_changed_finding_breaks_the_signature() -> None:
    document = msgspec.json.decode(sign(EVIDENCE, Ed25519PrivateKey.generate()))
    better = msgspec.structs.replace(EVIDENCE, findings=FINDINGS[:1])
    document["evidence"] = base64.b64encode(msgspec.json.encode(better)).decode()
    with pytest.raises(ValueError, match="not what was signed"):
        read_signed(msgspec.json.encode(document))


@pytest.mark.parametrize("document", [b"", b"{}", b"[]", b'{"evidence":"?","signature":"","public_key":""}'])
def test_what_is_no_evidence_is_refused(document: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="not what was signed"):
        read_signed(document)
    (tmp_path / "it").write_bytes(document)
    assert main(["--check", str(tmp_path / "it")]) == 2
    assert "ask for it again" in capsys.readouterr().err


def test_checking_evidence_with_a_broken_claim_is_not_green(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "it").write_bytes(sign(EVIDENCE, Ed25519PrivateKey.generate()))
    assert main(["--check", str(tmp_path / "it")]) == 1
    assert "BackupRetentionPeriod is 13" in capsys.readouterr().out


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    made = load_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path).public_key().public_bytes_raw() == made.public_key().public_bytes_raw()


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(TypeError, match="no Ed25519 key"):
        load_key(path)


def test_the_table_says_what_is_broken_and_what_was_not_seen() -> None:
    text = table([*FINDINGS, Finding("C70", "Alarms.", UNSEEN, ("AccessDenied",))])
    assert text.splitlines() == [
        "C58   ok      Not public.",
        "C65   BROKEN  14 days.",
        "              BackupRetentionPeriod is 13",
        "C70   UNSEEN  Alarms.",
        "              AccessDenied",
        "1 of 3 hold",
    ]


def test_evidence_is_signed_or_not_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--out", str(tmp_path / "it")])
    assert ended.value.code == 2


def test_without_an_account_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    assert main([]) == 2
    assert "sign in first" in capsys.readouterr().err


def test_every_claim_with_a_number_in_the_policy_is_looked_at() -> None:
    looked_at = {row.claim for row in ROWS}
    promised = {row.claim for row in promises().values()} - {"operation"}
    elsewhere = {
        "C9": "the default is in the purge's event, with C10",
        "C11": "the bounds are in the purge's event, with C10",
        "C61": "the control plane's log group is looked at with C32",
    }
    assert promised - looked_at == set(elsewhere)
