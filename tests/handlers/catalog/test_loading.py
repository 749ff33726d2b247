from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handlers.catalog.entries import NANO, Rates
from handlers.catalog.loading import WIRE_FORMATS, load_catalog
from handlers.catalog.names import find_model
from handlers.catalog.rows import CatalogError, read_own_prices
from handlers.provider.signing import SCHEMES

ROW = """
[[provider]]
slug = "newcomer"
name = "Newcomer"
wire_format = "openai_chat"
auth = "bearer"
secret = "NEWCOMER_API_KEY"
global = { base_url = "https://api.newcomer.example/v1", country = "US", price_source = "cerebras" }
"""
PRICE = """
[[price]]
provider = "newcomer"
model = "newcomer/large"
region = "global"
since = 2026-01-01
source = "its price list"
upstream = "large-1"
tiers = [{ rates = { input = "0.5", output = "1.25" } }]
"""
NO_PRICES = "price = []"


def moment(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def write(folder: Path, providers: str = ROW, prices: str = NO_PRICES) -> dict[str, Path]:
    (folder / "providers.toml").write_text(providers)
    (folder / "prices.toml").write_text(prices)
    return {"providers_file": folder / "providers.toml", "prices_file": folder / "prices.toml"}


def test_one_row_is_all_it_takes_to_add_a_provider(tmp_path: Path) -> None:
    catalog = load_catalog("global", **write(tmp_path, ROW, PRICE))  # type: ignore[arg-type]
    model = find_model(catalog, "large-1")
    assert model is not None
    endpoint = model.endpoints[0]
    assert (endpoint.id, endpoint.upstream_model) == ("newcomer/large@newcomer", "large-1")
    assert endpoint.price is not None
    assert endpoint.price.rates_at(0) == Rates(
        input=NANO // 2,
        cache_read=NANO // 2,
        cache_write_5m=NANO // 2,
        cache_write_1h=NANO // 2,
        output=NANO + NANO // 4,
        reasoning=NANO + NANO // 4,
        audio_input=NANO // 2,
        audio_output=NANO + NANO // 4,
        image_input=NANO // 2,
        image_output=NANO + NANO // 4,
    )
    provider = catalog.providers["newcomer"]
    assert (provider.base_url, provider.secret) == ("https://api.newcomer.example/v1", "NEWCOMER_API_KEY")
    assert any(e.provider == "newcomer" for m in catalog.models.values() for e in m.endpoints if m.id != model.id)


@pytest.mark.claim("C46", "C49")
def test_no_endpoint_of_one_region_stands_in_the_other() -> None:
    china, world = load_catalog("china"), load_catalog("global")
    assert {provider.country for provider in china.providers.values()} == {"CN", "--"}
    assert "CN" not in {provider.country for provider in world.providers.values()}
    assert (china.currency, world.currency) == ("CNY", "USD")
    hosts = [{p.base_url for p in catalog.providers.values() if p.country != "--"} for catalog in (china, world)]
    assert hosts[0].isdisjoint(hosts[1])


@pytest.mark.parametrize("region", ["global", "china"])
def test_every_row_can_be_used(region: str) -> None:
    catalog = load_catalog(region)
    ids = [endpoint.id for model in catalog.models.values() for endpoint in model.endpoints]
    assert len(ids) == len(set(ids))
    for provider in catalog.providers.values():
        assert provider.wire_format in WIRE_FORMATS
        assert provider.auth in SCHEMES
        assert provider.secret or provider.auth == "none"
    for name, model in catalog.models.items():
        assert name == model.id == name.lower()
        assert "/" in name
        for endpoint in model.endpoints:
            assert endpoint.provider in catalog.providers
            assert endpoint.capabilities.context_tokens > 0
            assert endpoint.wire_format in {"", *WIRE_FORMATS}
            if endpoint.price is not None:
                assert endpoint.price.version
                floors = [floor for floor, _ in endpoint.price.tiers]
                assert floors[0] == 0
                assert floors == sorted(set(floors))
                for _, rates in endpoint.price.tiers:
                    assert min(getattr(rates, field) for field in Rates.__struct_fields__) >= 0
    assert not set(catalog.aliases) & set(catalog.models)
    assert set(catalog.aliases.values()) <= set(catalog.models)


def test_every_provider_that_was_asked_for_has_its_row() -> None:
    world = (
        "openai azure anthropic bedrock gemini vertex mistral groq xai cohere together fireworks cerebras sambanova "
        "deepinfra perplexity huggingface nvidia openrouter voyage jina local ollama vllm llamacpp"
    )
    china = "dashscope deepseek moonshot zhipu volcengine minimax hunyuan siliconflow qianfan stepfun iflytek local ollama vllm"
    assert set(world.split()) <= set(load_catalog("global").providers)
    assert set(china.split()) <= set(load_catalog("china").providers)


def test_the_local_model_costs_an_explicit_zero() -> None:
    for region in ("global", "china"):
        model = load_catalog(region, enabled=frozenset({"local"})).models["local/smollm2-135m"]
        price = model.endpoints[0].price
        assert price is not None
        assert price.tiers == ((0, Rates()),)


def test_known_list_prices_arrive_exactly() -> None:
    catalog = load_catalog("global", enabled=frozenset({"openai", "anthropic"}))
    price = catalog.models["openai/gpt-4o-mini"].endpoints[0].price
    assert price is not None
    assert price.version.startswith("genai-prices/")
    rates = price.rates_at(0)
    assert (rates.input, rates.cache_read, rates.output) == (150_000_000, 75_000_000, 600_000_000)
    claude = catalog.models["anthropic/claude-sonnet-4.5"].endpoints[0].price
    assert claude is not None
    # Ten dollars a thousand searches: a hundredth of a dollar each.
    assert claude.rates_at(0).searches == 10_000_000 * 1_000_000


def test_a_long_prompt_reaches_the_tier_after_its_threshold() -> None:
    price = load_catalog("global", enabled=frozenset({"openai"})).models["openai/gpt-5.4"].endpoints[0].price
    assert price is not None
    assert price.rates_at(272_000).input * 2 == price.rates_at(272_001).input


@pytest.mark.parametrize(
    "name", ["gpt-4o", "openai/gpt-4o", "GPT-4o", "claude-sonnet-4-5-20250929", "o3", "gpt-5-codex"]
)
def test_the_names_that_clients_use_are_found(name: str) -> None:
    assert find_model(load_catalog("global"), name) is not None


def test_a_model_that_several_providers_serve_is_one_model() -> None:
    model = load_catalog("global").models["openai/gpt-oss-120b"]
    assert {"groq", "together", "cerebras", "fireworks"} <= {endpoint.provider for endpoint in model.endpoints}


def test_every_quirk_is_a_word_that_translation_knows() -> None:
    folder = Path(__file__).parents[3] / "handlers" / "translation"
    spoken = "\n".join(path.read_text() for path in folder.rglob("*.py"))
    for region in ("global", "china"):
        catalog = load_catalog(region)
        quirks = {quirk for provider in catalog.providers.values() for quirk in provider.quirks}
        quirks |= {quirk for model in catalog.models.values() for e in model.endpoints for quirk in e.quirks}
        assert {quirk for quirk in quirks if f'"{quirk}"' not in spoken} == set()


def test_a_models_own_quirks_stand_beside_its_providers() -> None:
    models = load_catalog("global", enabled=frozenset({"anthropic", "openai"})).models
    assert models["anthropic/claude-opus-4.7"].endpoints[0].quirks == {"adaptive_thinking", "no_prefill", "no_sampling"}
    assert models["anthropic/claude-haiku-4.5"].endpoints[0].quirks == frozenset()
    assert models["openai/o3"].endpoints[0].quirks == {"no_sampling"}


def test_models_of_the_responses_api_say_so_and_slow_ones_have_time() -> None:
    models = load_catalog("global", enabled=frozenset({"openai"})).models
    assert models["openai/gpt-5-codex"].endpoints[0].wire_format == "openai_responses"
    assert models["openai/gpt-4o"].endpoints[0].wire_format == ""
    timeouts = models["openai/gpt-5-pro"].endpoints[0].timeouts
    assert timeouts is not None
    assert timeouts.first_event_ms >= 600_000


DATED = PRICE + PRICE.replace("2026-01-01", "2027-01-01").replace('"0.5"', '"0.7"').replace(
    'upstream = "large-1"\n', ""
)


def test_a_dated_price_takes_over_on_its_day_and_the_old_row_stays(tmp_path: Path) -> None:
    files = write(tmp_path, ROW, DATED)

    def input_rate(loaded: str, asked: str) -> int:
        catalog = load_catalog("global", now_s=moment(loaded), **files)  # type: ignore[arg-type]
        price = catalog.models["newcomer/large"].endpoints[0].price
        assert price is not None
        return price.at(moment(asked)).rates_at(0).input

    assert input_rate("2026-06-01", "2026-06-01") == 500_000_000
    assert input_rate("2026-12-31", "2027-01-01") == 700_000_000  # loaded before, asked after
    assert input_rate("2027-06-01", "2027-06-01") == 700_000_000
    catalog = load_catalog("global", now_s=moment("2027-06-01"), **files)  # type: ignore[arg-type]
    price = catalog.models["newcomer/large"].endpoints[0].price
    assert price is not None
    assert price.periods == ()


def test_peak_hours_of_the_mainland_are_known() -> None:
    catalog = load_catalog("china", enabled=frozenset({"deepseek"}))
    price = catalog.models["deepseek/deepseek-v4-pro"].endpoints[0].price
    assert price is not None
    assert price.at(moment("2026-11-23T02:00")).rates_at(0).output == 27 * NANO
    assert price.at(moment("2026-11-23T05:00")).rates_at(0).output == 27 * NANO // 2
    assert price.at(moment("2026-11-22T02:00")).rates_at(0).output == 27 * NANO // 2  # a Sunday


@pytest.mark.claim("A94", "C46")
@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('country = "US"', 'country = "CN"', "does not belong to the global"),
        ('country = "US"', 'country = "usa"', "ISO 3166"),
        ("https://api", "http://api", "https"),
        ("/v1", "/v1/", "slash"),
        ("openai_chat", "openai_chatter", "wire_format"),
        ('slug = "newcomer"', 'slug = "New Comer"', "slug"),
        ("global = ", "china = ", "does not belong to the china"),
        ("cerebras", "nowhere", "nowhere"),
    ],
)
def test_a94_a_wrong_row_stops_the_start_and_is_named(before: str, after: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=complaint):
        load_catalog("global", **write(tmp_path, ROW.replace(before, after)))  # type: ignore[arg-type]


