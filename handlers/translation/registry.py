"""Which dialects, wire formats and pass-through formats there are."""

from __future__ import annotations

from handlers.translation.adapters.anthropic_messages import AnthropicAdapter
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.bedrock_converse import BedrockAdapter
from handlers.translation.adapters.cohere import CohereAdapter
from handlers.translation.adapters.gemini import GeminiAdapter
from handlers.translation.adapters.openai_chat import OpenaiChatAdapter
from handlers.translation.adapters.openai_responses import ResponsesAdapter
from handlers.translation.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from handlers.translation.dialects.base import Dialect
from handlers.translation.dialects.google_generate import GOOGLE_GENERATE
from handlers.translation.dialects.google_interactions import GOOGLE_INTERACTIONS
from handlers.translation.dialects.openai_chat import OPENAI_CHAT
from handlers.translation.dialects.openai_completions import OPENAI_COMPLETIONS
from handlers.translation.dialects.openai_responses import OPENAI_RESPONSES
from handlers.translation.passthrough.anthropic_messages import MessagesRelay
from handlers.translation.passthrough.base import Relay
from handlers.translation.passthrough.google_generate import GenerateRelay
from handlers.translation.passthrough.openai_chat import ChatRelay
from handlers.translation.passthrough.openai_responses import ResponsesRelay

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        OPENAI_CHAT,
        ANTHROPIC_MESSAGES,
        OPENAI_RESPONSES,
        GOOGLE_GENERATE,
        GOOGLE_INTERACTIONS,
        OPENAI_COMPLETIONS,
    )
}
ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        OpenaiChatAdapter(),
        AnthropicAdapter(),
        ResponsesAdapter(),
        GeminiAdapter(),
        BedrockAdapter(),
        CohereAdapter(),
    )
}
RELAYS: dict[tuple[str, str], Relay] = {
    ("openai_chat", "openai_chat"): ChatRelay(),
    ("anthropic_messages", "anthropic_messages"): MessagesRelay(),
    ("openai_responses", "openai_responses"): ResponsesRelay(),
    ("google_generate", "gemini"): GenerateRelay(),
}
"""By dialect and wire format: the pairs that are the same format under two names."""
