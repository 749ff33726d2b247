"""The two cookies of a browser: its session, and a sign-in under way. One name each, neither readable by scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from handlers.errors import InvalidRequest

SESSION = "therouter"
FLOW = "therouter-sign-in"
_VALUE = re.compile(r"[A-Za-z0-9_.=-]{1,4000}")


@dataclass(frozen=True)
class Cookies:
    """`secure`: everywhere but over plain HTTP on one machine."""

    secure: bool

    def session(self, token: str, life_s: int) -> str:
        """The header that gives a browser its session."""
        return self._header(SESSION, token, life_s)

    def flow(self, kept: str, life_s: int) -> str:
        """The header that gives a browser what it keeps during a sign-in."""
        return self._header(FLOW, kept, life_s)

    def read_session(self, headers: Mapping[str, str]) -> str:
        """The session's token, or empty."""
        return self._read(SESSION, headers)

    def read_flow(self, headers: Mapping[str, str]) -> str:
        """What the browser kept, or empty."""
        return self._read(FLOW, headers)

    def _name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    def _header(self, name: str, value: str, life_s: int) -> str:
        secure = "; Secure" if self.secure else ""
        return f"{self._name(name)}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Lax{secure}"

    def _read(self, name: str, headers: Mapping[str, str]) -> str:
        wanted = self._name(name)
        pairs = [pair.strip().partition("=") for pair in headers.get("cookie", "").split(";")]
        found = {value for key, _, value in pairs if key == wanted}
        if len(found) > 1:
            raise InvalidRequest("The browser sent two different sessions; sign in again.", param="cookie")
        value = found.pop() if found else ""
        return value if _VALUE.fullmatch(value) else ""
