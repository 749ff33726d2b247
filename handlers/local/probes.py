"""Whether a process of this machine answers yet."""

from __future__ import annotations

import socket
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

PATIENCE_S = 5.0


def accepts(address: str) -> bool:
    """Somebody listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address.removeprefix("unix:"))
        except OSError:
            return False
        return True


def serves(url: str) -> bool:
    """Ready, or ready but for a restore that a person has to finish."""
    status, content = _ask(f"{url}/readyz")
    return status == 200 or (b'"restore"' in content and b'"spool"' not in content)


def answers(url: str) -> bool:
    """The address answers with success."""
    return _ask(url)[0] == 200


def responds(url: str) -> bool:
    """The address answers, and with no fault of the server's."""
    return 0 < _ask(url)[0] < 500


def _ask(url: str) -> tuple[int, bytes]:
    """(Status, body) of an http address; (0, nothing) where nobody answers.

    Asked again and again while a process starts, so without a client that would load its certificates each time.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()
