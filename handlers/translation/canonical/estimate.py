"""How many tokens a text may have, where nobody says: for holds and for answers that were cut before their usage.

A token is about four bytes of English and about one Chinese character (three bytes). Better too many than too few.
"""

from __future__ import annotations

from typing import Final

from handlers.translation.canonical.request import (
    CanonicalRequest,
    Media,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

BYTES_PER_TOKEN: Final = 4
CHARACTERS_PER_WIDE_TOKEN: Final = 1
MEDIA_TOKENS: Final = 1_000
"""What one image or document may cost, where nobody says."""
MESSAGE_TOKENS: Final = 4
"""What a turn costs beside its text."""


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rounded up; 0 only for an empty one."""
    if text.isascii():
        return -(-len(text) // BYTES_PER_TOKEN)
    narrow = len(text.encode("ascii", "ignore"))
    return -(-narrow // BYTES_PER_TOKEN) + (len(text) - narrow) // CHARACTERS_PER_WIDE_TOKEN


def estimate_request(request: CanonicalRequest) -> int:
    """Tokens of a prompt, roughly: texts, tools, and a flat number for each medium."""
    tokens = sum(len(bytes(tool.parameters or b"")) // BYTES_PER_TOKEN for tool in request.tools)
    return tokens + sum(MESSAGE_TOKENS + _parts_tokens(message.parts) for message in request.messages)


def _parts_tokens(parts: tuple[Part, ...]) -> int:
    tokens = 0
    for part in parts:
        match part:
            case Media():
                tokens += MEDIA_TOKENS
            case ToolCall(arguments=text) | Text(text=text) | Reasoning(text=text) | Refusal(text=text):
                tokens += estimate_tokens(text)
            case ToolResult(parts=inner):
                tokens += _parts_tokens(inner)
    return tokens
