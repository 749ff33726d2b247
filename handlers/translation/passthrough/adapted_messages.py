"""Chat messages that one provider refuses as they stand, though the format has them: written anew, and only these.

`developer` becomes `system` where the role is unknown; ids of tool calls get the form that the provider takes. All else in
the messages stays as the client wrote it.
"""

from __future__ import annotations

import msgspec

from handlers.translation.adapters.openai_chat import tool_call_id
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.plain_messages import PlainMessage
from handlers.translation.dialects.openai_chat_fields import MessageField

_encode = msgspec.json.Encoder().encode


def adapt_messages(
    messages: list[MessageField] | list[PlainMessage], raw: memoryview | msgspec.Raw, target: UpstreamTarget
) -> memoryview | msgspec.Raw | bytes:
    """The bytes to send for `messages`: `raw`, the client's own, unless this provider would refuse them."""
    knows_developer = "developer_role" in target.quirks
    strange = not knows_developer and "developer" in [message.role for message in messages]
    if not strange and "nine_character_tool_ids" in target.quirks:
        strange = any(one and tool_call_id(one, target) != one for one in _ids(messages))
    if not strange:
        return raw
    decoded = msgspec.json.decode(bytes(raw))
    for message in decoded:
        if message["role"] == "developer" and not knows_developer:
            message["role"] = "system"
        if message.get("tool_call_id"):
            message["tool_call_id"] = tool_call_id(message["tool_call_id"], target)
        for call in message.get("tool_calls") or ():
            if call.get("id"):
                call["id"] = tool_call_id(call["id"], target)
    return _encode(decoded)


def _ids(messages: list[MessageField] | list[PlainMessage]) -> list[str | None]:
    ids = [message.tool_call_id for message in messages]
    return ids + [call.id for message in messages for call in message.tool_calls or ()]
