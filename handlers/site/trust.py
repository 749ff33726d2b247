"""The trust page and the table of claims behind it."""

from __future__ import annotations

from collections.abc import Callable

from handlers.site.frame import Page, link
from handlers.site.inventory import list_columns
from handlers.site.markup import Markup, element, join, table
from handlers.site.outline import Block, Line, Section, load_outline, sentences_of
from handlers.site.proofs import Report, Standing, proof_of, standing_of
from handlers.site.texts import Texts

TESTS_SHOWN_MAX = 8
SEVERITIES = ("critical", "high", "medium", "low")
CONTACT = "security@therouter.ai"
LISTS = {"collect.metadata.further": ("usage_event",), "threats.insider.impact": None}
"""Sentences that the inventory fills in -> the tables; None for all of them."""


def make_trust_page(texts: Texts, report: Report | None) -> Page:
    """Every sentence with its claims and how they stand."""
    sections = (_section(section, texts, report) for section in load_outline())
    content = join((_summary(texts, report), element("p", texts["proof.legend"], class_="legend"), *sections))
    return Page("/trust", texts["trust.title"], texts["trust.lead"], content)


def make_claims_page(texts: Texts, report: Report | None) -> Page:
    """Claim -> state, sentences, tests."""
    rows = [
        (
            element("span", claim, class_="id"),
            _state(claim, texts, report),
            join(element("p", texts[key]) for key in keys),
            _tests(claim, texts, report, shown_max=None),
        )
        for claim, keys in sentences_of().items()
    ]
    headings = [texts[f"claims.{name}"] for name in ("claim", "state", "sentence", "tests")]
    content = join((_summary(texts, report), table(headings, rows, class_="claims")))
    return Page("/trust/claims", texts["claims.title"], texts["claims.lead"], content)


def describe_standing(claim: str, texts: Texts, report: Report | None) -> str:
    """One phrase: proven by N tests, N tests fail, no passing test, not measured."""
    standing, proof = standing_of(report, claim), proof_of(report, claim)
    match standing:
        case Standing.PROVEN:
            return texts.count("proof.proven", len(proof.passed))
        case Standing.FAILING:
            return texts.count("proof.failing", len(proof.failed))
        case _:
            return texts[f"proof.{standing}"]


def describe_run(texts: Texts, report: Report) -> dict[str, str]:
    """When and on what the tests ran, in words."""
    commit = report.commit[:8] + (f" ({texts['proof.modified']})" if report.modified else "")
    return {"ran_at": f"{report.ran_at[:16].replace('T', ' ')} UTC", "commit": commit}


def _summary(texts: Texts, report: Report | None) -> Markup:
    if report is None:
        return element("p", texts["proof.summary_unmeasured"], class_="summary unmeasured")
    claims = sentences_of()
    proven = sum(standing_of(report, claim) is Standing.PROVEN for claim in claims)
    words = texts["proof.summary"].format(proven=proven, all=len(claims), **describe_run(texts, report))
    return element("p", words, class_="summary " + ("proven" if proven == len(claims) else "unproven"))


def _section(section: Section, texts: Texts, report: Report | None) -> Markup:
    arrange = _ARRANGEMENTS.get(section.key, _cards)
    return element(
        "section",
        element("h2", texts[f"{section.key}.heading"]),
        element("p", texts[f"{section.key}.lead"], class_="lead"),
        arrange(section, texts, report),
        id=section.key,
    )


def _cards(section: Section, texts: Texts, report: Report | None) -> Markup:
    cards = [_card(block, texts, report) for block in section.blocks]
    return element("div", *cards, class_="cards" if len(cards) > 1 else "cards single")


def _card(block: Block, texts: Texts, report: Report | None) -> Markup:
    state = texts.get(f"{block.key}.state")
    return element(
        "article",
        element("h3", texts[f"{block.key}.heading"]),
        element("p", state, class_="state") if state else None,
        element("ul", *(_line(line, texts, report) for line in block.lines)),
    )


def _line(line: Line, texts: Texts, report: Report | None, label: str | None = None) -> Markup:
    return element(
        "li",
        element("p", element("strong", f"{label}: ") if label else None, texts[line.key]),
        list_columns(LISTS[line.key], texts) if line.key in LISTS else None,
        element("div", *(_proof(claim, texts, report) for claim in line.claims), class_="proofs")
        if line.claims
        else None,
    )


def _proof(claim: str, texts: Texts, report: Report | None) -> Markup:
    tests = _tests(claim, texts, report, shown_max=TESTS_SHOWN_MAX)
    words = join((element("span", claim, class_="id"), _state(claim, texts, report)))
    if not tests:
        return element("p", words, class_="proof")
    return element("details", element("summary", words), tests, class_="proof")


def _state(claim: str, texts: Texts, report: Report | None) -> Markup:
    words = describe_standing(claim, texts, report)
    if report is not None and standing_of(report, claim) is Standing.PROVEN:
        run = texts["proof.last_run"].format(**describe_run(texts, report))
        return element("span", element("b", words), f" · {run}", class_="standing proven")
    return element("span", element("b", words), class_=f"standing {standing_of(report, claim)}")


def _tests(claim: str, texts: Texts, report: Report | None, *, shown_max: int | None) -> Markup:
    proof = proof_of(report, claim)
    names = [*((name, "failing") for name in proof.failed), *((name, "proven") for name in proof.passed)]
    if not names:
        return Markup("")
    shown = [element("li", element("code", name), class_=state) for name, state in names[:shown_max]]
    if len(names) > len(shown):
        more = texts["proof.more"].format(count=len(names) - len(shown))
        shown.append(element("li", element("a", more, href=link("/trust/claims", texts))))
    return element("ul", *shown, class_="tests")


def _hops(section: Section, texts: Texts, report: Report | None) -> Markup:
    hops = []
    for block in section.blocks:
        lines = [
            _line(line, texts, report, texts.get(f"{section.key}.{line.key.rpartition('.')[2]}"))
            for line in block.lines
        ]
        hops.append(element("li", element("h3", texts[f"{block.key}.heading"]), element("ul", *lines)))
    return element("ol", *hops, class_="hops")


def _targets(section: Section, texts: Texts, report: Report | None) -> Markup:
    columns = ("severity", "examples", "acknowledged", "resolved")
    rows = [
        [texts[f"response.rows.{row}"], *(texts[f"response.rows.{row}_{column}"] for column in columns[1:])]
        for row in SEVERITIES
    ]
    mail = element("p", element("a", CONTACT, href=f"mailto:{CONTACT}"), class_="contact")
    headings = [texts[f"response.{column}"] for column in columns]
    return join((table(headings, rows, class_="targets"), _cards(section, texts, report), mail))


_ARRANGEMENTS: dict[str, Callable[[Section, Texts, Report | None], Markup]] = {"lifecycle": _hops, "response": _targets}
