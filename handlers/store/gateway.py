"""What the gateway asks of PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from handlers.keys.principal import KeyLimits, KeyRow, Principal, SubjectLimits
from handlers.store.figures import FigureSums
from handlers.store.pool import Pool
from handlers.store.refusals import StatementRefused
from handlers.store.usage import UsageRow, usage_row


class KeyChange(NamedTuple):
    """Something about a key, or (`key_id` is None) about all keys of an account, has changed."""

    seq: int
    key_id: str | None
    account: str | None


class LeaseGrant(NamedTuple):
    """`granted_nano` is 0 when the account cannot afford what is needed or is not active."""

    granted_nano: int
    available_nano: int
    """Balance minus holds, before this grant."""
    state: str
    """Of the account: active | frozen | closed; or why there is nothing: budget_key | budget_user | budget_tenant | key_stopped."""
    reset_s: int = 0
    """Seconds until the budget that is too tight begins anew; 0: never, or none is."""


class RateClaim(NamedTuple):
    """What is needed of one window. Kinds: requests | tokens (a minute) | places (open requests)."""

    subject: str
    kind: str
    need: int
    want: int
    """What is welcome where there is room; of places always one is given."""
    limit: int


class RateGrant(NamedTuple):
    """What several claims got, in their order; nothing at all when one of them was refused."""

    refused: int
    """The number of the claim whose window is full, from 1; 0: none."""
    wait_s: int
    """How long that one is."""
    granted: list[int]
    remaining: list[int]


class ClaimAnswer(NamedTuple):
    """Who has the claim to a request."""

    outcome: str
    """new | in_progress | completed | other_body."""
    request_id: str


class ByokRecord(NamedTuple):
    """One sealed provider key."""

    record: str
    provider: str
    sealed: str
    key_version: int
    scope: str
    """JSON object: who may use it."""


class ByokTask(NamedTuple):
    """Something to do for a sealed provider key; this gateway has it for a minute."""

    record: str
    account: str
    provider: str
    sealed: str
    scope: str
    """JSON object: who may use it."""
    check_due: bool
    """Try it with a minimal call."""
    reseal_to: int | None
    """Have it sealed to this version of the sealing key, or a newer one."""


class KeySummary(NamedTuple):
    """What a key may and what it has spent; days and weeks are UTC, times are Unix seconds."""

    name: str
    limits: KeyLimits
    expires_at: int | None
    created_at: int
    spend_today_nano: int
    spend_week_nano: int
    spend_month_nano: int
    spend_all_nano: int
    balance_nano: int
    held_nano: int


class GatewayStore:
    """The gateway's façade; all methods raise Unavailable when the database cannot answer.

    Args:
        pool: of the role `gateway`.
        pod: the name of this process, noted in its leases.

    """

    def __init__(self, pool: Pool, pod: str) -> None:
        self._pool = pool
        self._pod = pod

    async def find_key(self, key_id: str) -> KeyRow | None:
        """The row of a key id, None when there is none."""
        rows = await self._pool.call("gateway_key", key_id=key_id)
        return _key_row(*rows[0]) if rows else None

    async def watch(self) -> tuple[int, int]:
        """(the number of the latest change, the epoch of the database: how often it was restored)."""
        latest, epoch = (await self._pool.call("gateway_watch"))[0]
        return int(latest), int(epoch)

    async def changes_since(self, seq: int) -> list[KeyChange]:
        """Changes after a number, in order."""
        rows = await self._pool.call("gateway_changes", since=seq)
        return [KeyChange(number, key_id, tenant and str(tenant)) for number, key_id, tenant in rows]

    async def byok_records(self, account: str, provider: str = "") -> list[ByokRecord]:
        """The account's active sealed keys for a provider, or for all."""
        rows = await self._pool.call("gateway_byok", tenant=account, provider=provider)
        return [ByokRecord(str(record), *rest) for record, *rest in rows]

    async def take_byok_tasks(self, limit: int) -> list[ByokTask]:
        """What is due for provider keys and no other gateway is at."""
        rows = await self._pool.call("gateway_byok_care", limit=limit)
        return [ByokTask(str(record), str(tenant), *rest) for record, tenant, *rest in rows]

    async def byok_checked(self, record: str, sealed: str, verdict: str) -> bool:
        """Note what came of trying this text: valid | invalid_key | cannot_tell. False when the record holds another by now."""
        return bool(
            (await self._pool.call("gateway_byok_checked", record=record, sealed=sealed, verdict=verdict))[0][0]
        )

    async def byok_resealed(self, record: str, before: str, sealed: str) -> bool:
        """Put the same key, sealed to a newer version; False when the record holds another text than `before` by now."""
        return bool((await self._pool.call("gateway_byok_resealed", record=record, before=before, sealed=sealed))[0][0])

    async def lease(self, lease_id: str, account: str, need_nano: int, want_nano: int, ttl_s: int) -> LeaseGrant:
        """Take credit, or more of it for a lease that exists.

        Not idempotent: after Unavailable the credit may have been granted. Take a fresh `lease_id` then; the other
        expires by itself.
        """
        rows = await self._pool.call(
            "credit_lease",
            lease=lease_id,
            tenant=account,
            pod=self._pod,
            need_nano=need_nano,
            want_nano=want_nano,
            ttl_s=ttl_s,
        )
        return LeaseGrant(*rows[0])

    async def lease_for_key(
        self, lease_id: str, account: str, key_id: str, need_nano: int, want_nano: int, ttl_s: int
    ) -> LeaseGrant:
        """As `lease`, within every budget of the key, its user and its tenant.

        When a budget is too tight the state is budget_key, budget_user or budget_tenant, `available_nano` is what that
        budget still allows, and `reset_s` when it begins anew. A key that spends unusually is key_stopped.
        """
        rows = await self._pool.call(
            "credit_lease_for_key",
            lease=lease_id,
            tenant=account,
            key_id=key_id,
            pod=self._pod,
            need_nano=need_nano,
            want_nano=want_nano,
            ttl_s=ttl_s,
        )
        return LeaseGrant(*rows[0])

    async def admit_rates(self, process: str, claims: Sequence[RateClaim], ttl_s: int) -> RateGrant:
        """Take from several windows or from none; the limits hold over all replicas together.

        A place belongs to its process and is free again when that does not renew it within `ttl_s`.
        """
        subjects, kinds, needs, wants, limits = (list(column) for column in zip(*claims, strict=True))
        rows = await self._pool.call(
            "rate_admit",
            process=process, ttl_s=ttl_s, subjects=subjects, kinds=kinds, needs=needs, wants=wants, limits=limits,
        )  # fmt: skip
        return RateGrant(*rows[0])

    async def settle_rates(self, process: str, places: list[str], tokens: list[str], difference: int) -> None:
        """Give back one place of each of these subjects, and book what a request used beyond what was taken for it."""
        await self._pool.call("rate_settle", process=process, places=places, tokens=tokens, difference=difference)

    async def renew_places(self, process: str, ttl_s: int) -> None:
        """Keep the places of this process."""
        await self._pool.call("place_renew", process=process, ttl_s=ttl_s)

    async def take_claim(self, account: str, claim: bytes, body: bytes, request_id: str) -> ClaimAnswer:
        """Claim a request by digests of its idempotency key and its body, 32 bytes each."""
        rows = await self._pool.call("request_claim_take", tenant=account, claim=claim, body=body, request=request_id)
        return ClaimAnswer(rows[0][0], str(rows[0][1]))

    async def drop_claim(self, account: str, claim: bytes, request_id: str) -> None:
        """Give back the claim of a request that was refused before dispatch."""
        await self._pool.call("request_claim_drop", tenant=account, claim=claim, request=request_id)

    async def renew(self, lease_ids: Iterable[str], ttl_s: int) -> set[str]:
        """Keep leases alive; returns those that still exist."""
        rows = await self._pool.call("credit_renew", leases=list(lease_ids), ttl_s=ttl_s)
        return {str(lease_id) for (lease_id,) in rows}

    async def release(self, lease_id: str, keep_nano: int = 0) -> int:
        """Give back all but `keep_nano`; returns what was given back. With nothing to keep the lease ends."""
        return int((await self._pool.call("credit_release", lease=lease_id, keep_nano=keep_nano))[0][0])

    async def settle(self, lines: Sequence[bytes]) -> list[tuple[str, str]]:
        """Record usage lines, any number of times with one effect.

        Returns (request id, outcome) for each distinct request id; the outcome is `ok`, `exists`, `upgraded` or
        `rejected:<reason>`. A line is one JSON object with the fields of the SQL type `usage_line`.
        """
        return await self._settle_readable("usage_settle", lines)

    async def settle_quietly(self, lines: Sequence[bytes]) -> list[tuple[str, str]]:
        """As `settle`, but only rejected lines are named: all others cost neither the database nor us an answer."""
        return await self._settle_readable("usage_settle_rejects", lines)

    async def _settle_readable(self, statement: str, lines: Sequence[bytes]) -> list[tuple[str, str]]:
        readable = [line for line in lines if _is_object(line)]
        unreadable = [("", "rejected:unreadable")] * (len(lines) - len(readable))
        return unreadable + await self._settle(statement, readable)

    async def _settle(self, statement: str, lines: Sequence[bytes]) -> list[tuple[str, str]]:
        if not lines:
            return []
        try:
            rows = await self._pool.call(statement, rows=(b"[" + b",".join(lines) + b"]").decode())
        except StatementRefused as refused:  # PostgreSQL could not even take the batch apart (a \u0000, say)
            if len(lines) == 1:
                return [("", f"rejected:{refused.sqlstate.lower()}")]
            return [outcome for line in lines for outcome in await self._settle(statement, [line])]
        return [(str(request_id or ""), _outcome(word, reason)) for request_id, word, reason in rows]

    async def add_figures(self, rows: bytes) -> None:
        """Add counts of endpoints to this minute: a JSON array of objects with the columns of `endpoint_minute`."""
        await self._pool.call("figures_add", rows=rows.decode())

    async def note_makers(self, rows: bytes) -> None:
        """Keep who made provider-bound material: a JSON array of objects with digest (hex), provider and credential."""
        await self._pool.call("bound_makers_note", rows=rows.decode())

    async def find_makers(self, digests: list[str]) -> list[tuple[str, str, str]]:
        """(digest, provider, credential) of those that somebody has noted within a day."""
        rows = await self._pool.call("bound_makers_find", digests=msgspec.json.encode(digests).decode())
        return [(digest, provider, credential) for digest, provider, credential in rows]

    async def read_figures(self) -> list[FigureSums]:
        """What all gateways have counted, for each endpoint that was tried within a day."""
        return [FigureSums(*row) for row in await self._pool.call("figures_read")]

    async def find_generation(self, account: str, request_id: str) -> UsageRow | None:
        """The usage row of a request of this account, None when there is none."""
        try:
            request = uuid.UUID(request_id)
        except ValueError:
            return None
        rows = await self._pool.call("usage_find", tenant=account, request=request)
        return usage_row(rows[0]) if rows else None

    async def key_summary(self, key_id: str) -> KeySummary | None:
        """Limits and spending of a key, None when there is no such key."""
        rows = await self._pool.call("key_summary", key_id=key_id)
        if not rows:
            return None
        name, limits, *rest = rows[0]
        return KeySummary(name, msgspec.json.decode(limits, type=KeyLimits), *rest)


