"""The admin room, and the identity provider of development that its people sign in at, as processes of `therouter up`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from handlers.local.postgres import free_port
from handlers.local.probes import answers
from handlers.local.processes import Child, plain_environment
from handlers.settings import Doors, Variable


class AdminBeside:
    """Starts and stops both.

    Args:
        home: the folder of this system's state; notices go to `mail` in it.
        variables: the deployment's.
        database: the database's, for the role admin.
        sign_in: whether to run the identity provider; without it only keys may come in.
    """

    def __init__(
        self, home: Path, variables: Mapping[str, str], database: Mapping[str, str], *, sign_in: bool = False
    ) -> None:
        server_port, issuer_port = free_port(), free_port()
        self.origin = f"http://127.0.0.1:{server_port}"
        self.issuer_url = f"http://127.0.0.1:{issuer_port}" if sign_in else ""
        self.issuer = Child(
            "sign-in",
            [sys.executable, "-m", "handlers.local.issuer", "--port", str(issuer_port)],
            plain_environment(variables),
            home / "logs" / "sign-in.log",
        )
        own = {
            **{str(name): value for name, value in Doors(issuer=self.issuer_url).variables().items()},
            Variable.MAIL: str(home / "mail"),
            Variable.PUBLIC_URL: self.origin,
        }
        entry = "handlers.admin.function.handler"
        self.server = Child(
            "admin",
            [sys.executable, "-m", "handlers.local.functions", entry, "--port", str(server_port)],
            plain_environment({**variables, **database, **own}),
            home / "logs" / "admin.log",
        )

    @property
    def url(self) -> str:
        """Where the control plane answers."""
        return f"{self.origin}/admin"

    @property
    def children(self) -> list[Child]:
        """What runs of it."""
        return [self.issuer, self.server] if self.issuer_url else [self.server]

    def start(self) -> None:
        """Start, and wait until somebody could come in."""
        for child in self.children:
            child.start()
        if self.issuer_url:
            configuration = f"{self.issuer_url}/.well-known/openid-configuration"
            self.issuer.await_ready(lambda: answers(configuration))
        self.server.await_ready(lambda: answers(f"{self.url}/openapi.json"))

    def stop(self) -> None:
        """Stop what runs."""
        for child in reversed(self.children):
            child.stop()
