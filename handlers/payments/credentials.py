"""What this room must keep secret, checked before it serves anything (A95).

One JSON document per company stands in the secret store: `payments/stripe` in the global region, `payments/wechat` in
china. A document that is missing, empty, a well-known default or too short stops the start; the message names document and field,
never a value. A test key in a live deployment, or the other way round, stops it too.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from handlers.settings import SettingError

STRIPE_DOCUMENT = "payments/stripe"
WECHAT_DOCUMENT = "payments/wechat"
SECRET_BYTES_MIN = 32
WECHAT_KEY_BYTES = 32
_DISTINCT_MIN = 10
_DEFAULTS = re.compile(r"change[-_ ]?me|placeholder|example|default|password|your[-_ ]|(.)\1{7}", re.IGNORECASE)

T = TypeVar("T", bound=msgspec.Struct)


class StripeSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Stripe gave us."""

    secret_key: str = ""
    """`sk_live_...`, `sk_test_...`, or a restricted key `rk_...`."""
    webhook_secret: str = ""
    """`whsec_...` of the one webhook endpoint."""

    def __repr__(self) -> str:
        return "StripeSecrets(...)"


class WeChatSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What WeChat Pay gave us, and our merchant key."""

    merchant: str = ""
    """Merchant id (mchid): digits."""
    application: str = ""
    """Application id (appid): `wx...`."""
    api_v3_key: str = ""
    """Exactly 32 bytes; seals certificates and notifications."""
    private_key: str = ""
    """Our merchant key, PEM (PKCS 8)."""
    certificate_serial: str = ""
    """Serial number of our merchant certificate, hexadecimal."""
    public_key_id: str = ""
    """`PUB_KEY_ID_...` selects the public-key mode; empty: platform certificates are downloaded."""
    public_key: str = ""
    """WeChat Pay's public key, PEM; with `public_key_id` only."""

    def __repr__(self) -> str:
        return "WeChatSecrets(...)"


def _parse(document: str, content: bytes, kind: type[T]) -> T:
    if not content.strip():
        raise SettingError(f"secret {document} is empty: store the company's keys there as one JSON object")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        fields = ", ".join(kind.__struct_fields__)
        raise SettingError(f"secret {document} must be a JSON object of texts with the fields {fields}") from None


def require_secret(document: str, field: str, value: str, bytes_min: int = SECRET_BYTES_MIN) -> None:
    """Refuse a value that is empty, a well-known default, or too short to be a secret.

    Raises:
        SettingError: names document and field.
    """
    if not value.strip():
        raise SettingError(f"secret {document}: {field} is empty; copy it from the company's console")
    if len(value.encode()) < bytes_min:
        raise SettingError(f"secret {document}: {field} is shorter than {bytes_min} bytes; copy the whole value")
    if _DEFAULTS.search(value) or len(set(value)) < _DISTINCT_MIN:
        raise SettingError(f"secret {document}: {field} is a default or made-up value; copy the real one")


def _require_shape(document: str, field: str, value: str, pattern: str, remedy: str) -> None:
    if not re.fullmatch(pattern, value):
        raise SettingError(f"secret {document}: {field} {remedy}")


def read_stripe_secrets(content: bytes, mode: str) -> StripeSecrets:
    """Parse and check the Stripe document.

    Args:
        content: the JSON document.
        mode: live | test, which the key must match.
    """
    secrets = _parse(STRIPE_DOCUMENT, content, StripeSecrets)
    require_secret(STRIPE_DOCUMENT, "secret_key", secrets.secret_key)
    require_secret(STRIPE_DOCUMENT, "webhook_secret", secrets.webhook_secret)
    _require_shape(
        STRIPE_DOCUMENT, "secret_key", secrets.secret_key, rf"(sk|rk)_{mode}_\w+", f"must be a key of {mode} mode"
    )
    _require_shape(STRIPE_DOCUMENT, "webhook_secret", secrets.webhook_secret, r"whsec_\S+", "must begin with whsec_")
    return secrets


def read_wechat_secrets(content: bytes) -> WeChatSecrets:
    """Parse and check the WeChat Pay document."""
    secrets = _parse(WECHAT_DOCUMENT, content, WeChatSecrets)
    require_secret(WECHAT_DOCUMENT, "api_v3_key", secrets.api_v3_key)
    require_secret(WECHAT_DOCUMENT, "private_key", secrets.private_key, bytes_min=1024)
    if len(secrets.api_v3_key.encode()) != WECHAT_KEY_BYTES:
        raise SettingError(f"secret {WECHAT_DOCUMENT}: api_v3_key must have exactly {WECHAT_KEY_BYTES} bytes")
    _require_shape(WECHAT_DOCUMENT, "merchant", secrets.merchant, r"\d{8,16}", "must be the merchant id: digits")
    _require_shape(WECHAT_DOCUMENT, "application", secrets.application, r"wx[0-9a-f]{16}", "must be wx and 16 digits")
    _require_shape(
        WECHAT_DOCUMENT, "certificate_serial", secrets.certificate_serial, r"[0-9A-Fa-f]{16,64}", "must be hexadecimal"
    )
    if bool(secrets.public_key_id) != bool(secrets.public_key):
        raise SettingError(f"secret {WECHAT_DOCUMENT}: public_key_id and public_key go together: give both or none")
    return secrets
