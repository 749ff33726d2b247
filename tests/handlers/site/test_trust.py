from __future__ import annotations

from html import escape
from pathlib import Path

import msgspec
import pytest

from handlers.site.outline import sentences_of
from handlers.site.proofs import Proof, Report, Standing, proof_of, read_report, standing_of
from handlers.site.texts import LANGUAGES, load_texts
from tests.handlers.site.pages import REPORT, Reader, ask, make_site

PATHS = ("/trust", "/trust/claims")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_on_the_page_with_its_claims(language: str) -> None:
    page = ask(make_site(), "/trust", f"lang={language}").body
    for claim, keys in sentences_of().items():
        assert f'<span class="id">{claim}</span>' in page
        assert all(escape(load_texts(language)[key]) in page for key in keys)


def test_a_claim_is_green_only_with_a_passing_test_and_no_failing_one() -> None:
    assert standing_of(REPORT, "C1") is Standing.PROVEN
    assert standing_of(REPORT, "C2") is Standing.FAILING
    assert standing_of(REPORT, "C3") is Standing.UNPROVEN
    assert standing_of(REPORT, "C77") is Standing.UNPROVEN
    assert standing_of(None, "C1") is Standing.UNMEASURED


@pytest.mark.parametrize("path", PATHS)
def test_the_page_says_what_the_report_says(path: str) -> None:
    page = ask(make_site(), path).body
    assert "1 of 77 claims have passing tests" in page
    assert "proven by 2 tests" in page
    assert "last run 2026-11-23 07:00 UTC, commit 01234567" in page
    assert "1 test fails" in page
    assert "tests/a.py::test_four" in page
    sentences = 1 if path.endswith("claims") else len([key for keys in sentences_of().values() for key in keys])
    assert page.count('class="standing proven"') == 1
    assert page.count('class="standing unproven"') >= max(75, sentences - 2)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_report_nothing_is_green(path: str) -> None:
    page = ask(make_site(report=None), path).body
    assert "not measured in this deployment" in page
    assert 'standing proven"' not in page
    assert "proven by" not in page
    assert 'class="summary unmeasured"' in page


def test_modified_sources_are_said() -> None:
    report = msgspec.structs.replace(REPORT, modified=True)
    assert "commit 01234567 (with uncommitted changes)" in ask(make_site(report=report), "/trust").body


def test_a_report_cannot_write_on_the_page() -> None:
    hostile = Report("<b>x</b>", False, "<i>", {"C1": Proof(passed=("<script>alert(1)</script>",))})
    page = ask(make_site(report=hostile), "/trust").body
    assert "<script" not in page
    assert "<i>" not in page
    Reader(page)


def test_many_tests_are_folded_and_all_of_them_listed_elsewhere() -> None:
    many = tuple(f"tests/a.py::test_{number}" for number in range(40))
    site = make_site(report=msgspec.structs.replace(REPORT, claims={"C1": Proof(passed=many)}))
    assert "and 32 more" in ask(site, "/trust").body
    assert all(f"<code>{name}</code>" in ask(site, "/trust/claims").body for name in many)


def test_programs_get_the_same_facts() -> None:
    facts = msgspec.json.decode(ask(make_site(), "/trust/claims.json").body)
    assert facts["report"] == {"commit": REPORT.commit, "modified": False, "ran_at": REPORT.ran_at}
    assert {claim: row["standing"] for claim, row in facts["claims"].items() if row["standing"] != "unproven"} == {
        "C1": "proven",
        "C2": "failing",
    }
    nothing = msgspec.json.decode(ask(make_site(report=None), "/trust/claims.json").body)
    assert nothing["report"] is None
    assert {row["standing"] for row in nothing["claims"].values()} == {"unmeasured"}


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"claims": {"C1": {"passed": "yes"}}}', b"\xff"])
def test_a_broken_report_is_no_report(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    assert read_report(path) is None
    path.write_bytes(content)
    assert read_report(path) is None


def test_a_written_report_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_bytes(msgspec.json.encode(REPORT))
    assert read_report(path) == REPORT
    assert proof_of(REPORT, "C9") == Proof()
