"""Chat requests that name objects which a provider keeps: refused under shared credentials (A73).

One account at the provider serves all of our customers, so an id that one of them uploaded could be named by another. The
messages pass through as they were written, hence three looks:
    at the decoded fields, for what they say;
    at the bytes, for a key written twice, of which we read one and the provider perhaps the other;
    at the bytes, for letters spelled as escapes, which hide such a key and serve no other purpose.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from handlers.errors import InvalidRequest
from handlers.translation.dialects.openai_chat_fields import ChatFields
from handlers.translation.dialects.reading import kept_elsewhere

FIELDS = (
    "previous_response_id",
    "conversation",
    "container",
    "assistant_id",
    "thread_id",
    "file_ids",
    "vector_store_ids",
)
_KEYS = re.compile(rb'"(?:file_id"\s*+:\s*+(?!null)|audio"\s*+:\s*+\{)')
"""Inside a JSON string quotes would be escaped, so these bytes are keys; arguments of tool calls are strings."""
_SPELLED = re.compile(rb"(?<!\\)(?:\\\\)*+\\u00(?:3\d|4[1-9a-fA-F]|5[\daAfF]|6[1-9a-fA-F]|7[\daA])")
"""An ASCII letter, digit or underscore as an escape; a backslash that is itself escaped begins none."""


def refuse_kept_fields(top: Mapping[str, msgspec.Raw]) -> None:
    """Raise InvalidRequest, naming the field, when the top level of a request relies on something kept."""
    for name in FIELDS:
        if name in top and bytes(top[name]) != b"null":
            raise kept_elsewhere(name)


def refuse_kept_objects(fields: ChatFields, top: Mapping[str, msgspec.Raw], body: bytes) -> None:
    """Raise InvalidRequest, naming the field, when the messages of a request (`body`, of which `fields` and `top`) do."""
    for number, message in enumerate(fields.messages):
        if isinstance(message.audio, dict) and message.audio.get("id") is not None:
            raise kept_elsewhere(f"messages[{number}].audio.id")
        for place, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if part.file is not None and part.file.file_id is not None:
                raise kept_elsewhere(f"messages[{number}].content[{place}].file.file_id")
    # First the body as it stands, which is rarely guilty: the messages alone would have to be copied.
    if _KEYS.search(body) and _KEYS.search(bytes(top["messages"])):
        raise kept_elsewhere("messages")
    if b"\\" in body and b"\\u00" in body and _SPELLED.search(bytes(top["messages"])):
        raise InvalidRequest(
            "messages: letters, digits and underscores must stand for themselves, not as \\u escapes.", param="messages"
        )
