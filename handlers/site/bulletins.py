"""Security bulletins from bulletins.toml: pages for people, an Atom feed and CSAF 2.0 documents for programs."""

from __future__ import annotations

import functools
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from xml.etree import ElementTree as ET

import msgspec

from handlers.site.frame import Page, link
from handlers.site.markup import element, join
from handlers.site.texts import REVIEWED, Texts

FILE = Path(__file__).parent / "bulletins.toml"
PATH = "/security/bulletins"
FEED_PATH = "/security/bulletins.atom"
PARTS = ("happened", "affected", "done", "advice")
_ATOM = "http://www.w3.org/2005/Atom"


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bulletin says in one language."""

    title: str
    happened: str
    affected: str
    done: str
    advice: str
    timeline: tuple[str, ...]


class Bulletin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One incident or flaw."""

    id: Annotated[str, msgspec.Meta(pattern=r"^TR-20[0-9]{2}-[0-9]{3}$")]
    published: date
    severity: Literal["critical", "high", "medium", "low"]
    en: Words
    zh: Words

    def words(self, texts: Texts) -> Words:
        """Its words in the language of the texts."""
        return self.zh if texts.language == "zh" else self.en


class _File(msgspec.Struct, forbid_unknown_fields=True):
    bulletin: tuple[Bulletin, ...] = ()


def read_bulletins(content: bytes) -> tuple[Bulletin, ...]:
    """The bulletins of a file, newest first; ValueError when it is not of that shape or an id comes twice."""
    bulletins = msgspec.toml.decode(content, type=_File).bulletin
    if len({bulletin.id for bulletin in bulletins}) != len(bulletins):
        raise ValueError("bulletins.toml: two bulletins have one id")
    return tuple(sorted(bulletins, key=lambda bulletin: bulletin.id, reverse=True))


@functools.cache
def load_bulletins() -> tuple[Bulletin, ...]:
    """The bulletins of this build, newest first."""
    return read_bulletins(FILE.read_bytes())


def make_list_page(texts: Texts, bulletins: tuple[Bulletin, ...]) -> Page:
    """All bulletins."""
    entries = [
        element(
            "li",
            element("a", f"{row.id}: {row.words(texts).title}", href=link(f"{PATH}/{row.id}", texts)),
            f" ({row.published.isoformat()}, {texts[f'response.rows.{row.severity}']})",
        )
        for row in bulletins
    ]
    listed = element("ul", *entries) if entries else element("p", texts["bulletins.none"])
    feed = element("p", element("a", "Atom", href=link(FEED_PATH, texts)))
    return Page(PATH, texts["bulletins.title"], texts["bulletins.lead"], join((listed, feed)))


def make_bulletin_page(texts: Texts, bulletin: Bulletin) -> Page:
    """One bulletin."""
    words = bulletin.words(texts)
    parts = [
        element("section", element("h2", texts[f"bulletins.{part}"]), element("p", getattr(words, part)))
        for part in PARTS
    ]
    timeline = element(
        "section",
        element("h2", texts["bulletins.timeline"]),
        element("ol", *(element("li", entry) for entry in words.timeline)),
    )
    document = element("p", element("a", "CSAF 2.0", href=f"{PATH}/{bulletin.id}.json"))
    lead = f"{bulletin.id} · {bulletin.published.isoformat()} · {texts[f'response.rows.{bulletin.severity}']}"
    return Page(f"{PATH}/{bulletin.id}", words.title, lead, join((*parts, timeline, document)))


def write_feed(texts: Texts, bulletins: tuple[Bulletin, ...], public_url: str) -> str:
    """The Atom feed (RFC 4287)."""
    feed = ET.Element("feed", xmlns=_ATOM)
    updated = max([REVIEWED, *(bulletin.published for bulletin in bulletins)])
    _entry(feed, public_url + PATH, f"TheRouter: {texts['bulletins.title']}", updated, public_url + FEED_PATH, "self")
    author = ET.SubElement(feed, "author")
    ET.SubElement(author, "name").text = texts["site.name"]
    for bulletin in bulletins:
        address = f"{public_url}{PATH}/{bulletin.id}"
        entry = ET.SubElement(feed, "entry")
        _entry(
            entry, address, f"{bulletin.id}: {bulletin.words(texts).title}", bulletin.published, address, "alternate"
        )
        ET.SubElement(entry, "summary").text = bulletin.words(texts).happened
    return ET.tostring(feed, encoding="unicode", xml_declaration=True)


def _entry(parent: ET.Element, name: str, title: str, updated: date, address: str, relation: str) -> None:
    ET.SubElement(parent, "id").text = name
    ET.SubElement(parent, "title").text = title
    ET.SubElement(parent, "updated").text = f"{updated.isoformat()}T00:00:00Z"
    ET.SubElement(parent, "link", href=address, rel=relation)


def make_advisory(bulletin: Bulletin, public_url: str) -> dict[str, Any]:
    """The CSAF 2.0 document, profile csaf_base, in English."""
    at = f"{bulletin.published.isoformat()}T00:00:00Z"
    titles = {"happened": "summary", "affected": "general", "done": "details", "advice": "general"}
    return {
        "document": {
            "category": "csaf_base",
            "csaf_version": "2.0",
            "lang": "en",
            "title": bulletin.en.title,
            "aggregate_severity": {"text": bulletin.severity},
            "publisher": {"category": "vendor", "name": "TheRouter", "namespace": public_url},
            "notes": [
                {"category": category, "title": part, "text": getattr(bulletin.en, part)}
                for part, category in titles.items()
            ],
            "references": [
                {"category": "self", "summary": bulletin.id, "url": f"{public_url}{PATH}/{bulletin.id}.json"}
            ],
            "tracking": {
                "id": bulletin.id,
                "status": "final",
                "version": "1",
                "initial_release_date": at,
                "current_release_date": at,
                "revision_history": [{"date": at, "number": "1", "summary": "First publication."}],
            },
        }
    }
