"""A gateway and an admin room that are given everything they hold, and try; then the same with what rotation holds (C15, C16)."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from handlers.catalog.loading import load_catalog
from handlers.keys.opening import open_sealed, parse_private_keys
from handlers.keys.sealing import SealBroken, SealContext, read_header
from handlers.local.access import LOCAL_TENANT
from handlers.local.aws import read_secret
from handlers.local.processes import Child
from handlers.local.system import DATABASE
from handlers.store.connection import open_connection
from handlers.workloads import gateway, workloads
from tests.acceptance.cast import CAST
from tests.acceptance.test_byok import Customer, upstream
from tests.system import RunningSystem, running_system
from tests.waiting import until

OWN = f"own-provider-key-{secrets.token_hex(8)}"
_TEXT = re.compile(rb"[A-Za-z0-9_+/=-]{16,}")


def held_by(system: RunningSystem, room: str) -> bytes:
    """Every secret in the row of a workload, its variables, and what its memory holds now."""
    catalog = load_catalog(CAST.region, enabled=frozenset({CAST.first}))
    rows = (gateway(catalog.providers.values()), *workloads(CAST.region, catalog.providers))
    (names,) = {row.secrets for row in rows if row.name == room}
    folder = system.local.home.secrets
    held = [read_secret(folder, name) for name in names if (folder / name).exists()]
    assert held
    child = {"gateway": system.local.gateway, "admin": _admin(system)}.get(room)
    if child is not None:
        held += [value.encode() for value in child._environment.values()]
    return b"\n".join(held)


def keys_in(held: bytes) -> Iterator[bytes]:
    """Whatever 32 bytes can be made of it: as they stand, decoded, and hashed."""
    for text in _TEXT.findall(held):
        stripped = text.rstrip(b"=")
        for form in (stripped, stripped.replace(b"+", b"-").replace(b"/", b"_")):
            try:
                yield base64.urlsafe_b64decode(form + b"=" * (-len(form) % 4))
            except ValueError:
                continue
        yield text
        yield hashlib.sha256(text).digest()


def memory_of(pid: int) -> bytes:
    """All that a process has written to its memory."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if not rights.startswith("rw") or "[v" in line:
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                found.append(memory.read(end - start))
            except OSError:
                continue
    return b"".join(found)


@pytest.mark.claim("C15", "C16")
def test_neither_gateway_nor_admin_nor_rotation_opens_a_provider_key_with_all_that_they_hold() -> None:
    with (
        upstream() as (address, seen),
        running_system({CAST.first: address}) as system,
        closing(Customer(system, seen)) as customer,
    ):
        record = customer.manage("POST", "/byok", {"provider": CAST.first, "key": OWN})["record_id"]
        until(lambda: customer.credential() == OWN)
        with closing(open_connection(system.local.postgres.superuser(DATABASE), timeout_s=10)) as connection:
            ((sealed,),) = connection.run("select sealed from therouter.byok_key") or []
        place = SealContext(CAST.region, "local", CAST.first, str(LOCAL_TENANT), record)
        own = parse_private_keys(read_secret(system.local.home.secrets, f"seal/{CAST.first}"))
        assert open_sealed(own, sealed, place) == OWN.encode(), "the pod's key opens it, so this test can fail"
        version = read_header(sealed).version
        tried = 0
        for room in ("gateway", "admin", "renewal"):
            held = held_by(system, room)
            assert OWN.encode() not in held
            for key in {key[:32] for key in itertools.chain(keys_in(held), keys_in(sealed.encode())) if len(key) >= 32}:
                tried += 1
                with pytest.raises(SealBroken):
                    open_sealed({version: key}, sealed, place)
        assert tried > 20

        # The gateway has carried the text to be tried and to be used: what was opened never came back to it.
        if os.geteuid() != 0:
            with pytest.raises(
                PermissionError
            ):  # who is not root reads nobody's memory: a gateway refuses to be dumped
                memory_of(system.local.gateway.pid)
            return
        memory = memory_of(system.local.gateway.pid)
        assert sealed.encode() in memory, "the gateway's memory was read, so this test can fail"
        assert OWN.encode() not in memory
        private = read_secret(system.local.home.secrets, f"seal/{CAST.first}")
        assert not any(key in memory or key in memory_of(_admin(system).pid) for key in own.values())
        assert private not in memory


def _admin(system: RunningSystem) -> Child:
    assert system.local.admin is not None
    return system.local.admin.server
