"""A site to ask, with a report of our choosing."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import msgspec

from handlers.clouds.function_compute import http_event
from handlers.site.proofs import Proof, Report
from handlers.site.routes import Site, open_resolver
from handlers.telemetry.logs import Log

PUBLIC_URL = "https://api.therouter.example"
REPORT = Report(
    commit="0123456789abcdef",
    modified=False,
    ran_at="2026-11-23T07:00:00Z",
    claims={
        "C1": Proof(passed=("tests/a.py::test_one", "tests/a.py::test_two")),
        "C2": Proof(passed=("tests/a.py::test_three",), failed=("tests/a.py::test_four",)),
        "C3": Proof(skipped=("tests/a.py::test_five",)),
    },
)
PAGES = (
    "/",
    "/trust",
    "/trust/data",
    "/trust/recipients",
    "/trust/claims",
    "/docs",
    "/security/policy",
    "/security/bulletins",
)
DOCUMENTS = ("/docs/openapi.json", "/trust/claims.json", "/.well-known/security.txt", "/security/bulletins.atom")
VOID = {"meta", "br", "link", "hr"}


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: str


def make_site(region: str = "global", report: Report | None = REPORT, log: Log | None = None) -> Site:
    return Site(region=region, public_url=PUBLIC_URL, report=report, log=log or Log())


def ask(
    site: Site, path: str, query: str = "", *, method: str = "GET", headers: dict[str, str] | None = None
) -> Answer:
    """What an ALB would get."""
    event: dict[str, Any] = http_event(method, path, query, list((headers or {}).items()), b"")
    answer = open_resolver(site).resolve(event, None)
    fields = {name.lower(): values[0] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    fields |= {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    return Answer(answer["statusCode"], fields, answer["body"])


class Reader(HTMLParser):
    """Reads a page strictly: every element must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)
