"""Speech from text, and text from speech. Sound is neither decoded nor written anywhere: it passes through memory."""

from __future__ import annotations

import math
import re

import msgspec

from handlers.errors import InvalidRequest
from handlers.translation.adapters.base import Built
from handlers.translation.adapters.openai_answer_fields import Count
from handlers.translation.adapters.openai_usage import Tally
from handlers.translation.canonical.attempt import Asked, UpstreamRequest
from handlers.translation.canonical.estimate import estimate_tokens
from handlers.translation.canonical.usage import Usage
from handlers.translation.dialects.base import JSON_TYPE
from handlers.translation.dialects.reading import check_length, decode_body
from handlers.translation.operations.base import Answered, edit_body, post
from handlers.translation.operations.multipart import read_form, write_form

CHARACTERS_MAX = 100_000
BYTES_PER_MS = 16
"""Of sound at 128 kbit/s, for estimating how long a recording is."""
HEARD_TOKENS_PER_S = 10
"""What models that count in tokens make of a second of sound (37 tokens were recorded for 3.3 s)."""
SPOKEN_TOKENS_PER_CHARACTER = 1.4
"""1,250 tokens of sound are a minute of speech, which is some 900 characters."""
SPEECH_TYPES = frozenset({
    "audio/mpeg", "audio/mp3", "audio/wav", "audio/x-wav", "audio/flac", "audio/aac", "audio/opus", "audio/ogg",
    "audio/pcm", "application/octet-stream",
})  # fmt: skip
TEXT_TYPES = frozenset({"text/plain", "text/vtt", "application/x-subrip"})


class _SpeechFields(msgspec.Struct):
    input: str
    stream_format: str | None = None


_SPEECH = msgspec.json.Decoder(_SpeechFields)


class Speech:
    """Text to speech, billed by the character; the sound is forwarded as it comes."""

    def build(self, asked: Asked) -> Built:
        """The client's body under the provider's model name."""
        fields = decode_body(_SPEECH, asked.body)
        check_length("input", len(fields.input), CHARACTERS_MAX, 1)
        if fields.stream_format not in {None, "audio", "sse"}:
            raise InvalidRequest("stream_format must be audio or sse.", param="stream_format")
        body = edit_body(asked)
        body.pop("stream", None)
        built = post("/audio/speech", body)
        if fields.stream_format != "sse":
            return built
        return Built(msgspec.structs.replace(built.upstream, streams=True), built.warnings)

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """Sound has been forwarded already; what is left to say is what it cost."""
        shown = content_type if content_type in SPEECH_TYPES else "application/octet-stream"
        return Answered(body, self.estimate(asked, ""), shown)

    def estimate(self, asked: Asked, text: str) -> Usage:
        """Characters are exact; models that count in tokens say how many in events alone, so those are estimated."""
        del text
        spoken = _SPEECH.decode(asked.body).input
        said = math.ceil(len(spoken) * SPOKEN_TOKENS_PER_CHARACTER)
        most = asked.upstream.output_tokens_max or said
        return Usage(
            characters=len(spoken), input=estimate_tokens(spoken), audio_output=min(said, most), estimated=True
        )


class _TokenDetails(msgspec.Struct):
    audio_tokens: Count = None


class TranscriptUsage(msgspec.Struct):
    """What providers call the usage of speech and of transcriptions."""

    seconds: Count = None
    input_tokens: Count = None
    output_tokens: Count = None
    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_audio_seconds: Count = None
    input_token_details: _TokenDetails | None = None
    prompt_tokens_details: _TokenDetails | None = None


class _Transcript(msgspec.Struct):
    text: str
    usage: TranscriptUsage | None = None
    duration: float | None = None


_TRANSCRIPT = msgspec.json.Decoder(_Transcript)


class Transcriptions:
    """Speech to text; the form is edited, never stored."""

    def build(self, asked: Asked) -> Built:
        """The client's form under the provider's model name."""
        form = read_form(asked.body, asked.content_type)
        if not any(part.name == "file" for part in form.parts):
            raise InvalidRequest("file is required.", param="file")
        body = write_form(form, {"model": asked.upstream.upstream_model})
        headers = (("content-type", f"multipart/form-data; boundary={form.boundary}"),)
        return Built(UpstreamRequest("POST", "/audio/transcriptions", headers, body, streams=asked.stream))

    def read(self, body: bytes, content_type: str, asked: Asked) -> Answered:
        """JSON, or the text alone if the client asked for that."""
        if content_type in TEXT_TYPES or not re.match(rb"\s*\{", body):
            kind = content_type if content_type in TEXT_TYPES else "text/plain"
            return Answered(body, self.estimate(asked, body.decode()), kind)
        answer = _TRANSCRIPT.decode(body)
        usage = read_usage(answer.usage, answer.duration)
        return Answered(body, usage or self.estimate(asked, answer.text), JSON_TYPE)

    def estimate(self, asked: Asked, text: str) -> Usage:
        """How long the sound may be, and the tokens of it and of the text."""
        seconds_ms = len(asked.body) // BYTES_PER_MS
        heard = -(-seconds_ms * HEARD_TOKENS_PER_S // 1_000)
        return Usage(seconds_ms=seconds_ms, audio_input=heard, output=estimate_tokens(text), estimated=True)


def wants_events(asked: Asked) -> bool:
    """Whether speech or a transcription is asked for as server-sent events."""
    if asked.operation == "transcriptions":
        return asked.stream
    return asked.operation == "speech" and decode_body(_SPEECH, asked.body).stream_format == "sse"


def read_usage(raw: TranscriptUsage | None, duration: float | None = None) -> Usage | None:
    """What the provider counted, `duration` being the seconds that stand beside a transcript; None: nothing."""
    tally = Tally()
    raw = raw or TranscriptUsage()
    seconds = raw.seconds or raw.prompt_audio_seconds or duration
    prompt = tally.count(raw.input_tokens if raw.input_tokens is not None else raw.prompt_tokens)
    details = raw.input_token_details or raw.prompt_tokens_details or _TokenDetails()
    heard = tally.count(details.audio_tokens)
    said = tally.count(raw.output_tokens if raw.output_tokens is not None else raw.completion_tokens)
    if not (seconds or prompt or said):
        return None
    return Usage(
        input=max(prompt - heard, 0),
        audio_input=heard,
        output=said,
        seconds_ms=int(min(max(seconds or 0, 0), 1_000_000) * 1_000),
        estimated=tally.corrected,
    )
