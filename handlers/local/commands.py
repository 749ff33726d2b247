"""What the commands of `therouter` do against a running system; `up` has a file of its own."""

from __future__ import annotations

import argparse
import importlib
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import httpx
import msgspec

from handlers.catalog.entries import NANO
from handlers.keys.principal import KeyLimits
from handlers.local.access import LOCAL_TENANT, Access
from handlers.local.home import Home
from handlers.local.tables import show

NINE_FIELDS = (
    "ts", "user_id", "model", "prompt_tokens", "completion_tokens", "cost", "latency_ms", "http_status", "error_type",
)  # fmt: skip
FURTHER_FIELDS = (
    "request_id", "key_id", "provider", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "stream",
    "first_event_ms", "estimated", "credential", "attempts", "price_version",
)  # fmt: skip
DAY_S = 86_400


def money(nano: int) -> str:
    """Exact: never a float."""
    sign, nano = ("-", -nano) if nano < 0 else ("", nano)
    return f"{sign}{nano // NANO}.{nano % NANO:09d}"


def create_key(options: argparse.Namespace) -> int:
    """`therouter keys create`."""
    limits = KeyLimits(
        requests_per_minute=options.requests_per_minute,
        tokens_per_minute=options.tokens_per_minute,
        concurrent_requests=options.concurrent_requests,
        spend_nano=None if options.spend is None else round(options.spend * NANO),
        spend_period=options.spend_period or "",
        models=frozenset(name.strip() for name in options.models.split(",") if name.strip()),
    )
    expires_at = int(time.time()) + options.expires_days * DAY_S if options.expires_days else None
    with closing(Access.open(Home.of(options.region))) as access:
        access.ensure_tenant()
        token = (
            access.create_management_key(options.name)
            if options.management
            else access.create_key(options.name, limits, expires_at)
        )
    if options.json:
        print(msgspec.json.encode({"key": token, "name": options.name}).decode())
    else:
        print(f"{token}\n\nThis key is shown once and stored only as a hash. Keep it like a password.")
    return 0


def list_keys(options: argparse.Namespace) -> int:
    """`therouter keys list`."""
    with closing(Access.open(Home.of(options.region))) as access:
        keys = access.store.list_keys()
    rows = [
        (key.key_id, key.name, key.state, _day(key.created_at), _day(key.expires_at), key.last_used_day or "never")
        for key in keys
    ]
    show(
        ("key_id", "name", "state", "created", "expires", "last_used"), rows, as_json=options.json, empty="no keys yet"
    )
    return 0


def _day(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()


def revoke_key(options: argparse.Namespace) -> int:
    """`therouter keys revoke`."""
    with closing(Access.open(Home.of(options.region))) as access:
        changed = access.store.revoke_key(str(LOCAL_TENANT), options.key_id)
    print("revoked; refused everywhere within five seconds" if changed else "this key was revoked before")
    return 0


def show_usage(options: argparse.Namespace) -> int:
    """`therouter usage`."""
    with closing(Access.open(Home.of(options.region))) as access:
        since = datetime.now(UTC) - timedelta(days=options.days)
        rows = access.store.recent_usage(str(LOCAL_TENANT), since=since, limit=options.limit)
    columns = NINE_FIELDS + FURTHER_FIELDS if options.wide or options.json else NINE_FIELDS
    values = []
    for row in rows:
        known = msgspec.structs.asdict(row) | {
            "cost": money(row.cost_nano),
            "ts": row.ts.astimezone(UTC).isoformat(timespec="milliseconds"),
        }
        values.append([known[column] for column in columns])
    show(columns, values, as_json=options.json, empty="no requests yet")
    return 0


def list_models(options: argparse.Namespace) -> int:
    """`therouter models`."""
    access = Access.open(Home.of(options.region))
    access.close()
    listed = httpx.get(f"{access.running.url}/v1/models", timeout=10, trust_env=False).raise_for_status().json()["data"]
    rows = [
        (
            model["id"],
            _per_million(model["pricing"]["prompt"]),
            _per_million(model["pricing"]["completion"]),
            model["pricing_currency"],
            model["context_length"],
            ",".join(model["providers"]),
        )
        for model in listed
        if options.search in model["id"]
    ]
    columns = ("model", "input_per_million", "output_per_million", "currency", "context", "providers")
    show(columns, rows, as_json=options.json, empty="no models: enable a provider (see `therouter up --help`)")
    return 0


def _per_million(price: str) -> str:
    whole, _, digits = price.partition(".")
    digits = digits.ljust(6, "0")
    integer = str(int(whole + digits[:6]))
    rest = digits[6:].rstrip("0")
    return f"{integer}.{rest}" if rest else integer


def check_ledger(options: argparse.Namespace) -> int:
    """`therouter ledger check`."""
    with closing(Access.open(Home.of(options.region))) as access:
        rules = access.store.check_ledger()
    rows = [(rule.rule, rule.left, rule.right, rule.difference) for rule in rules]
    show(("rule", "left", "right", "difference"), rows, as_json=options.json, empty="no rules")
    wrong = [rule for rule in rules if rule.difference]
    if not options.json:
        print("all sums exact" if not wrong else f"{len(wrong)} sums differ: this must be looked into")
    return 1 if wrong else 0


CLOUD_COMMANDS = {
    ("verify", "aws"): "handlers.operations.verify_aws",
    ("verify", "aliyun"): "handlers.operations.hangzhou.verify",
    ("bootstrap", "aws"): "handlers.operations.bootstrap_aws",
    ("bootstrap", "aliyun"): "handlers.operations.hangzhou.bootstrap",
}


def ask_cloud(options: argparse.Namespace) -> int:
    """`therouter verify|bootstrap aws|aliyun`: everything behind it is handed on to the operations room.

    Imported when asked for: boto3 is loaded by these commands alone.
    """
    room = importlib.import_module(CLOUD_COMMANDS[options.asked])
    return int(room.main(options.rest))
