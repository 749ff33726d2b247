"""`therouter credit`: give, correct and list the credit of the account that runs here, and let a stopped key go on."""

from __future__ import annotations

import argparse
import sys
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from handlers.catalog.entries import NANO
from handlers.local.access import LOCAL_TENANT, Access
from handlers.local.commands import money
from handlers.local.home import Home
from handlers.local.tables import show

REASONS = ("goodwill", "promotion", "correction", "waiver")
NANO_MAX = 10**18


def nano_of(text: str) -> int:
    """An amount in units of currency, exact to the nano-unit, as nano-units; ArgumentTypeError for anything else."""
    try:
        nano = Decimal(text) * NANO
    except InvalidOperation:
        raise argparse.ArgumentTypeError("an amount is written 12.50 or -3") from None
    if not nano.is_finite() or nano != nano.to_integral_value() or not 0 < abs(nano) <= NANO_MAX:
        raise argparse.ArgumentTypeError("an amount is not zero, has at most 9 decimals and is at most a billion")
    return int(nano)


def add_credit(options: argparse.Namespace) -> int:
    """`therouter credit add`."""
    key = options.key or f"cli.{uuid.uuid4()}"
    with closing(Access.open(Home.of(options.region))) as access:
        access.ensure_tenant()
        if options.expires_days:
            until = datetime.now(UTC) + timedelta(days=options.expires_days)
            outcome = access.store.grant_credit(key, str(LOCAL_TENANT), options.amount, options.reason, until)
        else:
            outcome = access.store.adjust_credit(key, str(LOCAL_TENANT), options.amount, options.reason)
    print("booked" if outcome == "ok" else "this --key was booked before; nothing was booked now")
    return 0


def list_credit(options: argparse.Namespace) -> int:
    """`therouter credit list`."""
    with closing(Access.open(Home.of(options.region))) as access:
        movements = access.store.credit_movements(str(LOCAL_TENANT), options.limit)
    rows = [
        (
            row.at.astimezone(UTC).isoformat(timespec="seconds"),
            row.kind,
            row.reason,
            money(row.amount_nano),
            row.expires_at.astimezone(UTC).date().isoformat() if row.expires_at else "",
            "" if row.left_nano is None else money(row.left_nano),
        )
        for row in movements
    ]
    show(("at", "kind", "reason", "amount", "ends", "left"), rows, as_json=options.json, empty="nothing was booked yet")
    return 0


def confirm_key(options: argparse.Namespace) -> int:
    """`therouter credit confirm`."""
    with closing(Access.open(Home.of(options.region))) as access:
        confirmed = access.store.confirm_key(str(LOCAL_TENANT), options.key_id)
    if not confirmed:
        print("therouter: this key is not stopped; `therouter credit alerts` lists what happened", file=sys.stderr)
        return 1
    print("the key may spend again at once")
    return 0


def list_alerts(options: argparse.Namespace) -> int:
    """`therouter credit alerts`."""
    with closing(Access.open(Home.of(options.region))) as access:
        alerts = access.store.list_alerts(str(LOCAL_TENANT), options.limit)
    rows = [
        (
            row.raised_at.astimezone(UTC).isoformat(timespec="seconds"),
            row.kind,
            row.scope,
            row.subject,
            str(row.percent or ""),
            money(row.spent_nano),
            money(row.limit_nano),
        )
        for row in alerts
    ]
    columns = ("at", "kind", "scope", "subject", "percent", "spent", "limit")
    show(columns, rows, as_json=options.json, empty="nothing to tell")
    return 0
