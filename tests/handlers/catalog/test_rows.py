from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.catalog.entries import NANO, Rates
from handlers.catalog.rows import (
    FILE_BYTES_MAX,
    CatalogError,
    complete_rates,
    read_own_prices,
    read_providers,
    read_source,
    to_nano,
)


def test_the_packages_own_files_are_well_formed() -> None:
    assert len(read_providers()) > 30
    assert read_own_prices()
    assert read_source("openai").models


@pytest.mark.claim("A94")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "provider = 3",
        "[[provider]]\nslug = 'x'",
        "[[provider]]\nslug = 'x'\nname = 'X'\nwire_format = 'openai_chat'\nauth = 'none'\nsurprise = 1",
        "not toml at all [",
        "\x00",
    ],
)
def test_a94_a_malformed_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "providers.toml"
    file.write_text(text)
    with pytest.raises(CatalogError, match=r"providers\.toml"):
        read_providers(file)


@pytest.mark.claim("A94")
def test_a94_an_enormous_file_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    with file.open("wb") as made:
        made.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(CatalogError, match="larger"):
        read_own_prices(file)


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(CatalogError, match="nowhere"):
        read_source("nowhere")


def test_a_class_without_its_own_rate_costs_what_the_general_one_costs() -> None:
    rates = complete_rates({"input": 10, "output": 20, "cache_write_5m": 12})
    assert rates == Rates(
        input=10,
        cache_read=10,
        cache_write_5m=12,
        cache_write_1h=12,
        output=20,
        reasoning=20,
        audio_input=10,
        audio_output=20,
        image_input=10,
        image_output=20,
    )
    assert complete_rates({}) == Rates()
    with pytest.raises(CatalogError, match="prompt"):
        complete_rates({"prompt": 1})


@given(st.integers(min_value=0, max_value=10**15))
def test_decimal_amounts_are_exact(nano: int) -> None:
    whole, rest = divmod(nano, NANO)
    assert to_nano(f"{whole}.{rest:09d}") == nano


@pytest.mark.claim("A66")
@pytest.mark.parametrize("amount", ["-1", "0.0000000001", "1e-12", "-0.5"])
def test_a66_negative_and_finer_amounts_are_refused(amount: str) -> None:
    with pytest.raises(CatalogError, match="negative or finer"):
        to_nano(amount)
