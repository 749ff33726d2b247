from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re

import pytest

from handlers.site.texts import LANGUAGES
from handlers.telemetry.logs import Level, Log
from tests.handlers.site.pages import DOCUMENTS, PAGES, Reader, ask, make_site

ALL = (*PAGES, *DOCUMENTS)
MENU = {"/": ["/trust?lang=en"], "/security/bulletins": []}
"""Pages that are not in the menu under their own address."""


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_well_formed_and_loads_nothing(path: str, language: str) -> None:
    answer = ask(make_site(), path, f"lang={language}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Reader(answer.body)
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "form", "iframe", "img", "link", "input", "object", "embed"}
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on") or name in {"style", "src"}}
        if tag == "a":
            assert re.match(
                r"(/[a-z/.]*(\?lang=(en|zh))?|#content|mailto:security@therouter\.ai)$", attributes["href"] or ""
            )


@pytest.mark.parametrize("path", PAGES)
def test_every_page_can_be_read_by_everybody(path: str) -> None:
    page = Reader(ask(make_site(), path).body)
    kinds = [tag for tag, _ in page.tags]
    assert kinds.count("h1") == kinds.count("main") == kinds.count("title") == 1
    assert ("html", {"lang": "en"}) in page.tags
    assert ("a", {"href": "#content", "class": "skip"}) in page.tags
    levels = [int(tag[1]) for tag in kinds if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    here = [attributes["href"] for tag, attributes in page.tags if attributes.get("aria-current") == "page"]
    assert here == MENU.get(path, [f"{path}?lang=en"])


@pytest.mark.parametrize("path", ALL)
def test_links_lead_somewhere(path: str) -> None:
    answer = ask(make_site(), path)
    targets = set(re.findall(r'href="(/[^"?#]*)', answer.body)) if "html" in answer.headers["content-type"] else set()
    for target in targets:
        assert ask(make_site(), target).status == 200, target


@pytest.mark.parametrize("path", [*ALL, "/nothing"])
def test_no_cookie_and_a_strict_policy_on_every_answer(path: str) -> None:
    headers = ask(make_site(), path).headers
    assert "set-cookie" not in headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_policy_allows_exactly_the_style_of_the_page() -> None:
    answer = ask(make_site(), "/trust")
    style = re.findall(r"<style>(.*?)</style>", answer.body, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "url(" not in style[0]
    assert "@import" not in style[0]


@pytest.mark.parametrize(
    ("region", "query", "language"),
    [
        ("global", "", "en"),
        ("china", "", "zh-CN"),
        ("global", "lang=zh", "zh-CN"),
        ("china", "lang=en", "en"),
        ("china", "lang=%3Cscript%3E", "zh-CN"),
        ("global", "lang=", "en"),
    ],
)
def test_the_language_is_the_regions_unless_asked(region: str, query: str, language: str) -> None:
    answer = ask(make_site(region), "/trust", query)
    assert f'<html lang="{language}">' in answer.body
    assert "<script" not in answer.body


def test_head_is_answered_as_get_is() -> None:
    assert ask(make_site(), "/trust", method="HEAD").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_sent(method: str) -> None:
    assert ask(make_site(), "/trust", method=method).status == 404


def test_an_address_that_is_not_there_is_said_in_the_readers_form() -> None:
    person = ask(make_site("china"), "/<script>alert(1)</script>", headers={"accept": "text/html,*/*"})
    program = ask(make_site(), "/v2/nothing", headers={"accept": "*/*"})
    assert (person.status, program.status) == (404, 404)
    assert "没有这个页面" in person.body
    assert "<script" not in person.body
    assert program.headers["content-type"] == "application/json"
    assert '"code":"route_not_found"' in program.body
    assert person.headers["cache-control"] == program.headers["cache-control"] == "no-store"


def test_a_fault_is_noted_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    site = make_site(log=Log(Level.INFO, writer))

    def fail(_path: str, _language: str) -> str:
        raise RuntimeError("a text that nobody may see")

    monkeypatch.setattr(site, "render", fail)
    answer = ask(site, "/trust")
    os.close(writer)
    line = os.read(reader, 4096).decode()
    os.close(reader)
    assert answer.status == 500
    assert "nobody may see" not in answer.body + line
    assert '"kind":"RuntimeError"' in line
    assert '"room":"site"' in line
