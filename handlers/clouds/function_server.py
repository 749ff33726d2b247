"""The container's server on Function Compute: `python -m handlers.clouds.function_server handlers.ROOM.MODULE.NAME`.

Theory of operation
    The platform turns every invocation of a function that runs our image into an HTTP request to one port.

        POST /invoke with x-fc-control-path: /invoke   an event: a timer's, an alarm's
        anything else                                  a client's request, through the load balancer

Rules
    Who comes through the load balancer cannot speak as the platform: a request that carries its forwarding header, or another
    path, is never an event, whatever headers it has.
    What a handler raises is answered 500, so that the platform counts and retries it, with our words and nothing of the exception.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from handlers.clouds.acs3 import Credentials
from handlers.clouds.aliyun_api import provide_identity
from handlers.clouds.function_compute import Context, Handler, function_arn, http_event, read_answer, read_event

PORT = 9_000
INVOKE = "/invoke"
BODY_BYTES_MAX = 32 * 1024 * 1024
"""What the platform sends at most."""
FAILED = msgspec.json.encode(
    {"error": {"code": "internal_error", "message": "The function failed; retry later.", "type": "server_error"}}
)
REFUSED = msgspec.json.encode(
    {
        "error": {
            "code": "invalid_request",
            "message": "Send a body of at most 32 MiB, with its length.",
            "type": "invalid_request",
        }
    }
)
_JSON = {"content-type": ["application/json"]}


class _Invocation(BaseHTTPRequestHandler):
    """One request of the platform."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    handler: Handler
    invocations: bool
    """Whether a platform stands before this server, which sends events and identities of its own."""

    def _serve(self) -> None:
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not length.isdecimal() or int(length) > BODY_BYTES_MAX:
            # The platform sends whole bodies with their length; what else comes here is not read further.
            self.close_connection = True
            self._answer(400, _JSON, REFUSED)
            return
        body = self.rfile.read(int(length))
        try:
            self._invoke(body)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the platform gets an answer and the client no detail
            self._answer(500, {**_JSON, "x-fc-status": ["500"]}, FAILED)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - named by the base class

    def _is_event(self) -> bool:
        """Whether the platform itself asks, and not somebody behind the load balancer."""
        return (
            self.invocations
            and self.command == "POST"
            and self.path == INVOKE
            and self.headers.get("x-fc-control-path") == INVOKE
            and "x-forwarded-for" not in self.headers
        )

    def _invoke(self, body: bytes) -> None:
        given = [
            self.headers.get(f"x-fc-{name}", "") for name in ("access-key-id", "access-key-secret", "security-token")
        ]
        if given[0] and self.invocations:
            provide_identity(Credentials(*given))
        if self._is_event():
            result = type(self).handler(read_event(body or b"{}"), self._context())
            self._answer(200, _JSON, msgspec.json.encode(result))
            return
        path, _, query = self.path.partition("?")
        headers = [(name, value) for name, value in self.headers.items() if not name.lower().startswith("x-fc-")]
        headers.append(("x-forwarded-for", self.client_address[0]))
        event = http_event(self.command, path, query, headers, body, request_id=self.headers.get("x-fc-request-id", ""))
        status, fields, answer = read_answer(type(self).handler(event, self._context()))
        self._answer(status, fields, answer)

    def _context(self) -> Context:
        name = self.headers.get("x-fc-function-name", "")
        timeout = self.headers.get("x-fc-function-timeout", "30")
        memory = self.headers.get("x-fc-function-memory", "0")
        return Context(
            aws_request_id=self.headers.get("x-fc-request-id", ""),
            function_name=name,
            memory_limit_in_mb=int(memory) if memory.isdecimal() else 0,
            invoked_function_arn=function_arn(
                self.headers.get("x-fc-region", ""), self.headers.get("x-fc-account-id", ""), name
            ),
            deadline_s=time.monotonic() + (int(timeout) if timeout.isdecimal() else 30),
        )

    def _answer(self, status: int, headers: Mapping[str, list[str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, values in headers.items():
            for value in values:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """A request that is none: refused without its own words, which the base class would quote."""
        self.close_connection = True
        self._answer(code, _JSON, REFUSED)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: request lines hold paths and queries, and our log has a closed schema."""


def load_handler(entry: str) -> Handler:
    """`handlers.admin.function.handler` -> the function; ValueError when it is not one of ours."""
    module, _, name = entry.rpartition(".")
    if not module.startswith("handlers.") or not name.isidentifier():
        raise ValueError(f"{entry} is no handler of ours: write handlers.ROOM.MODULE.NAME")
    handler: Handler = getattr(importlib.import_module(module), name)
    return handler


def make_server(
    handler: Handler, address: tuple[str, int] = ("0.0.0.0", PORT), *, invocations: bool = True
) -> ThreadingHTTPServer:
    """The container's server, bound and not yet serving; without `invocations` it knows clients' requests alone."""
    bound = type("Invocation", (_Invocation,), {"handler": staticmethod(handler), "invocations": invocations})
    server = ThreadingHTTPServer(address, bound)
    server.daemon_threads = True
    return server


def main() -> int:
    """Serve the handler that the command line names, until the platform ends the container."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m handlers.clouds.function_server handlers.ROOM.MODULE.NAME\n")
        return 2
    make_server(load_handler(sys.argv[1])).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
