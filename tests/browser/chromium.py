"""A real Chromium, driven over its debugging protocol: what a person's browser makes of a page."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.sync.client import ClientConnection, connect

BINARY = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_S = 20.0


class Tab:
    """One page of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.requests: list[str] = []
        """Addresses that the page asked for."""
        self.complaints: list[str] = []
        """What the console says: refused content, errors."""
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> Any:
        """One command; its result."""
        number = next(self._numbers)
        self._connection.send(msgspec.json.encode({"id": number, "method": method, "params": parameters}).decode())
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def _receive(self) -> Any:
        message = msgspec.json.decode(self._connection.recv(timeout=WAIT_S))
        self._note(message)
        return message

    def _note(self, message: Any) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled":
                self.complaints.append(str(message["method"]))

    def open(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Go there and wait until everything is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + WAIT_S
        while self._receive().get("method") != "Page.loadEventFired":
            assert time.monotonic() < deadline, f"{url} did not load"

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")


@contextmanager
def chromium() -> Iterator[Tab]:
    """A fresh browser with one empty tab."""
    assert BINARY is not None
    profile = Path(tempfile.mkdtemp(prefix="tr-browser-"))
    command = [BINARY, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    if os.getuid() == 0:
        command.insert(1, "--no-sandbox")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with connect(_await_tab(profile), max_size=None) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
            process.wait(WAIT_S)
            shutil.rmtree(profile, ignore_errors=True)


def _await_tab(profile: Path) -> str:
    """The debugging address of the first tab."""
    deadline = time.monotonic() + WAIT_S
    announced = profile / "DevToolsActivePort"
    while time.monotonic() < deadline:
        if announced.exists() and (lines := announced.read_text().splitlines()):
            tabs = httpx.get(f"http://127.0.0.1:{lines[0]}/json/list", trust_env=False).json()
            pages = [tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"]
            if pages:
                return str(pages[0])
        time.sleep(0.05)
    raise TimeoutError("Chromium did not start")
