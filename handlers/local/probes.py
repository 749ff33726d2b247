"""Whether a process of this machine answers yet."""

from __future__ import annotations

import socket

import httpx


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
    try:
        answer = httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200 or (b'"restore"' in answer.content and b'"spool"' not in answer.content)


def answers(url: str) -> bool:
    """The address answers with success."""
    try:
        return httpx.get(url, timeout=1.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
