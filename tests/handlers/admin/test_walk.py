"""Every route, by every role, upon what is theirs and what is not, with every kind of malformed input.

The normal run takes a sample, the slow one 100,000 requests (THEROUTER_WALK).
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Iterator

import pytest

from handlers.admin.identity import Issuer
from handlers.admin.routing import ROUTES
from handlers.admin.scanning import Scanner
from handlers.keys import waiting
from handlers.keys.hashing import BcryptPool
from handlers.local import issuer as development
from tests.database import Database
from tests.handlers.admin.rooms import House, open_house
from tests.handlers.admin.scanners import IDENTIFIER, KEY, published_keys
from tests.handlers.admin.walks import Walk

SAMPLE = 1_200
PATIENCE_S = 120
"""A machine that is busy with other tests is no outage of this room."""


@pytest.fixture
def open_doors(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A house with every door: people may sign in, and a scanner may speak."""
    monkeypatch.setattr(waiting, "WAIT_S_MAX", PATIENCE_S)
    server, provider = development.make_issuer()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = Issuer(
        provider.address,
        "therouter",
        callback="http://127.0.0.1/admin/sign-in/callback",
        keys=(secrets.token_bytes(32),),
        groups={},
    )
    pool = BcryptPool(deadline_s=PATIENCE_S)
    with published_keys() as url, open_house(database, client, Scanner(url), bcrypt_pool=pool) as house:
        yield house
    server.shutdown()
    server.server_close()


@pytest.mark.claim("A10", "A11", "A14")
def test_a10_a_walk_over_all_routes_roles_tenants_and_malformed_inputs(open_doors: House) -> None:
    walk = Walk(open_doors, 11, (IDENTIFIER, KEY))
    for _ in range(SAMPLE):
        walk.step()
    assert set(walk.operations) == {route.operation for route in ROUTES}
    for status, least in {200: 50, 201: 1, 302: 2, 400: 50, 401: 5, 403: 100, 404: 50}.items():
        assert walk.statuses[status] >= least, walk.statuses
    assert walk.restored > 20


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.claim("A10", "A11", "A14")
def test_a10_the_long_walk(open_doors: House) -> None:
    requests, seed = int(os.environ.get("THEROUTER_WALK", "100000")), random.SystemRandom().randrange(2**32)
    walk = Walk(open_doors, seed, (IDENTIFIER, KEY))
    for _ in range(requests):
        walk.step()
    print(f"seed {seed}, {requests} requests: {dict(sorted(walk.statuses.items()))}, put back {walk.restored} times")
    print(dict(sorted(walk.operations.items())))
    assert walk.statuses.total() == requests
