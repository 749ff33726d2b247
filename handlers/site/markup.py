"""HTML by function calls: everything is escaped unless it is `Markup`, so that a forgotten escape cannot happen."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = frozenset({"meta", "link", "br", "hr"})


class Markup(str):
    """Text that is HTML already; made by this module alone."""

    __slots__ = ()


Child = str | None


def element(tag: str, *children: Child, **attributes: str | bool | None) -> Markup:
    """One element.

    Args:
        tag: its name.
        children: text is escaped, markup is taken as it is, None is left out.
        attributes: a trailing underscore is dropped (`class_`), others become hyphens; None and False leave one out.
    """
    opening = tag + "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(name if value is True else value)}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Several children as one."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children if child))


def stylesheet(css: str) -> Markup:
    """A style element; ValueError if the text could leave it. Its hash is what the security policy allows."""
    if "<" in css:
        raise ValueError("a stylesheet has no business with the character <")
    return Markup(f"<style>{css}</style>")


def table(headings: Iterable[str], rows: Iterable[Iterable[Child]], *, class_: str | None = None) -> Markup:
    """A table with a heading for each column, in a box that scrolls on narrow screens."""
    names = tuple(headings)
    head = element("tr", *(element("th", name, scope="col") for name in names))
    body = (
        element("tr", *(element("td", cell, data_label=name) for name, cell in zip(names, row, strict=True)))
        for row in rows
    )
    return element("table", element("thead", head), element("tbody", *body), class_=class_)
