from __future__ import annotations

import re
import string
import subprocess
from datetime import date
from pathlib import Path

import pytest

from handlers.site.outline import load_outline, sentences_of
from handlers.site.texts import LANGUAGES, REVIEWED, Texts, load_texts
from stacks.policy import PRODUCTION

ROOT = Path(__file__).parents[3]
SOURCES = ("handlers/site/texts", "handlers/site/inventory.toml", "handlers/site/outline.toml")
NUMBERS = {
    "collect.metadata.period": (PRODUCTION.metadata_retention_days_default,),
    "collect.metadata.configurable": (PRODUCTION.metadata_retention_days_min, PRODUCTION.metadata_retention_days_max),
    "collect.metadata.purged": (PRODUCTION.backup_retention_days,),
    "lifecycle.edge.period": (PRODUCTION.edge_log_retention_days,),
    "lifecycle.gateway.kept": (PRODUCTION.metadata_retention_days_default,),
    "lifecycle.pod.logs": (PRODUCTION.function_log_retention_days,),
    "threats.breach.backup_period": (PRODUCTION.backup_retention_days,),
    "threats.outage.restore": (PRODUCTION.backup_retention_days,),
    "threats.outage.probes": (PRODUCTION.health_check_interval_s, PRODUCTION.reboot_cooldown_minutes),
    "architecture.edge.certificates": PRODUCTION.certificate_expiry_alarm_days,
    "architecture.edge.tls": (PRODUCTION.tls_version_min,),
    "inventory.periods.metadata": (
        PRODUCTION.metadata_retention_days_default,
        PRODUCTION.metadata_retention_days_min,
        PRODUCTION.metadata_retention_days_max,
    ),
    "inventory.periods.logs": (PRODUCTION.function_log_retention_days,),
    "inventory.periods.edge": (PRODUCTION.edge_log_retention_days,),
}


def placeholders(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


def test_both_languages_say_the_same_things() -> None:
    english, chinese = (load_texts(language) for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    for key in english.keys():  # noqa: SIM118 -- Texts is no mapping
        assert english[key].strip()
        assert chinese[key].strip()
        if not key.startswith("faq."):
            assert placeholders(english[key]) == placeholders(chinese[key]), key


def test_chinese_is_chinese() -> None:
    chinese = load_texts("zh")
    same = {"site.name", "site.docs", "site.other_language", "docs.title", "docs.routes.google_count",
            "docs.routes.messages"}  # fmt: skip
    assert {key for key in chinese.keys() if not re.search("[\u4e00-\u9fff]", chinese[key])} <= same  # noqa: SIM118


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_promised_number_is_the_policys(language: str) -> None:
    texts = load_texts(language)
    for key, numbers in NUMBERS.items():
        found = re.findall(r"\d+(?:\.\d+)?", texts[key])
        assert {str(number) for number in numbers} <= set(found), key


def test_every_claim_has_its_sentence_in_every_language() -> None:
    assert list(sentences_of()) == [f"C{number}" for number in range(1, 78)]
    for language in LANGUAGES:
        texts = load_texts(language)
        assert all(texts[key] for keys in sentences_of().values() for key in keys)


def test_no_sentence_is_written_and_not_shown() -> None:
    outline = load_outline()
    shown = {line.key for section in outline for block in section.blocks for line in block.lines}
    blocks = {block.key for section in outline for block in section.blocks}
    written = {key for key in load_texts("en").keys() if key.rpartition(".")[0] in blocks}  # noqa: SIM118
    assert {key for key in written - shown if key.rpartition(".")[2] not in {"heading", "state"}} == set()


@pytest.mark.claim("C55", "C50")
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_software_cannot_promise_is_not_promised(language: str) -> None:
    texts = load_texts(language)
    every = " ".join(texts[key] for key in texts.keys()).lower()  # noqa: SIM118
    for claim in (
        "ensures compliance",
        "removes pci",
        "guarantee compliance",
        "bank-grade",
        "military-grade",
        "确保合规",
        "免除 pci",
    ):
        assert claim not in every
    assert "SAQ A" in texts["architecture.payments.scope"]


@pytest.mark.claim("C28")
def test_the_page_says_that_the_gateway_sees_answers_too() -> None:
    assert load_texts("en")["lifecycle.gateway.visible"].startswith("The full request and response")
    assert load_texts("zh")["lifecycle.gateway.visible"].startswith("完整的请求和响应")


@pytest.mark.claim("C77")
def test_the_date_of_the_page_is_that_of_its_texts() -> None:
    log = subprocess.run(
        ["git", "log", "-1", "--format=%cs", "--", *SOURCES], cwd=ROOT, capture_output=True, check=False, text=True
    )
    if log.returncode or not log.stdout.strip():
        pytest.skip("not a git checkout with a history: the date of the texts is unknown")
    changed = date.fromisoformat(log.stdout.strip())
    assert changed <= REVIEWED, (
        f"the texts or the inventory changed on {changed}: set REVIEWED in handlers/site/texts.py"
    )


def test_counts_are_spoken_properly() -> None:
    texts = load_texts("en")
    assert texts.count("proof.proven", 1) == "proven by 1 test"
    assert texts.count("proof.proven", 2) == "proven by 2 tests"
    with pytest.raises(KeyError):
        Texts("en", {})["nothing"]
