from __future__ import annotations

from typing import ClassVar

import msgspec

from handlers.translation.adapters.anthropic_messages import AnthropicAdapter
from handlers.translation.adapters.base import Adapter
from handlers.translation.adapters.gemini import GeminiAdapter
from handlers.translation.adapters.openai_chat import OpenaiChatAdapter
from handlers.translation.adapters.openai_responses import ResponsesAdapter
from handlers.translation.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from handlers.translation.dialects.base import AnswerContext, Dialect
from handlers.translation.dialects.google_generate import GOOGLE_GENERATE
from handlers.translation.dialects.google_interactions import GOOGLE_INTERACTIONS
from handlers.translation.dialects.openai_chat import OPENAI_CHAT
from handlers.translation.dialects.openai_responses import OPENAI_RESPONSES
from tests.judges.interactions import interaction_complaints
from tests.laws.dialect_laws import CONTEXT, DialectLaws
from tests.laws.interactions_reader import InteractionsReader
from tests.laws.observing import assemble
from tests.laws.scripts import SCRIPTS


class TestOpenaiChat(DialectLaws):
    dialect: ClassVar[Dialect] = OPENAI_CHAT
    reader: ClassVar[Adapter] = OpenaiChatAdapter()


class TestOpenaiResponses(DialectLaws):
    dialect: ClassVar[Dialect] = OPENAI_RESPONSES
    reader: ClassVar[Adapter] = ResponsesAdapter()


class TestGoogleGenerate(DialectLaws):
    dialect: ClassVar[Dialect] = GOOGLE_GENERATE
    reader: ClassVar[Adapter] = GeminiAdapter()
    context: ClassVar[AnswerContext] = msgspec.structs.replace(CONTEXT, target="/v1beta/models/m:x?alt=sse")

    def test_without_events_a_stream_is_one_json_array(self) -> None:
        assert self.dialect.stream_type(CONTEXT.target) == "application/json"
        assert self.dialect.stream_type(self.context.target) == "text/event-stream"
        for case, script in SCRIPTS.items():
            encoder = self.dialect.stream_encoder(CONTEXT)
            data = b"".join(encoder.encode(event) for event in script[:-1]) + b"".join(encoder.complete())
            assert isinstance(msgspec.json.decode(data), list)
            assert self.expected(self.read(data, streams=False)) == self.expected(script), case


class TestAnthropicMessages(DialectLaws):
    dialect: ClassVar[Dialect] = ANTHROPIC_MESSAGES
    reader: ClassVar[Adapter] = AnthropicAdapter()


class TestGoogleInteractions(DialectLaws):
    dialect: ClassVar[Dialect] = GOOGLE_INTERACTIONS
    reader: ClassVar[Adapter] = InteractionsReader()

    def test_every_answer_obeys_googles_specification(self) -> None:
        for case, script in SCRIPTS.items():
            whole = msgspec.json.decode(self.dialect.encode_whole(assemble(script), self.context))
            assert interaction_complaints("Interaction", whole) == [], case
            for line in self.write(script).split(b"\n"):
                if line.startswith(b"data: {"):
                    assert interaction_complaints("InteractionSseEvent", msgspec.json.decode(line[6:])) == [], case
