"""Routes about the audit trail, the data inventory, the account as a whole, and for operators, other tenants."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from handlers.admin.calls import Call, Route, Text
from handlers.admin.shapes import InspectedTenant, Tenant, TenantNew, TenantState
from handlers.admin.usage_shapes import (
    AuditAnswer,
    AuditQuery,
    AuditRow,
    Closed,
    CloseRequest,
    Digest,
    DigestRequest,
    Inventory,
    InventoryField,
)
from handlers.audit.lineage import Succession
from handlers.audit.notes import origin_of
from handlers.audit.verification import VERSION, Beginning, Row, SignedCheckpoint, Trail
from handlers.store.usage import UsageRow

NOT_COVERED = [
    "requests for inference: they are usage rows",
    "reads within the tenant, and sign-ins that failed",
    "health checks",
    "acts of people on the infrastructure, and in the database past its functions: they are in the cloud's own trail",
]
MEANINGS = {
    "ts": "when the request began, UTC",
    "request_id": "its id, made by us",
    "tenant_id": "the account that pays",
    "user_id": "the user whose key it was",
    "key_id": "the public part of the key",
    "model": "the model that answered",
    "provider": "who ran it",
    "prompt_tokens": "tokens in, beside the cache's",
    "completion_tokens": "tokens out",
    "cache_read_tokens": "tokens read from the provider's cache",
    "cache_write_tokens": "tokens written to it",
    "reasoning_tokens": "of the tokens out, those of reasoning",
    "cost_nano": "the cost, in 10^-9 of the currency",
    "latency_ms": "from the request's arrival to its end",
    "first_event_ms": "from its arrival to the first token",
    "http_status": "how it was answered",
    "error_type": "the kind of failure, if any",
    "stream": "whether it was streamed",
    "estimated": "whether the provider did not say the usage and we counted",
    "credential": "whose provider key was used: shared or byok",
    "attempts": "how many endpoints were tried",
    "price_version": "which price list applied",
    "final": "whether the row is complete",
}
NEVER = ["prompts", "answers", "files and images", "provider keys in clear", "API keys", "client addresses"]


class _Start(msgspec.Struct, frozen=True):
    """What an export begins with."""

    successions: list[Succession]
    beginning: Beginning | None


def list_audit(call: Call) -> AuditAnswer:
    """The tenant's own rows."""
    query: AuditQuery = call.query
    rows = call.ask("control_audit", list[AuditRow], after=query.after, limit=query.limit, all=False)
    return AuditAnswer(data=rows, not_covered=NOT_COVERED)


def export_audit(call: Call) -> Text:
    """A page of the trail as `therouter audit verify` reads it: begin with after=0 and append the pages that follow.

    The next page begins after the last row's number; a page without rows is the end.
    """
    query: AuditQuery = call.query
    rows = call.ask("control_audit", list[Row], after=query.after, limit=query.limit, all=True)
    upto = rows[-1].seq if rows else query.after
    sealed = call.ask("control_checkpoints", list[SignedCheckpoint], from_size=query.after + 1, upto=upto)
    lines = [*(_head(call, sealed) if query.after == 0 else ()), *_body(rows, sealed)]
    return Text("application/jsonl", "".join(msgspec.json.encode(line).decode() + "\n" for line in lines))


def _head(call: Call, sealed: list[SignedCheckpoint]) -> Iterator[msgspec.Struct]:
    start = call.ask("control_audit_beginning", _Start)
    newest = sealed[-1].verifier if sealed else ""
    yield Trail(version=VERSION, origin=origin_of(call.room.region), tenant_id=call.standing.tenant_id, verifier=newest)
    if newest:
        yield from start.successions
    if start.beginning is not None:
        yield start.beginning


def _body(rows: list[Row], sealed: list[SignedCheckpoint]) -> Iterator[msgspec.Struct]:
    notes = {checkpoint.size: checkpoint for checkpoint in sealed}
    for row in rows:
        yield row
        if row.seq in notes:
            yield notes[row.seq]


