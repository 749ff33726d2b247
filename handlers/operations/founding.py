"""The first tenant of a deployment: `python -m handlers.operations.founding --name ACME --email owner@example.com`.

For the operator who has just migrated a database, with the variables of a function (THEROUTER_REGION, _CLOUD, _ENVIRONMENT,
_DATABASE_HOST, _DATABASE_CA) and the founder's password on standard input. No function runs this, and no identity of ours holds
that password: it is set for the occasion and taken away afterwards (`alter role founder password null`).

The first tenant becomes the operators' own. Its management key is printed once; every other tenant, user and key comes from the
admin API, which finds the tenant from whoever asks.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Mapping, Sequence

from handlers.clouds import open_secret_store
from handlers.clouds.secrets import SecretError
from handlers.errors import TheRouterError
from handlers.keys.grammar import MintKeys, generate_key
from handlers.keys.hashing import hash_secret
from handlers.settings import DatabaseSettings, Deployment, SettingError, Variable
from handlers.store.admin import AdminStore
from handlers.store.dsn import dsn_of
from handlers.store.pool import Pool

ROLE = "founder"


def found(environment: Mapping[str, str], password: str, name: str, email: str) -> str:
    """Make tenant, owner and management key; returns the key.

    Raises:
        SettingError, SecretError: where the database or the mint key is was not said, or is wrong.
        TheRouterError: the database does not answer, or refuses.
    """
    deployment = Deployment.parse(environment)
    settings = DatabaseSettings.parse({**environment, Variable.DATABASE_ROLE: ROLE}, deployment)
    mint_keys = MintKeys.parse(open_secret_store(deployment, environment).get("keys/mint").reveal())
    pool = Pool(dsn_of(settings, password, local=deployment.cloud == "local"), connections_max=1)
    tenant, owner = str(uuid.uuid4()), str(uuid.uuid4())
    made = generate_key(deployment.region, deployment.environment, mint_keys)
    try:
        store = AdminStore(pool)
        store.create_tenant(tenant, name)
        store.create_user(owner, tenant, email, "owner")
        store.create_first_management_key(made.key_id, tenant, owner, "first", hash_secret(made.secret))
    finally:
        pool.close()
    return made.token


def main(arguments: Sequence[str] | None = None) -> int:
    """0: founded. 1: refused, with the reason."""
    parser = argparse.ArgumentParser(prog="founding", description="Make the first tenant of a deployment.")
    parser.add_argument("--name", required=True, help="what the tenant is called")
    parser.add_argument("--email", required=True, help="the owner's address, as the identity provider knows it")
    options = parser.parse_args(arguments)
    try:
        token = found(os.environ, sys.stdin.readline().rstrip("\n"), options.name, options.email)
    except (SettingError, SecretError) as error:
        sys.stderr.write(f"founding: {error}\n")
    except TheRouterError as error:
        sys.stderr.write(f"founding: {error.message}\n")
    else:
        sys.stdout.write(f"{token}\n\nThis management key is shown once and stored only as a hash.\n")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
