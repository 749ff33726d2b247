from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from handlers.translation.adapters.anthropic_messages import AnthropicAdapter
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.openai_chat import OpenaiChatAdapter
from handlers.translation.adapters.openai_responses import ResponsesAdapter
from handlers.translation.canonical.events import Event
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.anthropic_messages import AnthropicMessages
from handlers.translation.dialects.base import Dialect
from handlers.translation.dialects.openai_chat import OpenaiChat
from handlers.translation.dialects.openai_responses import OpenaiResponses
from tests.laws.dialect_laws import DialectLaws
from tests.laws.observing import summary


class TestOpenaiChat(DialectLaws):
    dialect: ClassVar[Dialect] = OpenaiChat()
    reader: ClassVar[Adapter] = OpenaiChatAdapter()


class TestOpenaiResponses(DialectLaws):
    dialect: ClassVar[Dialect] = OpenaiResponses()
    reader: ClassVar[Adapter] = ResponsesAdapter()


class TestAnthropicMessages(DialectLaws):
    dialect: ClassVar[Dialect] = AnthropicMessages()
    reader: ClassVar[Adapter] = AnthropicAdapter()

    def expected(self, events: list[Event]) -> dict[str, Any]:
        """Thinking is counted within the output."""
        told = summary(events)
        usage = told["usage"]
        assert isinstance(usage, Usage)
        told["usage"] = msgspec.structs.replace(usage, output=usage.completion_tokens, reasoning=0)
        return told
