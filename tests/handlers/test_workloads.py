from __future__ import annotations

import pytest

from handlers.catalog.entries import Provider
from handlers.settings import Doors, Variable
from handlers.store.migrate import ROOMS
from handlers.workloads import (
    IDENTITY_HOSTS,
    RELAY_SLOTS,
    Kind,
    Workload,
    deployable,
    functions,
    host_of,
    relay,
    relay_slot,
    secrets,
    store_name,
    workloads,
)


def provider(slug: str, base_url: str = "", country: str = "US") -> Provider:
    return Provider(
        slug=slug,
        name=slug.title(),
        base_url=base_url or f"https://api.{slug}.com/v1",
        wire_format="openai_chat",
        auth="bearer",
        country=country,
        secret=f"{slug.upper()}_API_KEY",
    )


PROVIDERS = {slug: provider(slug) for slug in ("openai", "anthropic", "mistral")}


def named(name: str, region: str = "global") -> Workload:
    return next(workload for workload in workloads(region, PROVIDERS) if workload.name == name)


@pytest.mark.claim("C22", "C34")
def test_each_provider_has_a_pod_of_its_own() -> None:
    pods = [workload.name for workload in workloads("global", PROVIDERS) if workload.kind is Kind.POD]
    assert pods == ["gateway", "provider-anthropic", "provider-mistral", "provider-openai", "relay", "database-door"]


@pytest.mark.claim("C20", "C23", "C35", "C16")
def test_a_providers_secrets_are_read_by_its_pod_alone() -> None:
    readers: dict[str, set[str]] = {}
    for workload in workloads("global", PROVIDERS):
        for secret in workload.secrets:
            readers.setdefault(secret, set()).add(workload.name)
    for slug in PROVIDERS:
        assert readers[f"provider/{slug}"] == {f"provider-{slug}"}
        assert readers[f"seal/{slug}"] == {f"provider-{slug}"}
        assert readers[f"wire/{slug}"] == {f"provider-{slug}", "gateway"}


@pytest.mark.claim("C53")
def test_payment_secrets_are_read_by_payments_alone() -> None:
    for region, company in (("global", "stripe"), ("china", "wechat")):
        readers = {w.name for w in workloads(region, PROVIDERS) if f"payments/{company}" in w.secrets}
        assert readers == {"payments"}


@pytest.mark.claim("C21", "C31")
def test_a_provider_pod_knows_no_database() -> None:
    pod = named("provider-openai")
    assert not pod.database_role
    assert not any(name.value.startswith("THEROUTER_DATABASE") for name in pod.variables)
    assert pod.hosts == ("api.openai.com",)


def test_each_database_password_has_one_reader_with_that_role() -> None:
    for workload in workloads("global", PROVIDERS):
        if workload.name == "migrate":
            continue
        passwords = [secret for secret in workload.secrets if secret.startswith("database/")]
        assert passwords == ([f"database/{workload.database_role}"] if workload.database_role else [])
    holders = [w.room for w in workloads("global", PROVIDERS) if w.database_role == "gateway"]
    assert holders == ["gateway"]


@pytest.mark.parametrize("region", ["global", "china"])
def test_migrate_reads_what_it_sets_and_no_other_secret(region: str) -> None:
    row = named("migrate", region)
    owner = {"database/owner"} if region == "china" else set()
    assert set(row.secrets) == {f"database/{role}" for role in ROOMS} | owner
    assert row.database_role not in ROOMS
    assert (row.routes, row.hosts) == ((), ())


def test_the_relay_carries_exactly_the_hosts_that_pods_may_reach() -> None:
    hosts = {
        host for w in workloads("global", PROVIDERS) if w.kind is Kind.POD and w.room != "relay" for host in w.hosts
    }
    assert set(named("relay").hosts) == hosts | set(IDENTITY_HOSTS["global"])
    assert named("relay").secrets == ()


def test_adding_a_provider_moves_no_other_at_the_relay() -> None:
    before = {host: relay_slot(host) for host in named("relay").hosts}
    more = workloads("global", PROVIDERS | {"aaa": provider("aaa")})
    after = {host: relay_slot(host) for w in more if w.name == "relay" for host in w.hosts}
    assert before.items() <= after.items()


def test_two_hosts_at_one_place_are_refused() -> None:
    first: dict[int, str] = {}
    for number in range(RELAY_SLOTS):
        host = f"api{number}.example.com"
        if relay_slot(host) in first:
            with pytest.raises(ValueError, match="share a place"):
                relay((host, first[relay_slot(host)]))
            return
        first[relay_slot(host)] = host
    pytest.fail("no two of these hosts collided; the test needs more of them")


def test_providers_of_this_machine_and_unfilled_addresses_have_no_pod_in_a_cloud() -> None:
    rows = {
        "local": provider("local", "http://127.0.0.1:8000", country="--"),
        "azure": provider("azure", "https://{resource}.openai.azure.com"),
        "openai": provider("openai"),
    }
    assert [row.slug for row in deployable(rows)] == ["openai"]


@pytest.mark.parametrize(
    "url", ["http://api.a.com", "https://{x}.a.com", "https://api.a.com:8443", "ftp://a", "https://"]
)
def test_an_address_that_no_policy_can_express_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match="provider a: base_url must be https"):
        host_of(provider("a", url))


def test_functions_are_lambda_style_entries_of_their_rooms() -> None:
    for function in functions("global"):
        assert function.entry.startswith(f"handlers.{function.room}.")
        assert function.entry.endswith(".handler")
        assert Variable.REGION in function.variables


def test_names_are_unique_and_the_lists_agree() -> None:
    rows = workloads("china", PROVIDERS)
    assert len({row.name for row in rows}) == len(rows)
    assert set(secrets("china", PROVIDERS)) == {secret for row in rows for secret in row.secrets}


def test_a_secrets_name_carries_its_environment() -> None:
    assert store_name("staging", "provider/openai") == "therouter/staging/provider/openai"


def test_the_admin_room_reaches_the_hosts_of_its_doors_and_no_others() -> None:
    doors = Doors(issuer="https://login.example.com", issuer_hosts="tokens.example.com")
    rows = {row.name: row for row in functions("global", doors)}
    assert rows["admin"].hosts == ("login.example.com", "tokens.example.com", "email.us-east-2.amazonaws.com")
    assert rows["spending"].hosts == ("email.us-east-2.amazonaws.com",)
    assert {name for name, row in rows.items() if row.hosts} == {"admin", "payments", "spending"}
    assert {row.name: row.hosts for row in functions("china", doors)}["spending"] == ("dm.aliyuncs.com",)
    assert {row.name: row.hosts for row in functions("global")}["admin"] == ("email.us-east-2.amazonaws.com",)


@pytest.mark.claim("C56")
def test_c56_the_site_has_no_way_to_the_database_and_no_secret() -> None:
    for region in ("global", "china"):
        (site,) = [row for row in functions(region) if row.name == "site"]
        assert (site.database_role, site.secrets, site.hosts) == ("", (), ())
        assert not any("DATABASE" in name for name in site.variables)
    assert "database/site" not in secrets("global", PROVIDERS)


@pytest.mark.claim("A11")
def test_a11_no_workload_is_the_founder() -> None:
    for region in ("global", "china"):
        assert all(row.database_role != "founder" for row in workloads(region, PROVIDERS))
        assert "database/founder" not in secrets(region, PROVIDERS)
