from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec
import pytest
from openai.types.audio import TranscriptionStreamEvent
from pydantic import TypeAdapter

from handlers.errors import FailureClass, InvalidRequest
from handlers.translation.canonical.attempt import Output, Translation
from tests.handlers.translation.driving import JSON_HEAD, SSE_HEAD, play
from tests.handlers.translation.operations.test_operations import FORM, ask
from tests.laws.made import HOSTILE_TEXT, sse
from tests.laws.observing import random_splitting, split_at

JUDGE: TypeAdapter[Any] = TypeAdapter(TranscriptionStreamEvent)
USAGE = {"type": "tokens", "total_tokens": 182, "input_tokens": 37, "output_tokens": 145,
         "input_token_details": {"text_tokens": 0, "audio_tokens": 37}}  # fmt: skip
DELTAS: list[dict[str, Any]] = [
    {"type": "transcript.text.delta", "delta": HOSTILE_TEXT},
    {"type": "transcript.text.segment", "id": "s0", "text": " more", "speaker": "A", "start": 0.0, "end": 3.25},
]
ENDED = {"type": "transcript.text.done", "text": HOSTILE_TEXT + " more", "usage": USAGE}
STREAM = sse(*DELTAS, ENDED, "[DONE]")
SOUND_HEAD = {"content-type": "audio/mpeg"}


def transcribe() -> Translation:
    form = FORM.replace(b"--xyz--", b'--xyz\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n--xyz--')
    return ask("transcriptions", form, stream=True, content_type="multipart/form-data; boundary=xyz")


def speak(text: str = "Hello") -> Translation:
    return ask("speech", {"input": text, "voice": "v", "stream_format": "sse"})


def payloads(outputs: list[Output]) -> list[dict[str, Any]]:
    told = b"".join(output.data + output.final for output in outputs)
    return [msgspec.json.decode(line[6:]) for line in told.split(b"\n") if line.startswith(b"data: {")]


def test_a_stream_is_asked_for_and_passes_through() -> None:
    translation = transcribe()
    assert translation.upstream.streams
    assert b'name="stream"\r\n\r\ntrue' in translation.upstream.body
    outputs = play(translation, STREAM)
    told = payloads(outputs)
    assert told == [*DELTAS, ENDED]
    for event in told:
        JUDGE.validate_python(event)
    assert outputs[-1].final.endswith(b"data: [DONE]\n\n")
    assert b"transcript.text.done" in outputs[-1].final
    assert translation.content_type == "text/event-stream"
    usage = translation.outcome.usage
    assert (usage.audio_input, usage.input, usage.output, usage.estimated) == (37, 0, 145, False)


def test_every_splitting_says_the_same_and_every_cut_is_a_failure() -> None:
    for pieces in [split_at(STREAM, range(1, len(STREAM))), *(random_splitting(STREAM, seed) for seed in range(50))]:
        assert payloads(play(transcribe(), *pieces)) == [*DELTAS, ENDED]
    whole = STREAM.index(b"data: [DONE]") - 2
    for cut in range(0, whole, 7):
        translation = transcribe()
        last = play(translation, STREAM[:cut])[-1]
        assert translation.outcome.failure is FailureClass.TRUNCATED
        assert b"[DONE]" not in last.final.replace(b"[DONE] ", b"")
        assert (b'"type":"error"' in last.final) is translation.outcome.semantic


def test_what_was_said_before_a_cut_is_metered_by_estimate() -> None:
    translation = transcribe()
    play(translation, sse(DELTAS[0]))
    usage = translation.outcome.usage
    assert usage.estimated
    assert usage.output > 0
    assert translation.outcome.failure is FailureClass.TRUNCATED
    silent = transcribe()
    play(silent, b"")
    assert silent.outcome.usage.output == silent.outcome.usage.audio_input == 0


def test_an_error_in_the_stream_ends_it_and_is_never_quoted() -> None:
    translation = transcribe()
    error = {"type": "error", "error": {"type": "server_error", "message": "upstream words"}}
    outputs = play(translation, sse(DELTAS[0], error))
    assert translation.outcome.failure is FailureClass.SERVER_ERROR
    assert payloads(outputs)[-1]["error"]["type"] == "provider_unavailable"
    assert b"upstream words" not in b"".join(output.data + output.final for output in outputs)


def test_an_answer_that_comes_whole_is_told_in_events() -> None:
    for head, body in (
        (JSON_HEAD, b'{"text":"hi","usage":{"type":"duration","seconds":3}}'),
        ({"content-type": "text/plain"}, b"hi"),
    ):
        translation = transcribe()
        told = payloads(play(translation, body, head=head))
        assert [event["type"] for event in told] == ["transcript.text.delta", "transcript.text.done"]
        assert told[1]["text"] == "hi"
        for event in told:
            JUDGE.validate_python(event)
        assert translation.outcome.failure is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff{", b'{"error":{"type":"server_error"}}'])
def test_what_cannot_be_read_is_a_failure(body: bytes) -> None:
    translation = transcribe()
    assert play(translation, body, head=JSON_HEAD)[-1].final == b""
    assert translation.outcome.failure is not None


def test_speech_in_events_is_metered_by_its_last_event() -> None:
    translation = speak()
    assert translation.upstream.streams
    delta = {"type": "speech.audio.delta", "audio": "SUQz"}
    done = {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}}
    assert payloads(play(translation, sse(delta, done))) == [delta, done]
    usage = translation.outcome.usage
    assert (usage.characters, usage.input, usage.audio_output, usage.output) == (5, 14, 101, 0)


def test_plain_sound_is_told_in_events_byte_for_byte() -> None:
    sound = bytes(range(256)) * 3 + b"x"
    for pieces in ([sound], split_at(sound, range(1, len(sound))), split_at(sound, [1, 5, 6, 300])):
        translation = speak()
        told = payloads(play(translation, *pieces, head=SOUND_HEAD))
        assert b"".join(b64decode(event["audio"]) for event in told[:-1]) == sound
        assert told[-1]["type"] == "speech.audio.done"
        usage = translation.outcome.usage
        assert usage.characters == 5
        assert usage.estimated


def test_an_error_status_is_a_failure_and_other_formats_are_refused() -> None:
    translation = speak()
    play(translation, b'{"error":{"type":"invalid_request_error"}}', status=400, head=JSON_HEAD)
    assert translation.outcome.failure is FailureClass.INVALID_REQUEST
    with pytest.raises(InvalidRequest) as refused:
        ask("speech", {"input": "a", "voice": "v", "stream_format": "wire"})
    assert refused.value.param == "stream_format"


def test_bytes_after_the_end_are_counted_and_ignored() -> None:
    translation = transcribe()
    translation.start(200, SSE_HEAD)
    assert translation.receive_data(STREAM).ended
    assert translation.receive_data(b"more") == Output()
    assert translation.receive_eof().ended
    assert translation.outcome.ignored_bytes == 4


def test_models_that_count_in_tokens_are_metered_where_no_usage_is_said() -> None:
    """Plain sound and plain text carry no usage: the price per token must not become nothing."""
    spoken = ask("speech", {"input": "Hello there", "voice": "v"})
    play(spoken, b"ID3", head=SOUND_HEAD)
    assert spoken.outcome.usage.input > 0
    assert spoken.outcome.usage.audio_output > 0
    written = ask("transcriptions", FORM, content_type="multipart/form-data; boundary=xyz")
    play(written, b"hello there", head={"content-type": "text/plain"})
    assert written.outcome.usage.output > 0
    assert written.outcome.usage.audio_input > 0
