"""The site in a real Chromium (make browser): it loads nothing, complains about nothing, and fits every screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from handlers.local.platforms import make_front
from handlers.site.routes import open_resolver
from tests.browser.chromium import BINARY, Tab, chromium
from tests.handlers.site.pages import PAGES, make_site

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="needs Chromium: apt-get install chromium fonts-wqy-microhei"),
]
SCREENS = {"phone": 360, "tablet": 768, "desktop": 1280}
CONTRAST = """
(() => {
  const light = (c) => {
    const [r, g, b] = c.match(/[0-9.]+/g).map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (c !== 'rgba(0, 0, 0, 0)') return c;
    }
    return 'rgb(255, 255, 255)';
  };
  let least = 21;
  for (const e of document.querySelectorAll('p, a, li, h1, h2, h3, td, b, code, summary, strong, span')) {
    if (!e.textContent.trim() || e.closest('.skip')) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
    least = Math.min(least, (a + .05) / (b + .05));
  }
  return least;
})()
"""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with chromium() as tab:
        yield tab


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    resolver = open_resolver(make_site())
    server = make_front("global", resolver.resolve, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("width", SCREENS.values(), ids=list(SCREENS))
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_the_screen_and_loads_nothing_else(
    tab: Tab, url: str, path: str, language: str, width: int
) -> None:
    tab.requests.clear()
    tab.complaints.clear()
    tab.open(f"{url}{path}?lang={language}", width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelector('main').getBoundingClientRect().height") > 200
    assert tab.evaluate("getComputedStyle(document.body).marginTop") == "0px", "the style was not applied"
    assert [asked for asked in tab.requests if not asked.endswith("/favicon.ico")] == [f"{url}{path}?lang={language}"]
    assert tab.evaluate("document.cookie") == ""
    assert [said for said in tab.complaints if "favicon" not in said and "404" not in said] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_everything_can_be_read_in_light_and_dark(tab: Tab, url: str, path: str, scheme: str) -> None:
    tab.open(f"{url}{path}", scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
    assert tab.evaluate(CONTRAST) >= 4.5  # WCAG 2.2, 1.4.3


def test_a_claim_opens_without_script(tab: Tab, url: str) -> None:
    tab.open(f"{url}/trust")
    box = "document.querySelector('details.proof')"
    assert tab.evaluate(f"{box}.querySelector('.tests').checkVisibility()") is False
    tab.evaluate(f"{box}.querySelector('summary').click()")
    assert tab.evaluate(f"{box}.querySelector('.tests').checkVisibility()") is True
    assert "test_one" in tab.evaluate(f"{box}.innerText")


def test_the_language_switch_leads_to_the_same_page(tab: Tab, url: str) -> None:
    tab.open(f"{url}/trust/data")
    assert tab.evaluate("document.documentElement.lang") == "en"
    tab.open(f"{url}{tab.evaluate('document.querySelector(`.language`).getAttribute(`href`)')}")
    assert tab.evaluate("document.documentElement.lang") == "zh-CN"
    assert tab.evaluate("location.pathname") == "/trust/data"
