from __future__ import annotations

from xml.etree import ElementTree as ET

import msgspec
import pytest

from handlers.site.bulletins import load_bulletins, read_bulletins
from handlers.site.routes import Site
from handlers.telemetry.logs import Log
from tests.handlers.site.pages import PUBLIC_URL, Reader, ask

WORDS = """
title = "Keys & <locks>"
happened = "It happened."
affected = "Few."
done = "We fixed it."
advice = "Rotate."
timeline = ["2026-11-30 10:00 UTC: reported"]
"""
ONE = f"""
[[bulletin]]
id = "TR-2026-001"
published = 2026-12-01
severity = "high"
[bulletin.en]{WORDS}[bulletin.zh]{WORDS.replace("It happened.", "发生了。")}
"""
TWO = ONE + ONE.replace("TR-2026-001", "TR-2026-002").replace("2026-12-01", "2026-12-09")
ATOM = "{http://www.w3.org/2005/Atom}"


def make_site() -> Site:
    return Site(region="global", public_url=PUBLIC_URL, report=None, log=Log(), bulletins=read_bulletins(TWO.encode()))


def test_those_of_this_build_can_be_read() -> None:
    assert isinstance(load_bulletins(), tuple)


def test_the_newest_stands_first() -> None:
    page = ask(make_site(), "/security/bulletins").body
    assert page.index("TR-2026-002") < page.index("TR-2026-001")
    assert "Keys &amp; &lt;locks&gt;" in page
    assert "No bulletin" not in page


@pytest.mark.parametrize(("language", "happened"), [("en", "It happened."), ("zh", "发生了。")])
def test_one_says_everything_in_both_languages(language: str, happened: str) -> None:
    words = " ".join(Reader(ask(make_site(), "/security/bulletins/TR-2026-001", f"lang={language}").body).text)
    for said in (happened, "Few.", "We fixed it.", "Rotate.", "2026-11-30 10:00 UTC: reported", "2026-12-01"):
        assert said in words


def test_one_that_is_not_there_is_404() -> None:
    assert ask(make_site(), "/security/bulletins/TR-2026-003").status == 404


def test_the_feed_is_atom() -> None:
    answer = ask(make_site(), "/security/bulletins.atom")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    feed = ET.fromstring(answer.body)
    assert feed.tag == f"{ATOM}feed"
    assert feed.findtext(f"{ATOM}updated") == "2026-12-09T00:00:00Z"
    assert [entry.findtext(f"{ATOM}title") for entry in feed.findall(f"{ATOM}entry")] == [
        "TR-2026-002: Keys & <locks>",
        "TR-2026-001: Keys & <locks>",
    ]
    for parent in (feed, *feed.findall(f"{ATOM}entry")):
        assert all(parent.find(f"{ATOM}{name}") is not None for name in ("id", "title", "updated", "link"))


def test_the_advisory_has_what_csaf_demands() -> None:
    document = msgspec.json.decode(ask(make_site(), "/security/bulletins/TR-2026-001.json").body)["document"]
    assert {"category", "csaf_version", "publisher", "title", "tracking"} <= set(document)
    assert set(document["publisher"]) == {"category", "name", "namespace"}
    tracking = document["tracking"]
    assert {"current_release_date", "id", "initial_release_date", "revision_history", "status", "version"} <= set(
        tracking
    )
    assert tracking["revision_history"][-1]["number"] == tracking["version"]


@pytest.mark.parametrize(
    "content",
    [ONE + ONE, ONE.replace("TR-2026-001", "../x"), ONE.replace("high", "grave"), ONE.replace("done =", "did =")],
)
def test_a_wrong_file_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match=r"Expected|Invalid|missing|unknown|two bulletins"):
        read_bulletins(content.encode())
