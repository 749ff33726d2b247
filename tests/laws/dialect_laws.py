"""The laws of every dialect: what it writes, its own format's decoder reads back as what was meant."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from handlers.errors import FailureClass
from handlers.translation.adapters.base import Adapter
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.events import Event, ResponseCompleted, ResponseFailed
from handlers.translation.dialects.base import AnswerContext, Dialect
from tests.laws.observing import assemble, check_order, decode, split_at, summary
from tests.laws.scripts import SCRIPTS, failing

CONTEXT = AnswerContext(
    response_id="gen-0123456789abcdef", now_s=1_700_000_000, model="author/model", provider="Maker", prompt_tokens=17
)


class DialectLaws:
    """Inherit, and fill in."""

    dialect: ClassVar[Dialect]
    reader: ClassVar[Adapter]
    """The adapter of the same format."""
    context: ClassVar[AnswerContext] = CONTEXT

    def expected(self, events: list[Event]) -> dict[str, Any]:
        """What the format can tell of an answer."""
        return summary(events)

    def read(self, data: bytes, *, streams: bool) -> list[Event]:
        target = UpstreamTarget(wire_format=self.reader.name, upstream_model="author/model", provider="maker")
        decoder = self.reader.decoder(streams=streams, target=target, prompt_tokens=0)
        return decode(decoder, [data])

    def write(self, events: list[Event]) -> bytes:
        encoder = self.dialect.stream_encoder(self.context)
        data = b""
        for event in events:
            if isinstance(event, ResponseCompleted):
                data += b"".join(encoder.complete())
            elif isinstance(event, ResponseFailed):
                data += encoder.fail(event)
            else:
                data += encoder.encode(event)
        return data

    def test_a_stream_says_what_was_meant(self) -> None:
        for case, script in SCRIPTS.items():
            events = self.read(self.write(script), streams=True)
            check_order(events)
            assert isinstance(events[-1], ResponseCompleted), case
            assert self.expected(events) == self.expected(script), case

    def test_a_whole_answer_says_what_was_meant(self) -> None:
        for case, script in SCRIPTS.items():
            body = self.dialect.encode_whole(assemble(script), self.context)
            events = self.read(body, streams=False)
            check_order(events)
            assert isinstance(events[-1], ResponseCompleted), case
            assert self.expected(events) == self.expected(script), case

    def test_a_failure_after_content_is_never_a_clean_end(self) -> None:
        for failure in (FailureClass.TRUNCATED, FailureClass.OVERLOADED, FailureClass.TIMEOUT):
            data = self.write(failing(failure))
            events = self.read(data, streams=True)
            assert isinstance(events[-1], ResponseFailed), failure
            assert b"[DONE]" not in data.replace(b"\\n[DONE]", b"").replace(b"[DONE] \\", b"")

    def test_the_end_is_apart_from_the_data(self) -> None:
        for case, script in SCRIPTS.items():
            encoder = self.dialect.stream_encoder(self.context)
            for event in script[:-1]:
                encoder.encode(event)
            _, final = encoder.complete()
            assert final, case

    def test_the_public_model_name_is_shown(self) -> None:
        body = self.dialect.encode_whole(assemble(SCRIPTS["text"]), self.context)
        assert b"author/model" in body
        assert b"model-1" not in body
        assert b"author/model" in self.write(SCRIPTS["text"])

    def test_a50_hostile_text_arrives_byte_for_byte_and_in_one_frame(self) -> None:
        stream = self.write(SCRIPTS["text"])
        assert summary(self.read(stream, streams=True)) == summary(
            decode(self.decoder(), split_at(stream, range(1, len(stream))))
        )
        assert b"\r" not in stream
        for frame in stream.split(b"\n\n")[:-1]:
            payload = [line for line in frame.split(b"\n") if line.startswith(b"data: ")]
            assert len(payload) == 1
            if payload[0] != b"data: [DONE]":
                msgspec.json.decode(payload[0][6:])

    def decoder(self) -> Any:
        target = UpstreamTarget(wire_format=self.reader.name, upstream_model="author/model", provider="maker")
        return self.reader.decoder(streams=True, target=target, prompt_tokens=0)
