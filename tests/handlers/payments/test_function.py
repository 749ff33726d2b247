"""The deployed entry, put together from real settings, secret files and a database, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from handlers.local.stripe_standin import make_keys
from tests.database import Database
from tests.handlers.payments.rooms import alb_event

PROGRAM = """
import sys, msgspec
from handlers.payments.function import handler
for line in sys.stdin.buffer:
    print(msgspec.json.encode(handler(msgspec.json.decode(line), None)).decode(), flush=True)
"""


def _secrets(folder: Path, database: Database, **changes: bytes) -> None:
    mint = {"newest": "1", "keys": {"1": "A" * 42 + "8"}}
    contents = {
        "origin.json": b'{"region":"global","environment":"local"}',
        "payments/stripe": msgspec.json.encode(make_keys()._asdict()),
        "restore/epoch": b"0",
        "keys/mint": msgspec.json.encode(mint),
        "database/payments": database.dsn("payments").password.encode(),
        **changes,
    }
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)


def _environment(folder: Path, database: Database) -> dict[str, str]:
    dsn = database.dsn("payments")
    return {
        "PATH": os.environ["PATH"],
        "THEROUTER_REGION": "global",
        "THEROUTER_CLOUD": "local",
        "THEROUTER_ENVIRONMENT": "local",
        "THEROUTER_SECRETS": str(folder),
        "THEROUTER_DATABASE_HOST": dsn.socket_dir,
        "THEROUTER_DATABASE_PORT": str(dsn.port),
        "THEROUTER_DATABASE_NAME": dsn.database,
        "THEROUTER_DATABASE_ROLE": "payments",
        "THEROUTER_PUBLIC_URL": "https://api.therouter.example",
        "AWS_LAMBDA_FUNCTION_NAME": "payments",
    }


def _run(environment: Mapping[str, str], *events: object) -> subprocess.CompletedProcess[bytes]:
    lines = b"".join(msgspec.json.encode(event) + b"\n" for event in events)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=lines,
        capture_output=True,
        check=False,
        timeout=60,
        env=dict(environment),
    )


@pytest.mark.claim("C53")
def test_the_function_answers_requests_and_its_schedule(tmp_path: Path, database: Database) -> None:
    _secrets(tmp_path, database)
    done = _run(
        _environment(tmp_path, database),
        alb_event("GET", "/payments/orders"),
        alb_event("POST", "/payments/webhooks/stripe", b"{}"),
        {"task": "repair", "passes": 2, "pause_s": 0},
    )
    assert done.returncode == 0, done.stderr
    orders, webhook, repaired = (msgspec.json.decode(line) for line in done.stdout.splitlines())
    assert (orders["statusCode"], webhook["statusCode"]) == (401, 401)
    assert repaired == {"orders": 0, "refunds": 0, "charged": 0, "failed": 0}


@pytest.mark.claim("A95")
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "payments/stripe",
            b'{"secret_key": "sk_test_0123456789abcdefghijklmnopqr", "webhook_secret": ""}',
            "webhook_secret",
        ),
        ("payments/stripe", b"changeme", "payments/stripe"),
        ("keys/mint", b'{"newest": "1", "keys": {"1": "AAAA"}}', "keys/mint"),
    ],
)
def test_a95_a_wrong_secret_stops_the_process_before_its_first_request(
    tmp_path: Path, database: Database, name: str, content: bytes, said: str
) -> None:
    _secrets(tmp_path, database, **{name: content})
    done = _run(_environment(tmp_path, database))
    assert done.returncode != 0
    assert said in done.stderr.decode().splitlines()[-1]


@pytest.mark.claim("A95")
@pytest.mark.parametrize("variable", ["THEROUTER_PUBLIC_URL", "THEROUTER_DATABASE_HOST", "THEROUTER_DATABASE_ROLE"])
def test_a95_a_missing_setting_stops_it_too(tmp_path: Path, database: Database, variable: str) -> None:
    _secrets(tmp_path, database)
    environment = _environment(tmp_path, database)
    del environment[variable]
    done = _run(environment)
    assert done.returncode != 0
    assert variable in done.stderr.decode().splitlines()[-1]
