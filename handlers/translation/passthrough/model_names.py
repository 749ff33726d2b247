"""The one edit that every answer needs which passes through: the public model name in place of the provider's."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


@lru_cache(maxsize=16)
def _spellings(key: str) -> tuple[bytes, re.Pattern[bytes]]:
    """A key as it stands in JSON, and the pattern of it with its value."""
    spelled = _encode(key)
    return spelled, re.compile(re.escape(spelled) + rb'\s*:\s*"(?:[^"\\]|\\.)*"')


class ModelName:
    """Replaces the provider's model name by the public one; of the provider's names the last is remembered.

    Inside JSON strings quotes are escaped, so the bytes `"model":"` occur only where a key stands.
    """

    __slots__ = ("_key", "_needles", "_pattern", "_public", "_seen")

    def __init__(self, public: str, key: str = "model") -> None:
        self._public = _encode(public)
        self._key, self._pattern = _spellings(key)
        self._seen = ""
        self._needles: tuple[tuple[bytes, bytes], ...] = ()

    def replace(self, raw: bytes, model: str) -> bytes:
        """The frame with the public name where `model`, the name that the decoder has read, stands."""
        if model != self._seen:
            name = _encode(model)
            spacings = (self._key + b":", self._key + b": ")
            self._needles = tuple((key + name, key + self._public) for key in spacings if name != self._public)
            self._seen = model
        for needle, public in self._needles:
            at = raw.find(needle)
            if at >= 0:
                return b"%b%b%b" % (raw[:at], public, raw[at + len(needle) :])
        if self._needles and raw.find(self._key) >= 0:
            return self._pattern.sub(lambda _: self._key + b":" + self._public, raw, count=1)
        return raw


@lru_cache(maxsize=1024)
def model_name(public: str, key: str) -> ModelName:
    """One object for all answers of a model: it remembers the provider's name for it."""
    return ModelName(public, key)
