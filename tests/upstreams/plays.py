"""What an upstream can do to us: every fault F01-F14 and every hostile answer A50-A59 as one row of `PLAYS`.

A play turns the correct answer into steps: bytes to write, seconds to wait, or a way to end the connection. Faults that
happen before there is a connection (F01 refused, F02 no answer to the handshake) are addresses: see `addresses.py`.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

import msgspec

from tests.upstreams.answers import Answer, body_pieces, event


class Ending(Enum):
    """How a play leaves its connection."""

    RESET = "reset"
    CLOSE = "close"
    HANG = "hang"


UNSAFE_HEADERS = {
    "set-cookie": "session=stolen",
    "access-control-allow-origin": "*",
    "x-therouter-provider": "forged",
    "authorization": "Bearer echoed",
    "server": "scripted",
    "alt-svc": "h3=':1'",
    "strict-transport-security": "max-age=0",
}
"""What a provider may send and no client of ours may receive."""

Headers = Mapping[str, str]
NO_HEADERS: Headers = {}


@dataclass(frozen=True)
class Heard:
    """Wait until the test says that its client has received the beginning: `ScriptedUpstream.tell_heard(gate)`."""

    gate: str


Step = bytes | float | Heard | Ending
"""Write these bytes; wait this many seconds, or for word of the client; end."""


@dataclass(frozen=True)
class Play:
    """One performance: which row of `PLAYS`, with which options, in answer to which request."""

    name: str = "well"
    options: dict[str, str] = field(default_factory=dict)
    request_headers: tuple[tuple[str, str], ...] = ()
    request_body: bytes = b""

    def number(self, name: str, default: float) -> float:
        """An option that is a number."""
        return float(self.options.get(name, default))


def perform(play: Play, answer: Answer) -> Iterable[Step]:
    """The steps of a play."""
    return PLAYS[play.name](play, answer)


def _pause(play: Play, seconds: float) -> float | Heard:
    """Before a fault strikes in the middle: until the beginning has been heard, where the test says so (`gate`)."""
    return Heard(play.options["gate"]) if "gate" in play.options else seconds


def head(status: int, headers: dict[str, str]) -> bytes:
    """A response head."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(piece: bytes) -> bytes:
    """One chunk of chunked framing."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def whole(
    body: bytes, status: int = 200, content_type: str = "application/json", headers: Headers = NO_HEADERS
) -> list[Step]:
    """A complete answer of one body with its length."""
    return [head(status, {"content-type": content_type, "content-length": str(len(body)), **headers}) + body]


def streamed(
    pieces: Iterable[bytes | float | Heard], delay_s: float = 0.0, headers: Headers = NO_HEADERS
) -> Iterator[Step]:
    """A complete stream of events, each in its own write; server-sent events unless `headers` say otherwise."""
    yield head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **headers})
    for piece in pieces:
        if delay_s:
            yield delay_s
        yield chunk(piece) if isinstance(piece, bytes) else piece
    yield b"0\r\n\r\n"


def _well(play: Play, answer: Answer, headers: Headers = NO_HEADERS) -> Iterable[Step]:
    """The correct answer; options: n (events), say (one word), delay_ms, split (bytes per write), finish, tool, thought, gate (in the middle)."""
    said = (play.options["say"],) if "say" in play.options else answer.words
    answer = replace(
        answer,
        words=tuple(f"word{i} " for i in range(int(play.number("n", 0)))) or said,
        finish=play.options.get("finish", answer.finish),
        thought=play.options.get("thought", ""),
        tool_arguments='{"city":"Lyon"}' if "tool" in play.options else answer.tool_arguments,
    )
    pieces = body_pieces(answer)
    size = int(play.number("split", 0))
    if size and answer.stream:
        joined = b"".join(pieces)
        pieces = [joined[at : at + size] for at in range(0, len(joined), size)]
    delay_s = play.number("delay_ms", 0) / 1000
    if answer.stream:
        steps: list[bytes | Heard] = [*pieces]
        if "gate" in play.options:
            steps.insert(len(steps) // 2, Heard(play.options["gate"]))
        return streamed(steps, delay_s, {"content-type": answer.content_type, **headers})
    return [delay_s, *whole(pieces[0], headers=headers)]


def _wire_bytes(play: Play, answer: Answer) -> bytes:
    return b"".join(step for step in _well(play, answer) if isinstance(step, bytes))


def _cut(ending: Ending) -> Callable[[Play, Answer], Iterable[Step]]:
    """The first `k` bytes of the correct answer (negative: all but the last), then the ending; default: half."""

    def play_it(play: Play, answer: Answer) -> Iterable[Step]:
        everything = _wire_bytes(play, answer)
        return [everything[: int(play.number("k", len(everything) // 2))], _pause(play, 0.02), ending]

    return play_it


def _hang_after_events(play: Play, answer: Answer) -> Iterable[Step]:
    """`k` correct pieces (head included), then silence; an answer that has no more is complete, and its connection good."""
    steps: list[Step] = [step for step in _well(play, answer) if isinstance(step, bytes)]
    k = int(play.number("k", 1))
    return [*steps[:k], Ending.HANG] if k < len(steps) else steps


def _hang_in_body(_: Play, answer: Answer) -> Iterable[Step]:
    kind = "text/event-stream" if answer.stream else "application/json"
    return [head(200, {"content-type": kind, "transfer-encoding": "chunked"}), Ending.HANG]


def _status(play: Play, answer: Answer) -> Iterable[Step]:
    """An error answer; options: code, retry_after, type (error code in the body), message."""
    code = int(play.number("code", 500))
    body = _error_body(answer, play.options.get("type", "server_error"), "scripted failure")
    retry = {"retry-after": play.options["retry_after"]} if "retry_after" in play.options else {}
    return whole(body, code, headers=retry)


def _error_body(answer: Answer, kind: str, message: str) -> bytes:
    if answer.format == "anthropic_messages":
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": kind}})


def _error_in_200(play: Play, answer: Answer) -> Iterable[Step]:
    """Status 200, then an error where the answer should be; options: k (correct events before it), delay_ms."""
    body = _error_body(answer, play.options.get("type", "overloaded_error"), "scripted overload")
    if not answer.stream:
        return whole(body)
    error = b"event: error\ndata: " + body + b"\n\n"
    before = body_pieces(answer)[: int(play.number("k", 0))]
    return streamed([*before, _pause(play, 0.0), error], play.number("delay_ms", 0) / 1000)


def _echo(play: Play, _: Answer) -> Iterable[Step]:
    """A57: an error that quotes the credential and the whole request."""
    lines = [f"{name}: {value}" for name, value in play.request_headers]
    text = "\n".join([*lines, play.request_body.decode("utf-8", "replace")])
    body = msgspec.json.encode({"error": {"message": text, "type": text[:2000], "code": text[:2000], "param": text}})
    return whole(body, int(play.number("code", 401)), headers={"x-echo": lines[-1] if lines else ""})


def _refuse_streams(play: Play, answer: Answer) -> Iterable[Step]:
    """As OpenAI answers accounts that may not stream a model; option `words`: without naming the field."""
    if not answer.stream:
        return _well(play, answer)
    message = "This model doesn't support streaming." if "words" in play.options else "You must be verified."
    error = {"message": message, "type": "invalid_request_error", "code": "unsupported_value"}
    return whole(msgspec.json.encode({"error": error | ({} if "words" in play.options else {"param": "stream"})}), 400)


def _late(play: Play, answer: Answer) -> Iterable[Step]:
    """Silence for `ms`, then the correct answer, or with `code` an error."""
    yield play.number("ms", 1000) / 1000
    yield from _status(play, answer) if "code" in play.options else _well(Play(), answer)


def _drip(play: Play, answer: Answer) -> Iterable[Step]:
    """The correct answer, byte by byte."""
    delay_s = play.number("delay_ms", 50) / 1000
    return itertools.chain.from_iterable((bytes([byte]), delay_s) for byte in _wire_bytes(Play(), answer))


def _endless(play: Play, answer: Answer) -> Iterable[Step]:
    """The same event for ever; options: kind (text, empty, comment, ping), k (correct events first), delay_ms, size."""
    kind = play.options.get("kind", "text")
    if not answer.stream:
        yield head(200, {"content-type": "application/json", "transfer-encoding": "chunked"}) + chunk(b'{"id":"')
        while True:
            yield chunk(b"x" * int(play.number("size", 65_536)))
            yield play.number("delay_ms", 0) / 1000
    pieces = body_pieces(replace(answer, words=("x" * int(play.number("size", 1000)),), usage=None))
    word_at = 3 if answer.format == "anthropic_messages" else 1
    again = {
        "text": pieces[word_at],
        "empty": body_pieces(replace(answer, words=("",)))[word_at],
        "comment": b": still here\n\n",
        "ping": event({"type": "ping"}, "ping"),
    }[kind]
    yield head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    yield from (chunk(piece) for piece in pieces[: int(play.number("k", word_at))])
    while True:
        yield play.number("delay_ms", 0) / 1000
        yield chunk(again)


def _usage(play: Play, answer: Answer) -> Iterable[Step]:
    """A55: usage that is absent, twice, growing, negative, absurd or contradictory; option kind."""
    kind = play.options.get("kind", "missing")
    variants: dict[str, dict[str, int] | None] = {
        "missing": None,
        "negative": {"input": -11, "cached": 0, "output": -9},
        "huge": {"input": 10**18, "cached": 0, "output": 10**18},
        "cached-over-prompt": {"input": 5, "cached": 50, "output": 9},
    }
    if kind in variants:
        return _well(play, replace(answer, usage=variants[kind]))
    pieces = body_pieces(answer)
    if kind == "nan":
        pieces = [piece.replace(b'_tokens":9', b'_tokens":NaN') for piece in pieces]
    if kind in {"twice", "changing"} and answer.stream:
        at = next(i for i in range(len(pieces) - 1, -1, -1) if b'"usage"' in pieces[i])
        other = pieces[at] if kind == "twice" else pieces[at].replace(b'_tokens":9', b'_tokens":7')
        pieces.insert(at, other)
    return streamed(pieces) if answer.stream else whole(pieces[0])


def _text(play: Play, answer: Answer) -> Iterable[Step]:
    """A50: every character that has ever split a line, in the middle of a word."""
    nasty = "a\rb\nc\r\nd\u2028e\u2029f\u0085g\x0bh\x0ci\x1cj\x00kdata: levent: mid: nretry: o[DONE]\n\ndata: p"
    return _well(play, replace(answer, words=(nasty, " end")))


def _sse(play: Play, answer: Answer) -> Iterable[Step]:
    """A51: legal and illegal spellings of a stream; option kind (cr, crlf, bom, unfinished, comments, long)."""
    joined = b"".join(body_pieces(answer))
    kind = play.options.get("kind", "cr")
    variants = {
        "cr": lambda: [joined.replace(b"\n", b"\r")],
        "crlf": lambda: [joined.replace(b"\n", b"\r\n")],
        "bom": lambda: [b"\xef\xbb\xbf", joined],
        "unfinished": lambda: [joined.rstrip(b"\n")],
        "comments": lambda: [b": hello\n\n", *(piece + b": between\n\n" for piece in body_pieces(answer))],
        "long": lambda: [b"data: ", *(b"x" * 65536 for _ in range(int(play.number("mb", 100) * 16))), b"\n\n"],
    }
    return streamed(variants[kind]())


def _redirect(play: Play, _: Answer) -> Iterable[Step]:
    target = play.options.get("to", "http://127.0.0.1:9/elsewhere")
    return [head(int(play.number("code", 302)), {"location": target, "content-length": "0"})]


def _informational(play: Play, answer: Answer) -> Iterable[Step]:
    flood = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    return [*(flood for _ in range(int(play.number("n", 100_000)))), *_well(Play(), answer)]


def _wrong_length(play: Play, answer: Answer) -> Iterable[Step]:
    """Content-Length that is `by` bytes more (or less) than what follows."""
    body = b"".join(body_pieces(answer))
    kind = "text/event-stream" if answer.stream else "application/json"
    length = len(body) + int(play.number("by", 10))
    return [head(200, {"content-type": kind, "content-length": str(length)}) + body, 0.02, Ending.CLOSE]


def _compressed(play: Play, answer: Answer) -> Iterable[Step]:
    """A compressed body although `identity` was asked for; option mb: a bomb of that many megabytes."""
    bomb = b"\x00" * int(play.number("mb", 0) * 1_000_000)
    body = gzip.compress(bomb or b"".join(body_pieces(answer)))
    kind = "text/event-stream" if answer.stream else "application/json"
    return whole(body, content_type=kind, headers={"content-encoding": "gzip"})


def _hostile_headers(play: Play, answer: Answer) -> Iterable[Step]:
    """A56; option kind (huge, many, unsafe)."""
    kind = play.options.get("kind", "unsafe")
    if kind == "huge":
        return _well(play, answer, {"x-padding": "x" * 1_000_000})
    if kind == "many":
        return _well(play, answer, {f"x-{i}": "1" for i in range(5000)})
    return _well(play, answer, UNSAFE_HEADERS)


def _bent_json(play: Play, answer: Answer) -> Iterable[Step]:
    """A59; option kind (twice: duplicate keys, bytes: no UTF-8, depth: 10,000 arrays)."""
    bent = {
        "twice": b'{"choices":[],"choices":[{"index":0,"delta":{"content":"twin"}}]}',
        "bytes": b'{"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}',
        "depth": b'{"choices":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    }[play.options.get("kind", "twice")]
    return streamed([b"data: " + bent + b"\n\n", b"data: [DONE]\n\n"]) if answer.stream else whole(bent)


def _large_call(play: Play, answer: Answer) -> Iterable[Step]:
    """A54: tool-call arguments of `mb` megabytes; option kind (long, bent: no valid JSON)."""
    size = int(play.number("mb", 50) * 1_000_000)
    bent = play.options.get("kind") == "bent"
    return _well(Play(), replace(answer, tool_arguments="{" * size if bent else '{"a":"' + "x" * size + '"}'))


PLAYS: dict[str, Callable[[Play, Answer], Iterable[Step]]] = {
    "well": _well,
    "slam": lambda _play, _answer: [Ending.RESET],  # F01's cousin: accepted, read, and thrown out
    "hang-before-headers": lambda _play, _answer: [Ending.HANG],  # F03
    "hang-after-headers": _hang_in_body,  # F04
    "hang-after": _hang_after_events,  # F04, mid-stream
    "reset-at": _cut(Ending.RESET),  # F05
    "truncate-at": _cut(Ending.CLOSE),  # F06
    "garbage": lambda _play, _answer: [b"\x16\x03\x01\x02\x00\x01\x00" * 40, Ending.CLOSE],  # F07
    "error-in-200": _error_in_200,  # F08, A53
    "status": _status,  # F09, F10 and every other status
    "no-streams": _refuse_streams,
    "json-for-stream": lambda play, answer: _well(play, replace(answer, stream=False)),
    "late": _late,  # F03, and then it comes after all
    "drip": _drip,  # F11
    "endless": _endless,  # F12, A52
    "usage": _usage,  # F13, F14, A55
    "text": _text,  # A50
    "sse": _sse,  # A51
    "html": lambda _play, _answer: whole(b"<html><body>maintenance</body></html>", content_type="text/html"),  # A53
    "empty": lambda _play, _answer: whole(b""),  # A53
    "no-content": lambda _play, _answer: [head(204, {})],  # A53
    "redirect": _redirect,  # A53
    "informational": _informational,  # A53
    "wrong-length": _wrong_length,  # A53
    "compressed": _compressed,  # A53
    "large-call": _large_call,  # A54
    "headers": _hostile_headers,  # A56
    "echo": _echo,  # A57
    "bent-json": _bent_json,  # A59
}
