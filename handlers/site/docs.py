"""The short documentation of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from handlers.site.api import list_errors, load_api
from handlers.site.frame import Page, link
from handlers.site.markup import Child, Markup, element, join, table
from handlers.site.texts import Texts

EXAMPLE = """curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer $THEROUTER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "MODEL", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""


def make_docs_page(texts: Texts, public_url: str) -> Page:
    """Routes, keys, headers, errors, limits.

    Args:
        texts: the words.
        public_url: scheme and host that the examples name.
    """
    content = join(
        (
            _start(texts, public_url),
            _section("keys", texts, _sentences("keys", 3, texts)),
            _section("routes", texts, _routes(texts)),
            _section("choice", texts, _sentences("choice", 3, texts), _preferences(texts)),
            _section("request_headers", texts, _headers("request_headers", load_api().request_headers, texts)),
            _section("headers", texts, _headers("headers", load_api().headers, texts)),
            _section("errors", texts, _errors(texts)),
            _section("limits", texts, _sentences("limits", 4, texts)),
        )
    )
    return Page("/docs", texts["docs.title"], texts["docs.lead"], content)


def _section(name: str, texts: Texts, *children: Child) -> Markup:
    return element("section", element("h2", texts[f"docs.{name}_heading"]), *children, id=name)


def _sentences(name: str, count: int, texts: Texts) -> Markup:
    return element("ul", *(element("li", texts[f"docs.{name}_{number}"]) for number in range(1, count + 1)))


def _start(texts: Texts, public_url: str) -> Markup:
    document = element("a", "/docs/openapi.json", href=link("/docs/openapi.json", texts))
    return _section(
        "start",
        texts,
        element("pre", element("code", EXAMPLE.format(url=public_url))),
        element("p", texts["docs.document"], " ", document),
    )


def _named(columns: Iterable[str], texts: Texts) -> list[str]:
    return [texts[f"docs.{column}"] for column in columns]


def _routes(texts: Texts) -> Markup:
    rows = (
        (element("code", row.method), element("code", row.path), texts[f"docs.routes.{row.id}"])
        for row in load_api().route
    )
    return table(_named(("method", "path", "what"), texts), rows, class_="routes")


def _preferences(texts: Texts) -> Markup:
    rows = (
        (element("code", name, class_="nowrap"), texts[f"docs.preferences.{name}"]) for name in load_api().preferences
    )
    return table(_named(("field", "meaning"), texts), rows)


def _headers(group: str, named: Mapping[str, str], texts: Texts) -> Markup:
    rows = ((element("code", name, class_="nowrap"), texts[f"docs.{group}.{key}"]) for name, key in named.items())
    return table(_named(("header", "meaning"), texts), rows)


def _errors(texts: Texts) -> Markup:
    rows = (
        (str(status), element("code", code, class_="nowrap"), texts[f"docs.errors.{code}"])
        for status, code in list_errors()
    )
    listed = table(_named(("status", "code", "meaning"), texts), rows)
    return join((element("p", texts["docs.errors_lead"]), listed))