_decode_shared = msgspec.json.Decoder(tuple[SubjectLimits, ...]).decode


def _outcome(word: str, reason: str) -> str:
    return f"{word}:{reason.lower()}" if reason else word


class _Object(msgspec.Struct):
    """Any JSON object; decoding checks its grammar and keeps nothing."""


_decode_object = msgspec.json.Decoder(_Object).decode


def _is_object(line: bytes) -> bool:
    try:
        _decode_object(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _key_row(
    key_id: str, digest: str, state: str, expires_at: int | None, tenant: uuid.UUID, user: uuid.UUID, limits: str,
    account_state: str, retention_days: int, byok_mode: str, data_policy: str, markup_ppm: int, byok_fee_ppm: int = 0,
    shared_limits: str = "[]",
) -> KeyRow:  # fmt: skip
    principal = Principal(
        key_id=key_id,
        account=str(tenant),
        user=str(user),
        account_state=account_state,
        expires_at=expires_at,
        limits=msgspec.json.decode(limits, type=KeyLimits),
        retention_days=retention_days,
        byok_mode=byok_mode,
        markup_ppm=markup_ppm,
        byok_fee_ppm=byok_fee_ppm,
        data_policy=data_policy,
        shared_limits=_decode_shared(shared_limits),
    )
    return KeyRow(key_id=key_id, hash=digest, state=state, expires_at=expires_at, principal=principal)
