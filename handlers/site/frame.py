"""What all pages share: head, menu, language switch, footer, style and the headers that go with them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec

from handlers.site.markup import Markup, element, join, stylesheet
from handlers.site.texts import LANGUAGES, REVIEWED, Texts

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MENU = {
    "/trust": "trust",
    "/trust/data": "data",
    "/trust/recipients": "recipients",
    "/trust/claims": "proofs",
    "/docs": "docs",
    "/security/policy": "policy",
}
TAGS = {"en": "en", "zh": "zh-CN"}


class Page(msgspec.Struct, frozen=True):
    """One page before its frame."""

    path: str
    title: str
    lead: str
    content: Markup


def frame(page: Page, texts: Texts, region: str) -> str:
    """The whole document."""
    body = element(
        "body",
        element("a", texts["site.skip"], href="#content", class_="skip"),
        element("header", element("div", _brand(texts), _menu(page.path, texts), class_="bar")),
        element(
            "main",
            element("div", element("h1", page.title), element("p", page.lead, class_="lead"), class_="hero"),
            page.content,
            id="content",
        ),
        _footer(texts, region),
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{page.title} · {texts['site.name']}"),
        stylesheet(STYLE),
    )
    return "<!doctype html>" + element("html", head, body, lang=TAGS[texts.language])


def link(path: str, texts: Texts) -> str:
    """A link that keeps the language."""
    return f"{path}?lang={texts.language}"


def _brand(texts: Texts) -> Markup:
    return element("a", texts["site.name"], href=link("/", texts), class_="brand")


def _menu(here: str, texts: Texts) -> Markup:
    entries = [
        element("a", texts[f"site.{name}"], href=link(path, texts), aria_current="page" if path == here else None)
        for path, name in MENU.items()
    ]
    other = LANGUAGES[1 - LANGUAGES.index(texts.language)]
    switch = element(
        "a", texts["site.other_language"], href=f"{here}?lang={other}", lang=TAGS[other], class_="language"
    )
    return element("nav", join(entries), switch, aria_label=texts["site.name"])


def _footer(texts: Texts, region: str) -> Markup:
    facts = (
        f"{texts['site.region']}: {texts[f'site.region_{region}']}",
        f"{texts['site.updated']}: {REVIEWED.isoformat()}",
        texts["site.no_cookies"],
    )
    return element("footer", element("div", *(element("p", fact) for fact in facts), class_="bar"))
