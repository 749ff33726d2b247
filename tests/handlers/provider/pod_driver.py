"""Drives a real pod process over its real wire: one blocking exchange at a time, every frame kept."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from handlers.keys.wire_token import mint_wire_token
from handlers.settings import Variable
from handlers.translation.canonical.usage import Usage
from handlers.transport.frames import (
    FrameReader,
    decode_answer,
    decode_end,
    decode_head,
    decode_usage,
    encode_frame,
    encode_request,
)
from handlers.transport.wire import FrameKind, WireDeadlines, WireEnd, WireHead, WireRequest, WireTerms
from tests.waiting import until

PATIENT = WireDeadlines(
    connect_ms=15_000, headers_ms=15_000, first_event_ms=15_000, between_bytes_ms=15_000, between_events_ms=15_000,
    total_ms=30_000,
)  # fmt: skip


@dataclass
class Answer:
    """All frames of one exchange."""

    heads: list[WireHead] = field(default_factory=list)
    data: list[tuple[bytes, bool]] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    ends: list[tuple[WireEnd, bytes]] = field(default_factory=list)
    kinds: list[FrameKind] = field(default_factory=list)
    raw: bytes = b""

    @property
    def end(self) -> WireEnd:
        """The one END."""
        ((end, _),) = self.ends
        return end

    @property
    def body(self) -> bytes:
        """What the client would have received."""
        return b"".join(data for data, _ in self.data) + b"".join(final for _, final in self.ends)

    def add(self, kind: int, flags: int, payload: bytes) -> None:
        """Keep a frame; an ANSWER is kept as the HEAD and the END that it stands for."""
        if kind == FrameKind.ANSWER:
            head, end, final = decode_answer(payload)
            self.kinds += (FrameKind.HEAD, FrameKind.END)
            self.heads.append(head)
            self.ends.append((end, final))
            return
        self.kinds.append(FrameKind(kind))
        if kind == FrameKind.HEAD:
            self.heads.append(decode_head(payload))
        elif kind == FrameKind.DATA:
            self.data.append((payload, bool(flags)))
        elif kind == FrameKind.USAGE:
            self.usages.append(decode_usage(payload))
        else:
            assert kind == FrameKind.END
            self.ends.append(decode_end(payload))


class Exchange:
    """One connection with one request on it."""

    def __init__(self, address: str, request: WireRequest, body: bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(40)
        try:
            self.socket.connect(address.removeprefix("unix:"))
        except OSError:
            self.socket.close()
            raise
        self.answer = Answer()
        self._reader = FrameReader()
        self.closed = False
        frames = encode_frame(FrameKind.REQUEST, 0, encode_request(request)) + encode_frame(FrameKind.BODY, 0, body)
        self.socket.sendall(frames)

    def read(self) -> bool:
        """Read once; False when the pod has closed."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        self.answer.raw += data
        for frame in self._reader.feed(data):
            self.answer.add(*frame)
        self.closed = not data
        return bool(data)

    def read_until(self, kind: FrameKind) -> Answer:
        """Read until a frame of this kind has come, or the pod closes."""
        while kind not in self.answer.kinds and self.read():
            pass
        return self.answer

    def finish(self) -> Answer:
        """Read to END, and see that nothing follows it."""
        self.read_until(FrameKind.END)
        self.socket.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            self.read()
        self.socket.close()
        assert len(self.answer.ends) <= 1
        return self.answer

    def is_refused(self) -> bool:
        """Whether the pod closes without a frame."""
        self.read()
        self.socket.close()
        return self.closed and not self.answer.raw

    def stop_sending(self) -> None:
        """Half-close: the gateway's way to cancel."""
        self.socket.shutdown(socket.SHUT_WR)


class PodProcess:
    """`python -m handlers.provider` with settings of its own; a context manager."""

    def __init__(
        self, provider: str, base_url: str, *, credential: str = "", sealing_keys: dict[int, bytes] | None = None
    ) -> None:
        self.provider = provider
        self.credential = credential or secrets.token_urlsafe(24)
        self.wire_key = self.wire_key_before = secrets.token_hex(32).encode()
        self._folder = Path(tempfile.mkdtemp(prefix="tr-"))
        self.address = f"unix:{self._folder}/pod.sock"
        self.log = self._folder / "log"
        write_secrets(self._folder / "secrets", self, sealing_keys or {})
        self._environment = {
            "PATH": os.environ["PATH"],
            Variable.PROVIDER: provider,
            Variable.LISTEN: self.address,
            Variable.BASE_URL: base_url,
            Variable.SECRETS: str(self._folder / "secrets"),
            Variable.LOG_LEVEL: "debug",
        }
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "handlers.provider"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        until(self._has_started)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self._folder)

    def _has_started(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return b'"event":"started"' in self.log.read_bytes()

    def rotate(self) -> None:
        """Put a new credential and a new wire key into the store, and tell the pod."""
        self.wire_key_before = self.wire_key
        self.wire_key = secrets.token_hex(32).encode()
        self.credential = secrets.token_urlsafe(24)
        write_secrets(self._folder / "secrets", self, {})
        self.process.send_signal(signal.SIGHUP)

    def request(self, **fields: Any) -> WireRequest:
        """A valid request of a gateway; fields replace its parts, and the token fits what they say."""
        values: dict[str, Any] = {
            "request_id": secrets.token_hex(8),
            "account": "account-1",
            "dialect": "openai_chat",
            "operation": "chat",
            "endpoint": f"openai/gpt-4o-mini@{self.provider}",
            "public_model": "openai/gpt-4o-mini",
            "stream": False,
            "deadlines": PATIENT,
            **fields,
        }
        if "token" not in values:
            values["token"] = mint_wire_token(
                self.wire_key, values["request_id"], values["account"], values["endpoint"],
                values.get("byok_record", ""), int(time.time()) + 30,
            )  # fmt: skip
        own = {name: values.pop(name) for name in WireRequest.__struct_fields__[1:] if name in values}
        return WireRequest(WireTerms(**values), **own)

    def open(self, body: object, **fields: Any) -> Exchange:
        """Send a request and leave the answer to be read."""
        encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return Exchange(self.address, self.request(**fields), encoded)

    def ask(self, body: object, **fields: Any) -> Answer:
        """One whole exchange."""
        return self.open(body, **fields).finish()


def write_secrets(folder: Path, pod: PodProcess, sealing_keys: dict[int, bytes]) -> None:
    """The secrets of one pod, as the local secret store keeps them."""
    contents = {
        "origin.json": msgspec.json.encode({"region": "global", "environment": "local"}),
        f"wire/{pod.provider}": pod.wire_key,
        f"provider/{pod.provider}": pod.credential.encode(),
    }
    if sealing_keys:
        held = {version: base64.urlsafe_b64encode(key).decode().rstrip("=") for version, key in sealing_keys.items()}
        contents[f"seal/{pod.provider}"] = msgspec.json.encode(held)
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)


def chat(play: str = "", **fields: Any) -> dict[str, Any]:
    """A chat request; `play` steers the scripted upstream, as in `reset-at k=40`."""
    marker = f" {{{{play {play}}}}}" if play else ""
    return {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": f"Hello{marker}"}], **fields}
