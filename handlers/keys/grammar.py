"""The one shape of an API key, read without a lookup.

    sk-tr-<environment:1><version:1>_<key id:16>_<secret:43><tag:11><crc:6>          86 characters, all ASCII

    environment  l (production) | t (anything else)
    version      which mint key made the tag
    key id       16 base62; its first character is the region: u (global, us-east-2) | c (china, Hangzhou)
    secret       43 base62 of 32 random bytes
    tag          first 64 bits of HMAC-SHA256(mint key, everything before it), base62: we made this key
    crc          CRC-32 of everything before it, base62: lets a scanner tell a key from noise without asking us

Rules
    Everything here costs microseconds, so that invented keys never reach bcrypt or SQL. The region and environment are
    read before the tag: a key of the other region was tagged with a mint key that this region must not hold.
    No message, exception or repr carries a part of the secret.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from zlib import crc32

import msgspec

from handlers.errors import Unauthenticated

KEY_BYTES = 86
KEY_ID_CHARS = 16
SECRET_CHARS = 43
TAG_CHARS = 11
CRC_CHARS = 6
MINT_KEY_BYTES_MIN = 32

REFUSAL = "The API key is not valid. Check it for typing errors, or create a new key."
"""The one message for malformed, unknown, wrong, revoked and expired keys."""

ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
REGION_LETTERS = {"global": "u", "china": "c"}
_REGIONS = {letter: region for region, letter in REGION_LETTERS.items()}
_GRAMMAR = re.compile(
    rb"sk-tr-([lt])([0-9A-Za-z])_([uc][0-9A-Za-z]{15})_([0-9A-Za-z]{43})([0-9A-Za-z]{11})([0-9A-Za-z]{6})"
)
_TAG_START = KEY_BYTES - CRC_CHARS - TAG_CHARS
_CRC_START = KEY_BYTES - CRC_CHARS


def environment_letter(environment: str) -> str:
    """The letter of an environment in a key: l for production, t otherwise. A letter stands for itself."""
    return "l" if environment in {"production", "l"} else "t"


def region_letter(region: str) -> str:
    """The first letter of a region's key ids: u for global, c for china. A letter stands for itself."""
    return region if region in _REGIONS else REGION_LETTERS[region]


def encode_base62(value: int, width: int) -> bytes:
    """`value` (zero or more) in exactly `width` digits; raises OverflowError when it does not fit."""
    digits = bytearray(width)
    for position in range(width - 1, -1, -1):
        value, digit = divmod(value, 62)
        digits[position] = ALPHABET[digit]
    if value:
        raise OverflowError("the number does not fit its width")
    return bytes(digits)


class ParsedKey(msgspec.Struct, frozen=True):
    """A token whose shape, checksum, region and environment are right; who made it is not yet known."""

    key_id: str
    secret: bytes
    version: str
    tagged: bytes
    """Everything that the tag covers."""
    tag: bytes

    def __repr__(self) -> str:
        return f"ParsedKey(key_id={self.key_id!r})"


def refuse() -> Unauthenticated:
    """The refusal that tells nobody why."""
    return Unauthenticated(REFUSAL)


def parse_key(token: bytes, region: str, environment: str) -> ParsedKey:
    """Read a token of this region and environment.

    Raises Unauthenticated: with the common refusal for a wrong shape or checksum; with code `region_restricted` (and
    `detail["region"]`) for a key of the other region; with code `environment_restricted` for one of the other
    environment.
    """
    match = _GRAMMAR.fullmatch(token) if len(token) == KEY_BYTES else None
    if match is None or encode_base62(crc32(token[:_CRC_START]), CRC_CHARS) != match[6]:
        raise refuse()
    key_id = match[3]
    if key_id[0] != ord(region_letter(region)):
        raise _wrong_region(_REGIONS[chr(key_id[0])])
    if match[1].decode() != environment_letter(environment):
        raise Unauthenticated(
            "This API key belongs to another environment; use a key made for this one.", code="environment_restricted"
        )
    return ParsedKey(key_id.decode(), match[4], match[2].decode(), token[:_TAG_START], match[5])


