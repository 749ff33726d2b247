from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.site.markup import Markup, element, join, stylesheet, table
from tests.handlers.site.pages import Reader


@given(st.text(), st.text())
def test_whatever_text_comes_in_stays_text(text: str, attribute: str) -> None:
    made = element("p", text, title=attribute)
    page = Reader(made)
    assert [tag for tag, _ in page.tags] == ["p"]
    assert "".join(page.text) == text.replace("\r\n", "\n").replace("\r", "\n") or "\r" in text or "\0" in text
    assert '"' not in made.split('title="', 1)[1].split('">', 1)[0]


def test_markup_is_taken_as_it_is_and_nothing_is_left_out() -> None:
    inner = element("b", "1 < 2")
    assert element("p", inner, None, " & ", hidden=True, id=None, class_="x") == (
        '<p hidden="hidden" class="x"><b>1 &lt; 2</b> &amp; </p>'
    )
    assert join(["<", Markup("<")]) == "&lt;<"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_a_table_has_headings_for_every_cell() -> None:
    made = table(["a", "b"], [["1", "2"]])
    assert made.count("<th ") == 2
    assert made.count("data-label") == 2
    with pytest.raises(ValueError, match="zip"):
        table(["a", "b"], [["1"]])


def test_a_stylesheet_cannot_leave_its_element() -> None:
    with pytest.raises(ValueError, match="character <"):
        stylesheet("</style><script>")
