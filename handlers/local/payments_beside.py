"""The payments room and its company's stand-in, as two processes beside the gateway of `therouter up`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from handlers.local.postgres import free_port
from handlers.local.probes import responds
from handlers.local.processes import Child, plain_environment
from handlers.settings import Variable
from handlers.workloads import PAYMENT_COMPANIES


class PaymentsBeside:
    """Starts and stops both.

    Args:
        region: decides the company.
        secrets: the folder of secret files; the stand-in reads the merchant's keys there, and makes those that are missing.
        logs: the folder of log files.
        variables: the deployment's and the database's, for the role payments.
    """

    def __init__(self, region: str, secrets: Path, logs: Path, variables: Mapping[str, str]) -> None:
        company, _ = PAYMENT_COMPANIES[region]
        server_port, company_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{server_port}/payments"
        self.company_url = f"http://127.0.0.1:{company_port}"
        self._merchant = secrets / "payments" / company
        self.company = Child(
            f"{company} stand-in",
            [
                *(sys.executable, "-m", f"handlers.local.{company}_standin", "--port", str(company_port)),
                *("--secrets", str(self._merchant), "--notify", f"{self.url}/webhooks/{company}"),
            ],
            plain_environment({}),
            logs / f"{company}-standin.log",
        )
        self.server = Child(
            "payments",
            [sys.executable, "-m", "handlers.local.payments_server", "--port", str(server_port)],
            plain_environment(
                {
                    **variables,
                    Variable.PUBLIC_URL: f"http://127.0.0.1:{server_port}",
                    Variable.BASE_URL: self.company_url,
                }
            ),
            logs / "payments.log",
        )

    @property
    def children(self) -> list[Child]:
        """Both processes."""
        return [self.company, self.server]

    def start(self) -> None:
        """Start both: the room finds the merchant's keys, which the stand-in may have made a moment ago."""
        self.company.start()
        self.company.await_ready(self._merchant.exists)
        self.server.start()

    def await_ready(self) -> None:
        """Wait until a customer could come."""
        self.company.await_ready(lambda: responds(self.company_url))
        self.server.await_ready(lambda: responds(f"{self.url}/return"))

    def stop(self) -> None:
        """Stop both."""
        for child in reversed(self.children):
            child.stop()