def _wrong_region(home: str) -> Unauthenticated:
    return Unauthenticated(
        f"This API key belongs to the {home} region; send the request to that region's address.",
        code="region_restricted",
        detail={"region": home},
    )


def mint_tag(mint_key: bytes, tagged: bytes) -> bytes:
    """11 base62 characters: the first 64 bits of HMAC-SHA256 over everything before the tag."""
    return encode_base62(int.from_bytes(hmac.digest(mint_key, tagged, "sha256")[:8], "big"), TAG_CHARS)


class _MintSecret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    newest: str
    keys: dict[str, str]

    def __repr__(self) -> str:
        return "_MintSecret(...)"


def decode_key(text: str) -> bytes:
    """Base64url without padding -> bytes; ValueError, without the text, when it is not."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise ValueError("a key in a secret is base64url") from None


class MintKeys:
    """The mint keys by version (one base62 character); the newest makes tags, all of them verify.

    Losing one costs the filter before bcrypt, not authentication. Raises ValueError on a short key or a bad version.
    """

    def __init__(self, keys: Mapping[str, bytes], newest: str) -> None:
        if any(len(version) != 1 or version.encode() not in ALPHABET for version in keys):
            raise ValueError("a mint key version is one base62 character")
        if any(len(key) < MINT_KEY_BYTES_MIN for key in keys.values()):
            raise ValueError(f"a mint key has at least {MINT_KEY_BYTES_MIN} random bytes")
        if newest not in keys:
            raise ValueError("the newest mint key version is not among the mint keys")
        self._keys = dict(keys)
        self.newest = newest

    @classmethod
    def parse(cls, secret: bytes) -> MintKeys:
        """From the secret `keys/mint`: JSON `{"newest": "1", "keys": {"1": "<base64url>"}}`. ValueError when it is not."""
        try:
            held = msgspec.json.decode(secret, type=_MintSecret)
        except msgspec.MsgspecError:
            raise ValueError("the secret keys/mint is JSON with `newest` and `keys`") from None
        return cls({version: decode_key(text) for version, text in held.keys.items()}, held.newest)

    def __repr__(self) -> str:
        return f"MintKeys(versions={sorted(self._keys)}, newest={self.newest!r})"

    def subkeys(self, purpose: bytes) -> tuple[bytes, ...]:
        """A key for something else from each version, the newest first; `purpose` is 16 bytes at most."""
        versions = sorted(self._keys, key=lambda version: version != self.newest)
        return tuple(blake2b(self._keys[version], digest_size=32, person=purpose).digest() for version in versions)

    def tag(self, tagged: bytes) -> bytes:
        """The tag of a new key."""
        return mint_tag(self._keys[self.newest], tagged)

    def vouch(self, parsed: ParsedKey) -> bool:
        """Whether we made this key; constant time in the tag."""
        key = self._keys.get(parsed.version)
        return key is not None and hmac.compare_digest(mint_tag(key, parsed.tagged), parsed.tag)


class MintedKey(NamedTuple):
    """A new key: the token is shown once, the key id and a hash of the secret are stored."""

    token: str
    key_id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"MintedKey(key_id={self.key_id!r})"


def generate_key(region: str, environment: str, mint_keys: MintKeys) -> MintedKey:
    """Make a key of this region and environment from fresh randomness."""
    suffix = encode_base62(secrets.randbelow(62 ** (KEY_ID_CHARS - 1)), KEY_ID_CHARS - 1).decode()
    key_id = region_letter(region) + suffix
    secret = encode_base62(secrets.randbits(256), SECRET_CHARS)
    head = f"sk-tr-{environment_letter(environment)}{mint_keys.newest}_{key_id}_".encode()
    tagged = head + secret
    body = tagged + mint_keys.tag(tagged)
    return MintedKey((body + encode_base62(crc32(body), CRC_CHARS)).decode(), key_id, secret)
