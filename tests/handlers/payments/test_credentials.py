from __future__ import annotations

import secrets

import msgspec
import pytest

from handlers.local.stripe_standin import make_keys
from handlers.local.wechat_standin import make_account
from handlers.payments.credentials import read_stripe_secrets, read_wechat_secrets
from handlers.settings import SettingError

MERCHANT = make_account().secrets._asdict()
PUBLIC_KEY_MERCHANT = make_account(public_key_mode=True).secrets._asdict()


def _stripe(**changes: str) -> bytes:
    return msgspec.json.encode({**make_keys()._asdict(), **changes})


def _wechat(**changes: str) -> bytes:
    return msgspec.json.encode({**MERCHANT, **changes})


def test_good_documents_are_read() -> None:
    assert read_stripe_secrets(_stripe(), "test").webhook_secret.startswith("whsec_")
    assert read_wechat_secrets(_wechat()).merchant == MERCHANT["merchant"]
    assert read_wechat_secrets(msgspec.json.encode(PUBLIC_KEY_MERCHANT)).public_key_id.startswith("PUB_KEY_ID_")


@pytest.mark.claim("A64", "A95")
@pytest.mark.parametrize("field", ["secret_key", "webhook_secret"])
@pytest.mark.parametrize(
    "value",
    ["", "   ", "changeme", "whsec_changeme_changeme_changeme_changeme", "whsec_short", "whsec_" + "a" * 40, "x" * 64],
)
def test_a95_an_empty_default_or_short_stripe_secret_stops_the_boot_with_its_name(field: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"payments/stripe.*{field}") as caught:
        read_stripe_secrets(_stripe(**{field: value}), "test")
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.claim("A95")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api_v3_key", ""),
        ("api_v3_key", "0123456789abcdef"),
        ("api_v3_key", "changemechangemechangemechangeme"),
        ("api_v3_key", "a" * 32),
        ("api_v3_key", "0123456789abcdef0123456789abcdef0"),
        ("private_key", ""),
        ("private_key", "changeme"),
        ("merchant", ""),
        ("merchant", "merchant"),
        ("application", "wx"),
        ("certificate_serial", "none"),
        ("public_key_id", "PUB_KEY_ID_0"),
    ],
)
def test_a95_a_wrong_wechat_secret_stops_the_boot_with_its_name(field: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"payments/wechat.*{field}"):
        read_wechat_secrets(_wechat(**{field: value}))


@pytest.mark.claim("A64")
def test_a_test_key_in_a_live_deployment_stops_the_boot() -> None:
    with pytest.raises(SettingError, match="secret_key must be a key of live mode"):
        read_stripe_secrets(_stripe(), "live")
    live = _stripe(secret_key="sk_" + "live_" + secrets.token_hex(24))
    assert read_stripe_secrets(live, "live").secret_key.startswith("sk_")
    with pytest.raises(SettingError, match="test mode"):
        read_stripe_secrets(live, "test")


@pytest.mark.parametrize(
    "content", [b"", b"  ", b"null", b"[]", b"{", b"\xff", b'{"secret_key": 5}', b'{"other": "x"}']
)
def test_a_document_that_is_none_is_named(content: bytes) -> None:
    with pytest.raises(SettingError, match="payments/stripe"):
        read_stripe_secrets(content, "test")


def test_secrets_do_not_show_themselves() -> None:
    read = read_stripe_secrets(_stripe(), "test")
    assert read.secret_key not in repr(read)
    merchant = read_wechat_secrets(_wechat())
    assert merchant.api_v3_key not in repr(merchant)
