"""The whole system in a folder of its own, with scripted providers, for tests that look at what it leaves behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.upstreams.scripted import ScriptedUpstream


@dataclass(frozen=True)
class WholeSystem:
    """A running system, its key and its providers."""

    system: LocalSystem
    home: Home
    upstream: ScriptedUpstream
    key: str
    other_key: str

    def client(self, key: str = "") -> httpx.Client:
        """A client that speaks to the gateway with a key."""
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.system.url, headers=headers, timeout=30, trust_env=False)

    def process_ids(self) -> dict[str, int]:
        """All processes of the system by name."""
        return {child.name: child.pid for child in self.system.children()}


@contextmanager
def whole_system(credentials: dict[str, str]) -> Iterator[WholeSystem]:
    """Start everything but the model; every provider is the scripted one, with the credential that it is given here."""
    folder = Path(tempfile.mkdtemp(prefix="tr-"))  # not pytest's: the database's own user must be able to enter it
    folder.chmod(0o711)
    temporary = folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    home = Home(folder / "global")
    try:
        with ScriptedUpstream() as upstream:
            addresses = dict.fromkeys(credentials, f"{upstream.url}/v1")
            options = Options(
                port=0, model=False, credentials=credentials, addresses=addresses, durable=False, log_level="debug"
            )
            system = LocalSystem(home, options)
            system.start()
            try:
                yield WholeSystem(system, home, upstream, *_make_keys(home))
            finally:
                system.stop()
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(folder)


def _make_keys(home: Home) -> tuple[str, str]:
    access = Access.open(home)
    try:
        access.ensure_tenant()
        return access.create_key("first"), access.create_key("second")
    finally:
        access.close()
