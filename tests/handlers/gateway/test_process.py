"""What a gateway needs to know before it serves."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import msgspec
import pytest

from handlers.clouds.epoch import EPOCH
from handlers.clouds.secrets import KeptSecrets, Secret, SecretError, Stage
from handlers.gateway.process import build, renew
from handlers.settings import GatewaySettings


class Store:
    """A secret store whose values tests change; None: it cannot be asked now."""

    def __init__(self) -> None:
        key = base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        self.values: dict[str, bytes | None] = {
            "keys/mint": msgspec.json.encode({"newest": "1", "keys": {"1": key}}),
            "wire/openai": os.urandom(32).hex().encode(),
            "database/gateway": b"made-up",
            EPOCH: b"0",
        }

    def get(self, name: str, stage: Stage = Stage.CURRENT) -> Secret:
        value = self.values[name]
        if stage is not Stage.CURRENT or value is None:
            raise SecretError("the store is busy")
        return Secret(value)


def settings_in(folder: Path) -> GatewaySettings:
    return GatewaySettings.parse({
        "THEROUTER_REGION": "global", "THEROUTER_CLOUD": "local", "THEROUTER_ENVIRONMENT": "local",
        "THEROUTER_DATABASE_HOST": str(folder), "THEROUTER_DATABASE_PORT": "5432", "THEROUTER_DATABASE_NAME": "d",
        "THEROUTER_DATABASE_ROLE": "gateway", "THEROUTER_LISTEN": "127.0.0.1:1", "THEROUTER_PROVIDERS": "openai",
        "THEROUTER_WIRE": f"unix:{folder}/{{provider}}.sock", "THEROUTER_SPOOL": str(folder),
    })  # fmt: skip


@pytest.mark.claim("C10")
def test_a_gateway_that_cannot_learn_whether_a_restore_was_announced_does_not_start(tmp_path: Path) -> None:
    store = Store()
    store.values[EPOCH] = None
    with pytest.raises(SecretError, match="busy"):
        build(settings_in(tmp_path), KeptSecrets(store))


@pytest.mark.claim("C10")
def test_a_restore_is_heeded_while_another_secret_is_malformed(tmp_path: Path) -> None:
    async def story() -> None:
        store, settings = Store(), settings_in(tmp_path)
        secrets = KeptSecrets(store)
        gateway, pool = build(settings, secrets)
        store.values |= {"keys/mint": b"no key", EPOCH: b"1"}
        with pytest.raises(ValueError, match="mint"):
            await renew(gateway, pool, settings, secrets)
        assert gateway.revocation.restoration.epoch_outside == 1
        pool.close()
        gateway._spool.close()

    asyncio.run(story())
