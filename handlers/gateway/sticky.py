"""Conversations return to who served them, so that provider prompt caches hit.

Theory of operation
    A conversation is named by what its client says (`session_id`, header `x-session-id`, `prompt_cache_key`), else by a
    digest of its beginning: the bytes between its messages' start and the end of the first user text. They do not change
    as the conversation grows, and finding them parses nothing.
    Replicas agree without talking: the price-weighted draw of a conversation is seeded by its name. What served it last is
    remembered here besides, because a fallback leaves the warm cache elsewhere: a preference, for STICKY_S. Bounded, the
    longest unused leave. Which credential made the encrypted reasoning in a request is another matter: makers.py.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from handlers.gateway.call import Call

STICKY_S = 600.0
CONVERSATIONS_MAX = 50_000
SYSTEM_BYTES = 4_096
"""Of what stands before the first user message."""
USER_BYTES = 1_024
_STARTS = {"openai_responses": b'"input"', "google_generate": b'"contents"', "google_interactions": b'"input"'}
_START = b'"messages"'


class Stay(NamedTuple):
    """Who served a conversation."""

    endpoint: str
    credential: str
    """Health key of the attempt: shared, or byok:<record>."""
    at: float


class Sticky:
    """What this process remembers. All methods belong to the event loop's thread."""

    def __init__(self, conversations_max: int = CONVERSATIONS_MAX) -> None:
        self._stays: dict[bytes, Stay] = {}
        self._max = conversations_max

    def __len__(self) -> int:
        return len(self._stays)

    def find(self, conversation: bytes, now: float) -> Stay | None:
        """Who served it last, if that is no longer ago than STICKY_S."""
        stay = self._stays.get(conversation)
        return stay if stay is not None and now - stay.at <= STICKY_S else None

    def remember(self, conversation: bytes, endpoint: str, credential: str, now: float) -> None:
        """It was served by this endpoint with this credential."""
        self._stays.pop(conversation, None)
        self._stays[conversation] = Stay(endpoint, credential, now)
        if len(self._stays) > self._max:
            del self._stays[next(iter(self._stays))]


NOTHING_REMEMBERED = Sticky(0)


def conversation_of(call: Call, account: str) -> bytes:
    """The name of the call's conversation, or nothing: it says none and has no user message to tell it by."""
    digest = blake2b(account.encode(), digest_size=16)
    if call.session:
        digest.update(b"\0session\0" + call.session.encode())
        return digest.digest()
    body = call.body
    start = body.find(_STARTS.get(call.route.dialect, _START))
    user = body.find(b'"user"', start) if start >= 0 else -1
    if user < 0:
        return b""
    digest.update(body[start : min(user, start + SYSTEM_BYTES)])
    digest.update(_first_text(body, user))
    return digest.digest()


_TEXT = re.compile(rb'"(?:text|content)"\s*:\s*"((?:[^"\\]|\\.)*)')


def _first_text(body: bytes, start: int) -> bytes:
    """The first text at or after a user's role, cut at USER_BYTES."""
    found = _TEXT.search(body[start : start + USER_BYTES])
    return found[1] if found else b""
