"""`therouter audit`: check an exported audit trail offline, and fetch one from the system that runs here."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec

from handlers.audit.notes import origin_of, parse_signing_key, verifier_of
from handlers.audit.verification import TrailBroken, Verdict, verify_export
from handlers.local.access import Access
from handlers.local.aws import read_secret
from handlers.local.home import Home

KEY_VARIABLE = "THEROUTER_MANAGEMENT_KEY"
PAGE_ROWS = 500
_ROW = re.compile(r'^\{"kind":"row","seq":([0-9]+),', re.MULTILINE)


def verify_audit(options: argparse.Namespace) -> int:
    """`therouter audit verify FILE`: 0 when every row and signature fits, 1 when one does not; needs the file alone."""
    try:
        with Path(options.file).open("rb") as lines:
            verdict = verify_export(lines, options.key)
    except OSError as error:
        print(f"therouter: {options.file} cannot be read ({error.strerror})", file=sys.stderr)
        return 1
    except TrailBroken as broken:
        print(f"BROKEN: {broken}", file=sys.stderr)
        return 1
    _tell(verdict, pinned=bool(options.key), as_json=options.json)
    return 0


def _tell(verdict: Verdict, *, pinned: bool, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(verdict).decode())
        return
    print(
        f"{verdict.rows - verdict.gone_rows} rows fit their hashes and the chain; {verdict.own_rows} of them are this tenant's, in clear"
    )
    if verdict.gone_rows:
        print(f"rows 1 to {verdict.gone_rows} have ended their time: a signed checkpoint stands for them")
    print(f"{verdict.checkpoints} checkpoints are signed and cover the rows up to {verdict.sealed_rows}")
    if verdict.rows > verdict.sealed_rows:
        print(f"rows {verdict.sealed_rows + 1} to {verdict.rows} are proven by the chain alone: export again later")
    if len(verdict.keys) > 1:
        print(f"the key was changed {len(verdict.keys) - 1} times, each time handed over by a signature of both")
    if pinned:
        print("signed by the key that you gave, or by one in line with it")
    elif verdict.verifier:
        print(f"signed by {verdict.verifier}\ncompare this key with the published one, or give it with --key")


def export_audit(options: argparse.Namespace) -> int:
    """`therouter audit export`: the trail of the tenant whose management key this is, with its proof, on standard output."""
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        print(
            f"therouter: put a management key into {KEY_VARIABLE} (therouter keys create --management)", file=sys.stderr
        )
        return 1
    url = options.url or _local_admin(options.region)
    with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as client:
        try:
            for page in _pages(client, url):
                sys.stdout.write(page)
        except httpx.HTTPError as error:
            print(f"therouter: {url} did not export the trail ({type(error).__name__})", file=sys.stderr)
            return 1
    return 0


def _pages(client: httpx.Client, url: str) -> Iterator[str]:
    after = 0
    while True:
        answer = client.get(f"{url}/audit/export", params={"after": after, "limit": PAGE_ROWS})
        page = answer.raise_for_status().text
        yield page
        numbers = _ROW.findall(page)
        if not numbers:
            return
        after = int(numbers[-1])


def _local_admin(region: str) -> str:
    access = Access.open(Home.of(region))
    access.close()
    return access.running.admin_url


def show_key(options: argparse.Namespace) -> int:
    """`therouter audit key`: the public key of the checkpoints that are made here."""
    key = parse_signing_key(read_secret(Home.of(options.region).secrets, "audit/checkpoint"))
    print(verifier_of(origin_of(options.region), key))
    return 0
