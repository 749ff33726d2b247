"""`therouter bootstrap aliyun`: the same steps as on AWS, through KMS and Function Compute.

    therouter bootstrap aliyun --stage production --values DIR --owner founder@example.cn --key-file FILE

`DIR/database/owner` is the master's password, the one that the deployment was given as THEROUTER_DATABASE_OWNER_PASSWORD.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from handlers.clouds.aliyun import PLACEHOLDER_PREFIX
from handlers.clouds.secrets import SecretError, store_name
from handlers.operations.beginning import Founder
from handlers.operations.bootstrap import BootstrapRefused, checked, parser, run
from handlers.operations.hangzhou.api import ApiRefused, Nothing, ask
from handlers.operations.hangzhou.functions import FunctionFailed, invoke
from handlers.operations.hangzhou.rotation import listed_names
from handlers.operations.migrate import Migrated


class _Value(msgspec.Struct, frozen=True):
    data: str = msgspec.field(name="SecretData")


class KmsContainers:
    """The secrets of one stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def names(self) -> tuple[str, ...]:
        """Short names of all secrets under the stage's prefix, sorted."""
        prefix = f"therouter/{self._stage}/"
        names = sorted(name.removeprefix(prefix) for name in listed_names(prefix))
        if not names:
            raise BootstrapRefused(f"there is no secret below {prefix}: deploy the stacks first")
        return tuple(names)

    def read(self, name: str) -> bytes | None:
        """The current value, or None for the placeholder."""
        value = ask("kms", "GetSecretValue", _Value, {"SecretName": store_name(self._stage, name)}).data.encode()
        return None if value.startswith(PLACEHOLDER_PREFIX) else value

    def put(self, name: str, value: bytes) -> None:
        """Put a version; KMS makes it the current one. The first is called so, and a second of that name is refused."""
        known = name == "seal/public" and self.read(name) is not None
        form = {
            "SecretName": store_name(self._stage, name),
            "SecretData": value.decode(),
            "SecretDataType": "text",
            "VersionId": f"extended-{os.urandom(8).hex()}" if known else "first",
        }
        ask("kms", "PutSecretValue", Nothing, form)


class AliyunCloud:
    """One stage in this account."""

    region = "china"

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self.containers = KmsContainers(stage)

    def migrate(self, founder: Founder | None) -> Migrated:
        """Invoke the function and wait for its answer."""
        try:
            answer = invoke(f"therouter-{self._stage}-migrate", msgspec.json.encode({"founder": founder}))
        except FunctionFailed:
            raise BootstrapRefused(
                "the migrate function failed: its last log line says at what; then run this again"
            ) from None
        return msgspec.json.decode(answer, type=Migrated)


def main(argv: Sequence[str] | None = None) -> int:
    """`therouter bootstrap aliyun`. 0: done; 1: secrets from outside are missing; 2: refused."""
    options = checked(parser("therouter bootstrap aliyun"), argv)
    try:
        return run(AliyunCloud(options.stage), options)
    except (ApiRefused, SecretError) as refused:
        sys.stderr.write(f"refused: {refused}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