def test_bedrocks_clock_outlasts_its_silence() -> None:
    timeouts = load_catalog("global", enabled=frozenset({"bedrock"})).providers["bedrock"].timeouts
    assert min(timeouts.between_bytes_ms, timeouts.between_events_ms) > 125_000


def test_every_price_says_where_it_can_be_checked() -> None:
    for row in read_own_prices():
        assert row.source.startswith(("https://", "runs on this machine")), row.model


def test_a_model_whose_price_nobody_could_check_has_none_until_somebody_appends_it(tmp_path: Path) -> None:
    unknown = PRICE.replace('[{ rates = { input = "0.5", output = "1.25" } }]', "[]")
    catalog = load_catalog("global", **write(tmp_path, ROW, unknown))  # type: ignore[arg-type]
    assert catalog.models["newcomer/large"].endpoints[0].price is None
    catalog = load_catalog("global", **write(tmp_path, ROW, unknown + DATED))  # type: ignore[arg-type]
    price = catalog.models["newcomer/large"].endpoints[0].price
    assert price is not None
    assert price.at(moment("2026-06-01")).rates_at(0).input == 500_000_000


def test_a_slug_stands_once(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="twice"):
        load_catalog("global", **write(tmp_path, ROW + ROW))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('upstream = "large-1"\n', "", "upstream"),
        ('input = "0.5"', 'input = "-0.5"', "negative"),
        ('input = "0.5"', 'prompt = "0.5"', "prompt"),
        ("tiers = [{ ", "tiers = [{ above = 5, ", "start at 0"),
        ("tiers", 'hours = ["1-2"]\ntiers', "standing"),
    ],
)
def test_a_wrong_price_stops_the_start(before: str, after: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=complaint):
        load_catalog("global", **write(tmp_path, ROW, PRICE.replace(before, after)))  # type: ignore[arg-type]


