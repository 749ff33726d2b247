"""WeChat Pay's side of its signatures and seals: keys, platform certificates, sealed resources."""

from __future__ import annotations

import base64
import datetime as dt
import re
import secrets
import string
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SCHEME = "WECHATPAY2-SHA256-RSA2048"
FRESHNESS_S = 300
_PAIR = re.compile(r'(\w+)="([^"]*)"')
_LETTERS = string.ascii_letters + string.digits


def new_key() -> RSAPrivateKey:
    """An RSA key as WeChat Pay uses them."""
    return generate_private_key(public_exponent=65_537, key_size=2048)


def private_pem(key: RSAPrivateKey) -> str:
    """PKCS 8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().strip()


def public_pem(key: RSAPublicKey) -> str:
    """SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()


def new_nonce(length: int) -> str:
    """Letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


class Platform(NamedTuple):
    """One of the company's signing identities: a certificate, or (`certificate` empty) a bare public key."""

    serial: str
    key: RSAPrivateKey
    certificate: str = ""

    def sign(self, body: bytes, timestamp: int) -> dict[str, str]:
        """The five headers, over the lines timestamp, nonce and body."""
        nonce = new_nonce(32)
        signature = self.key.sign(b"%d\n%b\n%b\n" % (timestamp, nonce.encode(), body), PKCS1v15(), SHA256())
        return {
            "Wechatpay-Timestamp": str(timestamp),
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": self.serial,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
            "Wechatpay-Signature-Type": SCHEME,
        }


def new_platform(key: RSAPrivateKey | None = None) -> Platform:
    """An identity with a certificate that is valid for five years."""
    key = key or new_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tenpay.com sign (stand-in)")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=5 * 365))
        .sign(key, SHA256())
    )
    return Platform(f"{certificate.serial_number:040X}", key, certificate.public_bytes(Encoding.PEM).decode())


def seal(api_v3_key: str, content: bytes, associated: str) -> dict[str, str]:
    """AES-256-GCM under the APIv3 key, in the form of a notification's resource."""
    nonce = new_nonce(12)
    sealed = AESGCM(api_v3_key.encode()).encrypt(nonce.encode(), content, associated.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": associated,
        "nonce": nonce,
    }


def certificate_row(platform: Platform, api_v3_key: str) -> dict[str, Any]:
    """One row of /v3/certificates."""
    loaded = x509.load_pem_x509_certificate(platform.certificate.encode())
    return {
        "serial_no": platform.serial,
        "effective_time": loaded.not_valid_before_utc.isoformat(timespec="seconds"),
        "expire_time": loaded.not_valid_after_utc.isoformat(timespec="seconds"),
        "encrypt_certificate": seal(api_v3_key, platform.certificate.encode(), "certificate"),
    }


class RequestGuard:
    """Checks what a merchant signed: over method, target, timestamp, nonce and body, each nonce once."""

    def __init__(self, merchant: str, serial: str, key: RSAPublicKey) -> None:
        self._merchant = merchant
        self._serial = serial
        self._key = key
        self._nonces: set[str] = set()

    def admits(self, authorization: str, method: str, target: str, body: bytes, now_s: float) -> bool:
        """Whether the `Authorization` header signs this very request, now and for the first time."""
        scheme, _, rest = authorization.partition(" ")
        marks = dict(_PAIR.findall(rest))
        nonce, timestamp = marks.get("nonce_str", ""), marks.get("timestamp", "")
        if scheme != SCHEME or (marks.get("mchid"), marks.get("serial_no")) != (self._merchant, self._serial):
            return False
        if not timestamp.isdecimal() or abs(now_s - int(timestamp)) > FRESHNESS_S or nonce in self._nonces:
            return False
        message = f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
        try:
            self._key.verify(base64.b64decode(marks.get("signature", "")), message, PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        self._nonces.add(nonce)
        return True
