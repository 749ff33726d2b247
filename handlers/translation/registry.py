"""Which dialects, wire formats and pass-through formats there are."""

from __future__ import annotations

from handlers.translation.adapters.anthropic_messages import AnthropicAdapter
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.openai_chat import OpenaiChatAdapter
from handlers.translation.dialects.anthropic_messages import AnthropicMessages
from handlers.translation.dialects.base import Dialect
from handlers.translation.dialects.openai_chat import OpenaiChat
from handlers.translation.passthrough.anthropic_messages import MessagesRelay
from handlers.translation.passthrough.base import Relay
from handlers.translation.passthrough.openai_chat import ChatRelay

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (OpenaiChat(), AnthropicMessages())}
ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in (OpenaiChatAdapter(), AnthropicAdapter())}
RELAYS: dict[str, Relay] = {"openai_chat": ChatRelay(), "anthropic_messages": MessagesRelay()}
