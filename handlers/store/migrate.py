"""Apply the numbered migrations: in order, once each, all or nothing.

Rules
    A file that has been applied never changes: its SHA-256 is recorded, and a difference stops the run.
    Two runs at the same time wait for one another (an advisory lock), and the second finds nothing to do.
    `0000_roles.sql` says who exists and runs each time, as the migrating role; everything after it runs as the owner,
    in the schema `therouter`, so that what a migration creates belongs to the owner and nobody else may use it.
Numbers
    0001-0099 tenants, ledger, usage   02xx payments   03xx admin   04xx operations   05xx routing   06xx money
    07xx who may call what of all that
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from handlers.store.connection import open_connection
from handlers.store.dsn import Dsn

MIGRATIONS = Path(__file__).with_name("migrations")
ROOMS = ("gateway", "admin", "payments", "operations", "rotation")
"""The roles of rooms that read the database; their logins take turns (0410)."""
LOGINS = (*ROOMS, "founder")
"""The roles that have a password."""
ROLES = (*LOGINS, "site")
SCRAM_ITERATIONS = 4096
TAKEN = {"founder": "alter role founder password null"}
"""Role -> what leaves it without a password."""


class MigrationChanged(RuntimeError):
    """A migration that has been applied was edited or removed; write a new one instead."""


def apply_migrations(dsn: Dsn, directory: Path = MIGRATIONS) -> list[str]:
    """Bring the database up to date; returns the names of the files that were applied now."""
    files = {path.name: path.read_text("utf-8") for path in sorted(directory.glob("[0-9]*.sql"))}
    roles = files.pop("0000_roles.sql")
    connection = open_connection(dsn, timeout_s=300)
    try:
        connection.run("begin")
        connection.run("select pg_advisory_xact_lock(hashtextextended('therouter.migrate', 0))")
        connection.run(roles)
        known = dict(connection.run("select name, sha256 from therouter.migration order by name") or [])
        _refuse_changes(known, files)
        connection.run("set local role therouter_owner; set local search_path = therouter, pg_temp")
        applied = [name for name in files if name not in known]
        for name in applied:
            connection.run(files[name])
            connection.run(
                "insert into therouter.migration (name, sha256) values (:name, :sha256)",
                name=name, sha256=_digest(files[name]),
            )  # fmt: skip
        connection.run("commit")
    finally:
        connection.close()
    return applied


def set_passwords(dsn: Dsn, passwords: Mapping[str, str]) -> None:
    """Give each role its password (role -> password); what travels is a SCRAM verifier."""
    connection = open_connection(dsn, timeout_s=30)
    try:
        for role, password in passwords.items():
            connection.run(
                "select therouter.set_login(:role, :verifier)",
                role=role,
                verifier=scram_verifier(password, os.urandom(16)),
            )
    finally:
        connection.close()


def take_password(dsn: Dsn, role: str) -> None:
    """Leave a role without a password: nobody signs in under it until it is given another."""
    connection = open_connection(dsn, timeout_s=30)
    try:
        connection.run(TAKEN[role])
    finally:
        connection.close()


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL stores for a password (RFC 5802, 7677); ASCII passwords only, as ours are."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = [base64.b64encode(part).decode("ascii") for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def _refuse_changes(known: Mapping[str, str], files: Mapping[str, str]) -> None:
    for name, sha256 in known.items():
        if name not in files:
            raise MigrationChanged(f"Migration {name} was applied and its file is gone: restore the file.")
        if _digest(files[name]) != sha256:
            raise MigrationChanged(f"Migration {name} was applied and then edited: restore it and write a new one.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
