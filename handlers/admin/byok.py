"""Routes about customers' own provider keys.

A key is sealed to the provider's public key the moment it is read, bound to region, environment, provider, tenant and record;
this room holds no private half. What is stored can be opened by the provider's room alone, and deleting the row leaves nothing
that could be.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from handlers.admin.calls import Call, Route
from handlers.admin.key_shapes import ByokChange, ByokNew, ByokRecord
from handlers.catalog.elsewhere import refuse_providers
from handlers.errors import InvalidRequest
from handlers.keys.sealing import SealContext, SealingKey, seal


def list_byok(call: Call) -> list[ByokRecord]:
    """The tenant's provider keys."""
    return call.ask("control_byok_records", list[ByokRecord])


def show_byok(call: Call) -> ByokRecord:
    """One provider key."""
    return call.ask("control_byok_record", ByokRecord, record=call.uuid("record_id"))


def create_byok(call: Call) -> ByokRecord:
    """Store a provider key, sealed."""
    new: ByokNew = call.body
    record = str(uuid.uuid4())
    sealing_key = _sealing_key(call, new.provider)
    return call.ask(
        "control_create_byok",
        ByokRecord,
        record=record,
        provider=new.provider,
        sealed=_seal(call, sealing_key, new.key, new.provider, record),
        key_version=sealing_key.version,
        digest=call.room.digests.digest(new.key),
        label=new.label.strip(),
        scope=msgspec.json.encode(new.scope).decode(),
    )


def change_byok(call: Call) -> ByokRecord:
    """Label, scope, state, or another key in its place."""
    change: ByokChange = call.body
    record = call.uuid("record_id")
    named: dict[str, Any] = {}
    if change.key is not None:
        provider = call.ask("control_byok_record", ByokRecord, record=record).provider
        sealing_key = _sealing_key(call, provider)
        named["sealed"] = _seal(call, sealing_key, change.key, provider, record)
        named["key_version"] = sealing_key.version
        named["digest"] = call.room.digests.digest(change.key)
    if change.label is not None:
        named["label"] = change.label.strip()
    if change.scope is not None:
        named["scope"] = change.scope
    if change.disabled is not None:
        named["state"] = "disabled" if change.disabled else "active"
    return call.ask("control_change_byok", ByokRecord, record=record, change=msgspec.json.encode(named).decode())


def check_byok(call: Call) -> ByokRecord:
    """Have the key tried by its provider's room. This room cannot open it, so the verdict comes by itself within a minute."""
    return call.ask("control_check_byok", ByokRecord, record=call.uuid("record_id"))


def delete_byok(call: Call) -> ByokRecord:
    """Delete a provider key for good."""
    return call.ask("control_delete_byok", ByokRecord, record=call.uuid("record_id"))


def _sealing_key(call: Call, provider: str) -> SealingKey:
    key = call.room.sealing_keys.get(provider)
    if key is None:
        refuse_providers(call.room.region, [provider], "provider")
        known = ", ".join(sorted(call.room.sealing_keys))
        raise InvalidRequest(f"There is no such provider here; there are: {known}.", param="provider")
    return key


def _seal(call: Call, sealing_key: SealingKey, secret: str, provider: str, record: str) -> str:
    context = SealContext(call.room.region, call.room.environment, provider, call.standing.tenant_id, record)
    try:
        return seal(sealing_key, secret.encode(), context)
    except ValueError:
        raise InvalidRequest("A provider key has 8 to 8192 bytes.", param="key") from None


ROUTES = (
    Route("GET", "/admin/byok", "byok:read", "List provider keys", list_byok, list[ByokRecord]),
    Route(
        "POST",
        "/admin/byok",
        "byok:write",
        "Store a provider key, sealed for its provider's room",
        create_byok,
        ByokRecord,
        ByokNew,
        status=201,
        dangerous=True,
    ),
    Route("GET", "/admin/byok/<record_id>", "byok:read", "Show a provider key", show_byok, ByokRecord),
    Route(
        "PATCH",
        "/admin/byok/<record_id>",
        "byok:write",
        "Change or replace a provider key",
        change_byok,
        ByokRecord,
        ByokChange,
        dangerous=True,
    ),
    Route(
        "POST",
        "/admin/byok/<record_id>/check",
        "byok:write",
        "Try a provider key with a minimal call; its verdict follows in the record",
        check_byok,
        ByokRecord,
        status=202,
    ),
    Route(
        "DELETE",
        "/admin/byok/<record_id>",
        "byok:write",
        "Delete a provider key",
        delete_byok,
        ByokRecord,
        dangerous=True,
    ),
)