def test_a_wrong_window_is_named(tmp_path: Path) -> None:
    prices = PRICE + PRICE.replace("2026-01-01", "2026-02-01").replace("tiers", 'hours = ["25:00-26:00"]\ntiers')
    with pytest.raises(CatalogError, match="25:00-26:00"):
        load_catalog("global", **write(tmp_path, ROW, prices))  # type: ignore[arg-type]


def test_regions_and_providers_that_do_not_exist_are_named() -> None:
    with pytest.raises(CatalogError, match="mars"):
        load_catalog("mars")
    with pytest.raises(CatalogError, match="openay"):
        load_catalog("global", enabled=frozenset({"openay", "openai"}))
    with pytest.raises(CatalogError, match="deepseek"):
        load_catalog("global", enabled=frozenset({"deepseek"}))


def test_loading_is_fast_and_does_not_import_the_price_package() -> None:
    # Of the processor, not of the clock (a busy machine makes us wait), and of a process with no other tests' objects in it.
    program = (
        "import sys, time; from handlers.catalog.loading import load_catalog; started = time.thread_time(); load_catalog('global');"
        "print(time.thread_time() - started, any(name in sys.modules for name in ('genai_prices', 'pydantic', 'httpx')))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    seconds, imports_it = done.stdout.split()
    assert imports_it == "False"
    assert float(seconds) < 0.5  # 0.02 s measured
