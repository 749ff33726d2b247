"""One JSON body goes through as it is, the model name apart.

Most answers are one text with its usage: a relay reads those in one look (`read_plain`). Whatever is more than that, or
less, or broken, goes through the decoder, which says the same of plain answers (a test holds both against each other).
"""

from __future__ import annotations

from typing import Final

from handlers.errors import FailureClass
from handlers.translation.adapters.base import PlainAnswer
from handlers.translation.adapters.decoding import WHOLE_BYTES_MAX, JsonDecoder
from handlers.translation.adapters.event_writer import CHARACTERS_SLACK
from handlers.translation.canonical.attempt import NOTHING, Output
from handlers.translation.canonical.usage import Usage
from handlers.translation.deliveries import Delivery
from handlers.translation.passthrough.base import Draft, Relay
from handlers.translation.passthrough.model_names import model_name

PLAIN_BYTES_MAX: Final = CHARACTERS_SLACK
"""Up to here no limit on an answer's length can be reached, whatever output cap was asked for."""


class RawWhole(Delivery):
    """Collects a body and lets it through."""

    def __init__(self, relay: Relay, draft: Draft, public_model: str) -> None:
        self._relay = relay
        self._draft = draft
        self._public_model = public_model
        self._body = bytearray()
        """One buffer, since a provider may send it byte by byte."""
        self._plain: PlainAnswer | None = None

    @property
    def usage(self) -> Usage:
        """Nothing before the end."""
        return self._plain.usage if self._plain else super().usage

    @property
    def upstream_model(self) -> str:
        """The model that the provider says it used."""
        return self._plain.model if self._plain else super().upstream_model

    @property
    def response_id(self) -> str:
        """The provider's id of the answer."""
        return self._plain.response_id if self._plain else super().response_id

    def feed(self, data: bytes) -> Output:
        """Collect."""
        self._body += data
        return self.fail(FailureClass.MALFORMED) if len(self._body) > WHOLE_BYTES_MAX else NOTHING

    def finish(self) -> Output:
        """The whole body."""
        if self.ended:
            return Output(ended=True)
        body = bytes(self._body)
        plain = self._relay.read_plain(body) if len(body) <= PLAIN_BYTES_MAX else None
        if plain is None:
            return self._decode(body)
        self._plain = plain
        self.ended = self.semantic = True
        self.finish_reason = plain.finish_reason
        return self._through(body)

    def fail(self, failure: FailureClass) -> Output:
        """The transport failed."""
        if self.ended:
            return Output(ended=True)
        decoder = self._make_decoder()
        decoder.writer.fail(failure)
        return self._end(decoder, b"")

    def _decode(self, body: bytes) -> Output:
        decoder = self._make_decoder()
        decoder.frames(body)
        for frame in decoder.last_frames():
            decoder.read_frame(frame)
        if not decoder.writer.ended:
            decoder.end()
        return self._end(decoder, body)

    def _make_decoder(self) -> JsonDecoder:
        draft = self._draft
        decoder = self._read_by = self._relay.decoder(streams=False, prompt_tokens=draft.prompt_tokens)
        if draft.output_tokens_max:
            decoder.writer.limit_output(draft.output_tokens_max)
        return decoder

    def _end(self, decoder: JsonDecoder, body: bytes) -> Output:
        for event in decoder.writer.take():
            self.observe(event)
        return Output(ended=True) if self.failed is not None else self._through(body)

    def _through(self, body: bytes) -> Output:
        model = model_name(self._public_model, self._relay.model_key)
        return Output(final=model.replace(self._relay.patch(body), self.upstream_model), ended=True)