def digest_secret(call: Call) -> Digest:
    """The digests of a secret, to recognise it in the trail and among provider keys."""
    request: DigestRequest = call.body
    newest, *earlier = call.room.digests.digests(request.value)
    return Digest(digest=newest, earlier=earlier)


def show_inventory(call: Call) -> Inventory:
    """What is kept about a request, made from the row itself."""
    kinds = {field.name: str(field.type) for field in msgspec.structs.fields(UsageRow)}
    return Inventory(
        fields=[
            InventoryField(name=name, kind=_plain(kinds[name]), meaning=MEANINGS[name])
            for name in UsageRow.__struct_fields__
        ],
        retention_days=call.ask("control_tenant", Tenant).retention_days,
        purge="hourly; from live systems within 24 hours of the end of retention, from backups within 14 further days",
        never=NEVER,
    )


def _plain(kind: str) -> str:
    return kind.removeprefix("<class '").removesuffix("'>").removeprefix("datetime.")


def export_account(call: Call) -> dict[str, Any]:
    """Everything that is kept about the account, beside usage and audit trail, which have exports of their own."""
    return call.ask("control_export", dict[str, Any])


def close_account(call: Call) -> Closed:
    """Close the account: keys, provider keys and people's names go at once, usage rows with the next purge."""
    request: CloseRequest = call.body
    return call.ask("control_close_account", Closed, name=request.confirm)


def list_tenants(call: Call) -> list[Tenant]:
    """All tenants; that they were listed is in the operators' own audit trail."""
    return call.ask("control_tenants", list[Tenant])


def create_tenant(call: Call) -> Tenant:
    """A tenant with its first owner."""
    new: TenantNew = call.body
    return call.ask(
        "control_create_tenant",
        Tenant,
        tenant=str(uuid.uuid4()),
        name=new.name,
        user=str(uuid.uuid4()),
        email=new.owner_email,
    )


def inspect_tenant(call: Call) -> InspectedTenant:
    """Look at a tenant's account; its own audit trail says who did."""
    return call.ask("control_inspect_tenant", InspectedTenant, tenant=call.uuid("tenant_id"))


def set_tenant_state(call: Call) -> Tenant:
    """Freeze or thaw a tenant."""
    change: TenantState = call.body
    return call.ask("control_set_tenant_state", Tenant, tenant=call.uuid("tenant_id"), state=change.state)


ROUTES = (
    Route("GET", "/admin/audit", "audit:read", "List the audit trail", list_audit, AuditAnswer, query=AuditQuery),
    Route(
        "GET",
        "/admin/audit/export",
        "audit:read",
        "Export the trail with its proof",
        export_audit,
        Text,
        query=AuditQuery,
    ),
    Route("POST", "/admin/audit/digest", "audit:read", "Digest a secret", digest_secret, Digest, DigestRequest),
    Route("GET", "/admin/inventory", "tenant:read", "Show what is kept", show_inventory, Inventory),
    Route(
        "GET",
        "/admin/account/export",
        "account:export",
        "Export the account",
        export_account,
        dict[str, Any],
        dangerous=True,
    ),
    Route(
        "POST",
        "/admin/account/closing",
        "tenant:close",
        "Close the account for good",
        close_account,
        Closed,
        CloseRequest,
        dangerous=True,
    ),
    Route("GET", "/admin/tenants", "tenants:read", "List tenants (operators)", list_tenants, list[Tenant]),
    Route(
        "POST",
        "/admin/tenants",
        "tenants:write",
        "Make a tenant (operators)",
        create_tenant,
        Tenant,
        TenantNew,
        status=201,
        dangerous=True,
    ),
    Route(
        "GET",
        "/admin/tenants/<tenant_id>",
        "tenants:read",
        "Look at a tenant (operators; audited)",
        inspect_tenant,
        InspectedTenant,
        dangerous=True,
    ),
    Route(
        "PATCH",
        "/admin/tenants/<tenant_id>",
        "tenants:write",
        "Freeze or thaw a tenant (operators)",
        set_tenant_state,
        Tenant,
        TenantState,
        dangerous=True,
    ),
)
