"""Who holds what the gateway and the admin room hold cannot open a customer's provider key (C15, C16)."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from handlers.keys.opening import open_sealed
from handlers.keys.sealing import SealBroken, SealContext, generate_keypair, read_header
from handlers.store.gateway import GatewayStore
from tests.handlers.admin.rooms import House

SECRET = "a-provider-key-of-a-customer"


def store(house: House, provider: str = "openai", tenant: str = "mine") -> tuple[str, str]:
    """(record, sealed text) of a new provider key."""
    answer = house.ask("POST", "/admin/byok", {"provider": provider, "key": SECRET}, tenant=tenant)
    assert answer.status == 201, answer.text
    record = answer.json["record_id"]
    rows = house.database.query("select sealed from therouter.byok_key where record_id = :id", id=record)
    return record, str(rows[0][0])


def context(house: House, record: str, provider: str = "openai", tenant: str = "mine", **other: str) -> SealContext:
    place = {"region": "global", "environment": "local", **other}
    return SealContext(place["region"], place["environment"], provider, house.tenants[tenant], record)


@pytest.mark.claim("C15", "C16")
def test_the_providers_room_alone_opens_it(house: House) -> None:
    record, sealed = store(house)
    assert open_sealed({1: house.private_keys["openai"]}, sealed, context(house, record)) == SECRET.encode()


@pytest.mark.claim("C15", "C16")
def test_everything_that_gateway_and_admin_hold_does_not_open_it(house: House) -> None:
    record, sealed = store(house)
    room = house.room
    stored = [str(value) for row in house.database.query("select t::text from therouter.byok_key t") for value in row]
    assert all(SECRET not in text for text in stored)
    mint = [house.mint_keys._keys[version] for version in house.mint_keys._keys]
    held = [key.public for key in room.sealing_keys.values()] + [*room.digests.newest_first(), *mint]
    held += [house.private_keys["anthropic"], generate_keypair()[0], read_header(sealed).ciphertext[:32]]
    for key in held:
        with pytest.raises(SealBroken):
            open_sealed({1: key[:32]}, sealed, context(house, record))


@pytest.mark.claim("C15")
def test_moved_to_another_tenant_provider_record_or_environment_it_does_not_open(house: House) -> None:
    record, sealed = store(house)
    other_record, _ = store(house, tenant="other")
    places = itertools.chain(
        [context(house, record, tenant="other"), context(house, other_record), context(house, record, "anthropic")],
        [context(house, record, region="china"), context(house, record, environment="production")],
    )
    for place in places:
        for private in house.private_keys.values():
            with pytest.raises(SealBroken):
                open_sealed({1: private}, sealed, place)


async def _records(house: House, provider: str = "") -> list[tuple[str, str]]:
    rows = await GatewayStore(house.database.pool("gateway"), "pod").byok_records(house.tenants["mine"], provider)
    return [(row.record, row.sealed) for row in rows]


@pytest.mark.claim("C16")
def test_gateways_get_the_new_key_after_a_change_and_none_after_its_end(house: House) -> None:

    record, sealed = store(house)
    assert asyncio.run(_records(house)) == [(record, sealed)]
    assert house.ask("PATCH", f"/admin/byok/{record}", {"key": "another-provider-key"}).status == 200
    ((_, replaced),) = asyncio.run(_records(house))
    assert replaced != sealed
    place = context(house, record)
    assert open_sealed({1: house.private_keys["openai"]}, replaced, place) == b"another-provider-key"
    assert house.ask("PATCH", f"/admin/byok/{record}", {"disabled": True}).json["state"] == "disabled"
    assert asyncio.run(_records(house)) == []
    assert house.ask("DELETE", f"/admin/byok/{record}").status == 200
    assert house.database.query("select count(*) from therouter.byok_key") == [[0]]


def test_answers_and_the_trail_never_hold_the_sealed_text(house: House) -> None:
    record, sealed = store(house)
    for path in ("/admin/byok", f"/admin/byok/{record}", "/admin/account/export", "/admin/audit"):
        seen = house.ask("GET", path).text
        assert sealed not in seen
        assert SECRET not in seen


def test_a_provider_that_is_not_here_is_named_with_those_that_are(house: House) -> None:
    answer = house.ask("POST", "/admin/byok", {"provider": "nobody", "key": SECRET})
    assert answer.status == 400
    assert answer.json["error"]["param"] == "provider"
    assert "anthropic, openai" in answer.json["error"]["message"]


@pytest.mark.claim("C45", "C49")
def test_c49_a_key_for_the_other_regions_provider_is_refused_as_such(house: House) -> None:
    answer = house.ask("POST", "/admin/byok", {"provider": "volcengine", "key": SECRET})
    assert answer.status == 403
    assert answer.json["error"]["code"] == "region_restricted"
    assert answer.json["error"]["param"] == "provider"
    assert house.ask("POST", "/admin/byok", {"provider": "nobody", "key": SECRET}).status == 400
