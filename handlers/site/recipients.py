"""Who receives data: the companies that run a region, and the providers that requests may go to, from the catalogue."""

from __future__ import annotations

import functools

from handlers.catalog.rows import ProviderRow, read_providers
from handlers.site.frame import Page
from handlers.site.markup import Markup, element, join, table
from handlers.site.texts import Texts

PATH = "/trust/recipients"
HERE = "--"
"""The country of servers on one's own machine."""
COMPANIES = {
    "global": (("Amazon Web Services", "US", "hosting"), ("Stripe", "US", "payments")),
    "china": (("Alibaba Cloud", "CN", "hosting"), ("WeChat Pay", "CN", "payments")),
}
"""Region -> (company, country, what it does for us)."""


@functools.cache
def list_providers(region: str) -> tuple[tuple[ProviderRow, str], ...]:
    """(row, country) of every provider that a region may call, by name."""
    rows = ((row, site.country) for row in read_providers() if (site := row.site(region)) is not None)
    return tuple(sorted(((row, country) for row, country in rows if country != HERE), key=lambda pair: pair[0].name))


def make_recipients_page(texts: Texts, region: str) -> Page:
    """The page of one region."""
    companies = ((name, country, texts[f"recipients.{purpose}"]) for name, country, purpose in COMPANIES[region])
    content = join(
        (
            _section("companies", texts, table(_columns(texts, "name", "country", "purpose"), companies)),
            _section("providers", texts, _providers(texts, region)),
        )
    )
    return Page(PATH, texts["recipients.title"], texts["recipients.lead"], content)


def _providers(texts: Texts, region: str) -> Markup:
    rows = ((row.name, country, *_policy(row, texts)) for row, country in list_providers(region))
    return table(_columns(texts, "name", "country", "keeps", "trains"), rows)


def _policy(row: ProviderRow, texts: Texts) -> tuple[str, str]:
    days = row.policy.retention_days
    keeps = texts.count("recipients.days", days) if days else texts["recipients.nothing"]
    return keeps, texts["recipients.yes" if row.policy.trains else "recipients.no"]


def _columns(texts: Texts, *names: str) -> list[str]:
    return [texts[f"recipients.{name}"] for name in names]


def _section(name: str, texts: Texts, content: Markup) -> Markup:
    lead = element("p", texts[f"recipients.{name}_lead"], class_="lead")
    return element("section", element("h2", texts[f"recipients.{name}"]), lead, content, id=name)
