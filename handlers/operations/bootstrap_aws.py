"""The AWS side of `therouter bootstrap`: Secrets Manager's containers, and the migrate function of the Jobs stack."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from handlers.clouds.aws import is_placeholder
from handlers.clouds.secrets import store_name
from handlers.operations.alarms import REGION
from handlers.operations.beginning import Founder
from handlers.operations.bootstrap import BootstrapRefused, checked, parser, run
from handlers.operations.evidence.account import Account, Missing
from handlers.operations.migrate import Migrated

MIGRATE_S_MAX = 900
CURRENT, FIRST = "AWSCURRENT", "THEROUTERFIRST"


class AwsContainers:
    """The secrets of one stage."""

    def __init__(self, stage: str, client: Any) -> None:
        self._stage, self._client = stage, client
        self._versions: dict[str, str] = {}
        """Short name -> the version that `read` saw."""

    def names(self) -> tuple[str, ...]:
        """Short names of all secrets under the stage's prefix, sorted."""
        prefix = f"therouter/{self._stage}/"
        pages = self._client.get_paginator("list_secrets").paginate(Filters=[{"Key": "name", "Values": [prefix]}])
        rows = [row["Name"] for page in pages for row in page["SecretList"]]
        names = sorted(name.removeprefix(prefix) for name in rows if name.startswith(prefix))
        if not names:
            raise BootstrapRefused(f"there is no secret below {prefix}: deploy the stacks first")
        return tuple(names)

    def read(self, name: str) -> bytes | None:
        """The current value, or None for the placeholder."""
        answer = self._client.get_secret_value(SecretId=store_name(self._stage, name), VersionStage=CURRENT)
        self._versions[name] = answer["VersionId"]
        value: bytes = answer["SecretString"].encode() if "SecretString" in answer else answer["SecretBinary"]
        return None if is_placeholder(value) else value

    def put(self, name: str, value: bytes) -> None:
        """Put a version and make it the current one, if the version that was read still is: two who run at once cannot both win."""
        full = store_name(self._stage, name)
        made = self._client.put_secret_value(SecretId=full, SecretString=value.decode(), VersionStages=[FIRST])
        try:
            self._client.update_secret_version_stage(
                SecretId=full,
                VersionStage=CURRENT,
                MoveToVersionId=made["VersionId"],
                RemoveFromVersionId=self._versions[name],
            )
        except ClientError:
            raise BootstrapRefused(
                f"{name} was given a value by somebody else meanwhile: run the command again"
            ) from None


class AwsCloud:
    """One stage in this account."""

    region = "global"

    def __init__(self, stage: str) -> None:
        self._account = Account(stage)
        self.containers = AwsContainers(stage, boto3.client("secretsmanager", region_name=REGION))

    def migrate(self, founder: Founder | None) -> Migrated:
        """Invoke the function and wait for its answer."""
        function = self._account.one("Jobs", "AWS::Lambda::Function", "Functionmigrate")
        name = self._account.one("Database", "AWS::RDS::DBInstance")
        (database,) = self._account.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        event = {"master_secret": database["MasterUserSecret"]["SecretArn"], "founder": founder}
        waiting = Config(read_timeout=MIGRATE_S_MAX, retries={"total_max_attempts": 1})
        answer = boto3.client("lambda", region_name=REGION, config=waiting).invoke(
            FunctionName=function, Payload=msgspec.json.encode(event)
        )
        if answer.get("FunctionError"):
            raise BootstrapRefused("the migrate function failed: its last log line says at what; then run this again")
        return msgspec.json.decode(answer["Payload"].read(), type=Migrated)


def main(argv: Sequence[str] | None = None) -> int:
    """`therouter bootstrap aws`. 0: done; 1: secrets from outside are missing; 2: refused."""
    options = checked(parser("therouter bootstrap aws"), argv)
    try:
        return run(AwsCloud(options.stage), options)
    except Missing as missing:
        sys.stderr.write(f"refused: {missing}: deploy all stacks first\n")
    except ClientError as refused:
        sys.stderr.write(f"refused: AWS says {refused.response['Error']['Code']} to {refused.operation_name}\n")
    except BotoCoreError as failed:
        sys.stderr.write(f"no AWS account can be reached ({type(failed).__name__}): sign in first\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
