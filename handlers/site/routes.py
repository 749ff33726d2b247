"""The routes of the room: pages for people, and the same facts for programs. Everything is public, and nothing asks who reads.

GET  /  /trust              the trust page                  GET  /trust/data      the data inventory
GET  /trust/recipients      who receives data
GET  /trust/claims          claim -> tests                  GET  /trust/claims.json
GET  /docs                  the API                         GET  /docs/openapi.json
GET  /security/policy       how to report                   GET  /.well-known/security.txt
GET  /security/bulletins    and /<id>                       GET  /security/bulletins.atom, /security/bulletins/<id>.json

`?lang=en` and `?lang=zh` choose the language; without it the region does. Pages have no script, no form and no cookie.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from handlers.clouds.resolver import IsolatedResolver
from handlers.site.api import make_document
from handlers.site.bulletins import (
    Bulletin,
    load_bulletins,
    make_advisory,
    make_bulletin_page,
    make_list_page,
    write_feed,
)
from handlers.site.disclosure import make_policy_page, write_security_text
from handlers.site.docs import make_docs_page
from handlers.site.frame import CONTENT_POLICY, Page, frame
from handlers.site.inventory import make_inventory_page
from handlers.site.markup import Markup
from handlers.site.outline import sentences_of
from handlers.site.proofs import Report, proof_of, standing_of
from handlers.site.recipients import make_recipients_page
from handlers.site.texts import REVIEWED, Texts, choose_language, load_texts
from handlers.site.trust import make_claims_page, make_trust_page
from handlers.telemetry.logs import Log, Room

METHODS = ["GET", "HEAD"]
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
CACHE = {"cache-control": "public, max-age=300"}
NO_STORE = {"cache-control": "no-store"}
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
ATOM = "application/atom+xml; charset=utf-8"
MakePage = Callable[[Texts], Page]


def respond(status: int, kind: str, body: str, headers: Mapping[str, str] = CACHE) -> Response[str]:
    """An answer with the headers that all of them have."""
    return Response(status, kind, body, headers={**SECURITY_HEADERS, **headers})


class Site:
    """What the site shows in one region, from one report of a test run.

    Args:
        region: `global` or `china`; decides the first language.
        public_url: scheme and host that clients type.
        report: the test run of this build, or None.
        log: where faults of ours are noted.
        bulletins: newest first; those of this build by default.
    """

    def __init__(
        self,
        *,
        region: str,
        public_url: str,
        report: Report | None,
        log: Log,
        bulletins: tuple[Bulletin, ...] | None = None,
    ) -> None:
        self.region = region
        self.public_url = public_url.rstrip("/")
        self.report = report
        self.log = log
        self.bulletins = load_bulletins() if bulletins is None else bulletins
        self.pages: dict[str, MakePage] = {
            "/": self._trust,
            "/trust": self._trust,
            "/trust/data": make_inventory_page,
            "/trust/recipients": lambda texts: make_recipients_page(texts, region),
            "/trust/claims": lambda texts: make_claims_page(texts, report),
            "/docs": lambda texts: make_docs_page(texts, self.public_url),
            "/security/policy": make_policy_page,
            "/security/bulletins": lambda texts: make_list_page(texts, self.bulletins),
            **{
                f"/security/bulletins/{bulletin.id}": functools.partial(make_bulletin_page, bulletin=bulletin)
                for bulletin in self.bulletins
            },
        }
        self.render = functools.cache(self._render)

    def _trust(self, texts: Texts) -> Page:
        return make_trust_page(texts, self.report)

    def _render(self, path: str, language: str) -> str:
        texts = load_texts(language)
        return frame(self.pages[path](texts), texts, self.region)

    def claims(self) -> dict[str, Any]:
        """Claim -> standing and tests, for programs."""
        return {
            "report": None
            if self.report is None
            else {"commit": self.report.commit, "modified": self.report.modified, "ran_at": self.report.ran_at},
            "claims": {
                claim: {
                    "standing": standing_of(self.report, claim),
                    "sentences": keys,
                    "tests": proof_of(self.report, claim),
                }
                for claim, keys in sentences_of().items()
            },
        }

    def missing(self, language: str) -> str:
        """The page for an address that there is not."""
        texts = load_texts(language)
        page = Page("/", texts["site.missing_title"], texts["site.missing_text"], Markup(""))
        return frame(page, texts, self.region)


def open_resolver(site: Site) -> IsolatedResolver:
    """The resolver with all routes."""
    resolver = IsolatedResolver()

    def language() -> str:
        return choose_language(resolver.current_event.get_query_string_value("lang"), site.region)

    for path in site.pages:
        _add_page(resolver, site, path, language)
    _add_documents(resolver, site, language)
    _add_errors(resolver, site, language)
    return resolver


def _add_page(resolver: IsolatedResolver, site: Site, path: str, language: Callable[[], str]) -> None:
    @resolver.route(path, METHODS)
    def show_page() -> Response[str]:
        return respond(200, HTML, site.render(path, language()))


def _add_documents(resolver: IsolatedResolver, site: Site, language: Callable[[], str]) -> None:
    @resolver.route("/docs/openapi.json", METHODS)
    def show_document() -> Response[str]:
        document = make_document(load_texts(language()), site.public_url)
        return respond(200, JSON, msgspec.json.encode(document).decode())

    @resolver.route("/trust/claims.json", METHODS)
    def show_claims() -> Response[str]:
        return respond(200, JSON, msgspec.json.encode(site.claims()).decode())

    @resolver.route("/security/bulletins.atom", METHODS)
    def show_feed() -> Response[str]:
        return respond(200, ATOM, write_feed(load_texts(language()), site.bulletins, site.public_url))

    for bulletin in site.bulletins:
        _add_advisory(resolver, site, bulletin)

    @resolver.route("/.well-known/security.txt", METHODS)
    def show_security_text() -> Response[str]:
        return respond(200, TEXT, write_security_text(site.public_url, REVIEWED))


def _add_advisory(resolver: IsolatedResolver, site: Site, bulletin: Bulletin) -> None:
    @resolver.route(f"/security/bulletins/{bulletin.id}.json", METHODS)
    def show_advisory() -> Response[str]:
        return respond(200, JSON, msgspec.json.encode(make_advisory(bulletin, site.public_url)).decode())


def _add_errors(resolver: IsolatedResolver, site: Site, language: Callable[[], str]) -> None:
    def refuse(status: int, code: str, message: str, page: str | None = None) -> Response[str]:
        if page is not None and "text/html" in (resolver.current_event.headers.get("accept") or ""):
            return respond(status, HTML, page, NO_STORE)
        body = msgspec.json.encode({"error": {"code": code, "message": message}}).decode()
        return respond(status, JSON, body, NO_STORE)

    def no_route(_: NotFoundError) -> Response[str]:
        chosen = language()
        return refuse(404, "route_not_found", load_texts(chosen)["site.missing_json"], site.missing(chosen))

    def confess(error: Exception) -> Response[str]:
        site.log.fault(Room.SITE, error)
        return refuse(500, "internal_error", load_texts(language())["site.fault"])

    resolver.exception_handler(NotFoundError)(no_route)
    resolver.exception_handler(Exception)(confess)
