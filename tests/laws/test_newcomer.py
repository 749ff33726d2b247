"""A wire format that nobody speaks, added as README's "Add a provider" says: what it takes, and that it is enough.

Here are an adapter and its decoder, in the place of `handlers/translation/adapters/newcomer.py`; the lines in the registry and in
the table of parameters; a row of a provider that speaks it. The ten laws hold by inheritance, and every dialect is answered
validly, whole and streamed, as the official SDKs' models judge.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from handlers.catalog import loading
from handlers.catalog.rows import CatalogError
from handlers.errors import FailureClass, Unprocessable
from handlers.local.replay_exchanges import DIALECT_FORMATS
from handlers.local.replay_judges import load_judges
from handlers.local.replay_reading import read_answer
from handlers.translation.adapters.base import Adapter, Built, build_post
from handlers.translation.adapters.decoding import JsonDecoder
from handlers.translation.canonical.attempt import UpstreamTarget
from handlers.translation.canonical.events import BlockKind, FinishReason
from handlers.translation.canonical.request import CanonicalRequest, Text
from handlers.translation.canonical.usage import Usage
from handlers.translation.registry import ADAPTERS
from tests.handlers.catalog.test_loading import PRICE, ROW, write
from tests.handlers.translation.driving import attempt, play
from tests.laws.decoder_laws import DecoderLaws
from tests.laws.made import HOSTILE_TEXT, encode, sse
from tests.laws.requests import SPEAKING, SPOKEN, TWO_CHOICES

FORMAT = "newcomer_talk"


class _Said(msgspec.Struct):
    """A word of a stream, its end, or a whole answer."""

    word: str | None = None
    over: str | None = None
    read: int = 0
    wrote: int = 0


_SAID = msgspec.json.Decoder(_Said)
_FINISH = {"done": FinishReason.STOP, "cut": FinishReason.LENGTH}


class NewcomerDecoder(JsonDecoder):
    """Reads a stream of words, or one answer."""

    def __init__(self, *, streams: bool, prompt_tokens: int) -> None:
        super().__init__(streams=streams, prompt_tokens=prompt_tokens)
        self._block: int | None = None

    def read(self, data: bytes, event: bytes) -> None:
        del event
        said = _SAID.decode(data)
        if said.word is None and said.over is None:
            self.writer.unrecognized("event")
        if said.word is not None:
            if self._block is None:
                self.writer.start()
                self._block = self.writer.open(BlockKind.TEXT)
            self.writer.text(self._block, said.word)
        if said.over is not None:
            self.writer.stop_all()
            self.writer.finish(_FINISH.get(said.over, FinishReason.ERROR), native=said.over)
            self.writer.report(Usage(input=said.read, output=said.wrote), final=True)
            self.writer.complete()

    def end(self) -> None:
        self.writer.fail(FailureClass.TRUNCATED)


class NewcomerAdapter:
    """The wire format: turns of text, and nothing else."""

    name: ClassVar[str] = FORMAT

    def build_request(self, request: CanonicalRequest, target: UpstreamTarget) -> Built:
        for param, asked in (("n", request.choices > 1), ("modalities", request.modalities), ("tools", request.tools)):
            if asked:
                raise Unprocessable(f"{param}: this endpoint talks and does nothing else.", param=param)
        turns = []
        for message in request.messages:
            for part in message.parts:
                if not isinstance(part, Text):
                    at = getattr(part, "at", message.at)
                    raise Unprocessable(f"{at}: this endpoint takes text only.", param=at)
                turns.append({"by": message.role, "says": part.text})
        body = {"who": target.upstream_model, "turns": turns, "flow": request.stream, "cap": request.output_tokens_max}
        return build_post("/talk", body, request, names={}, warnings=())

    def decoder(self, *, streams: bool, target: UpstreamTarget, prompt_tokens: int) -> NewcomerDecoder:
        del target
        return NewcomerDecoder(streams=streams, prompt_tokens=prompt_tokens)


OVER = {"over": "done", "read": 12, "wrote": 9}


class TestNewcomer(DecoderLaws):
    adapter: ClassVar[Adapter] = NewcomerAdapter()
    made: ClassVar[dict[str, bytes]] = {
        "text": sse({"word": HOSTILE_TEXT}, {"word": " and more"}, OVER),
        "cut": sse({"word": "a"}, OVER | {"over": "cut"}, ending=b"\r\n"),
    }
    whole: ClassVar[dict[str, bytes]] = {"text": encode({"word": HOSTILE_TEXT + " and more"} | OVER)}
    unknown: ClassVar[bytes] = sse({"word": "a"}, {"hologram": 1}, OVER)
    inexpressible: ClassVar[dict[str, CanonicalRequest]] = {
        "n": TWO_CHOICES,
        "modalities": SPEAKING,
        "messages[0].content[0].input_audio": SPOKEN,
    }
    endless: ClassVar[bytes] = sse({"word": "x" * 100})
    errors: ClassVar[list[tuple[int, bytes, FailureClass]]] = [(429, b"", FailureClass.RATE_LIMITED)]


@pytest.fixture
def newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line in the registry, and the line in the table of parameters."""
    monkeypatch.setitem(ADAPTERS, FORMAT, NewcomerAdapter())
    monkeypatch.setattr(loading, "WIRE_FORMATS", loading.WIRE_FORMATS | {FORMAT})


JUDGES = cache(load_judges)


@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", sorted(DIALECT_FORMATS))
def test_every_dialect_is_answered_by_the_new_format(dialect: str, stream: bool) -> None:
    target = "/v1beta/models/m:streamGenerateContent?alt=sse"
    translation = attempt(dialect=dialect, wire_format=FORMAT, stream=stream, upstream_stream=True, target=target)
    assert translation.upstream.path == "/talk"
    body: dict[str, Any] = msgspec.json.decode(translation.upstream.body)
    assert body["turns"] == [{"by": "user", "says": "hi"}]
    told = b"".join(output.data + output.final for output in play(translation, TestNewcomer.made["text"]))
    assert JUDGES()[dialect](told, stream) == ""
    assert read_answer(DIALECT_FORMATS[dialect], told).text == HOSTILE_TEXT + " and more"
    assert (translation.outcome.usage.input, translation.outcome.usage.output) == (12, 9)


@pytest.mark.usefixtures("newcomer")
def test_a_row_may_name_the_new_format(tmp_path: Path) -> None:
    files = write(tmp_path, ROW.replace("openai_chat", FORMAT), PRICE)
    catalog = loading.load_catalog("global", **files)  # type: ignore[arg-type]
    assert catalog.providers["newcomer"].wire_format == FORMAT
    assert catalog.models["newcomer/large"].endpoints[0].price is not None


def test_without_its_line_the_format_stops_the_start(tmp_path: Path) -> None:
    files = write(tmp_path, ROW.replace("openai_chat", FORMAT), PRICE)
    with pytest.raises(CatalogError, match=FORMAT):
        loading.load_catalog("global", **files)  # type: ignore[arg-type]
