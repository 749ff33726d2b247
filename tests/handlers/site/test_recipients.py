from __future__ import annotations

from html import escape

import pytest

from handlers.catalog.loading import load_catalog
from handlers.site.recipients import COMPANIES, list_providers
from handlers.workloads import PAYMENT_COMPANIES
from tests.handlers.site.pages import ask, make_site

REGIONS = ["global", "china"]


@pytest.mark.claim("C33")
@pytest.mark.parametrize("region", REGIONS)
def test_every_provider_of_the_region_is_on_the_page_with_its_country_and_terms(region: str) -> None:
    page = ask(make_site(region), "/trust/recipients", "lang=en").body
    providers = [row for row in load_catalog(region).providers.values() if row.country != "--"]
    assert {row.slug for row in providers} == {row.slug for row, _ in list_providers(region)}
    for row in providers:
        keeps = f"up to {row.policy.retention_days} day" if row.policy.retention_days else "no"
        cells = page.split(f">{escape(row.name)}</td>", 1)[1].split("</tr>", 1)[0]
        assert f">{row.country}</td>" in cells
        assert f">{keeps}" in cells
        assert (">may</td>" in cells) == row.policy.trains


@pytest.mark.claim("C46")
@pytest.mark.parametrize("region", REGIONS)
def test_a_region_names_nobody_of_the_other(region: str) -> None:
    countries = {country for _, country in list_providers(region)} | {country for _, country, _ in COMPANIES[region]}
    assert (countries == {"CN"}) if region == "china" else ("CN" not in countries)
    other = COMPANIES["global" if region == "china" else "china"]
    page = ask(make_site(region), "/trust/recipients", "lang=en").body
    companies = page.split('id="companies"', 1)[1].split("</section>", 1)[0]
    assert all(name not in companies for name, _, _ in other)


@pytest.mark.parametrize("region", REGIONS)
def test_the_payment_company_is_the_one_that_is_called(region: str) -> None:
    company, _ = PAYMENT_COMPANIES[region]
    assert any(name.lower().startswith(company) for name, _, _ in COMPANIES[region])
