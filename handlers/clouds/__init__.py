"""Secrets and identity, in the cloud this process runs in: aws, aliyun, or this machine.

secrets.py      what a secret is; the port `SecretStore`; the store that remembers
local.py 0600 files, aws.py Secrets Manager, aliyun.py KMS secrets
keeping.py      new versions of secrets, for who rotates them: local_keeping.py, aws_keeping.py, aliyun_keeping.py
renewal.py      what a process made from secrets follows them;  epoch.py: the one that says that the database was put back
aliyun_api.py   signed calls and identity in Hangzhou (acs3.py signs, http.py sends)
archive.py      copies that nobody can change or remove for years (oss.py: in Hangzhou)
mail.py         notices to people: SES, DirectMail, or files
alb.py, resolver.py                        how a function reads the load balancer's event, and finds who answers it
function_compute.py, function_server.py    Function Compute in front of the handlers that Lambda calls
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from handlers.clouds.secrets import KeptSecrets, Secret, SecretError, SecretStore, foreign_secrets
from handlers.settings import Deployment

__all__ = ["KeptSecrets", "Secret", "SecretError", "SecretStore", "open_secret_store"]


def open_secret_store(deployment: Deployment, variables: Mapping[str, str] = os.environ) -> KeptSecrets:
    """The store of this deployment. On one machine: its folder of files, or the AWS stand-in when it names no folder.

    Raises SecretError when the store belongs to another region or environment.
    """
    foreign = foreign_secrets(deployment.region)
    # Imported here: a process pays for its own cloud's client alone.
    if deployment.cloud == "aliyun":
        from handlers.clouds.aliyun import AliyunSecretStore  # noqa: PLC0415

        return KeptSecrets(AliyunSecretStore(deployment.environment, variables), foreign)
    if deployment.cloud == "local" and deployment.secrets:
        from handlers.clouds.local import LocalSecretStore  # noqa: PLC0415

        folder = Path(deployment.secrets)
        return KeptSecrets(
            LocalSecretStore(folder, region=deployment.region, environment=deployment.environment), foreign
        )
    from handlers.clouds.aws import AwsSecretStore  # noqa: PLC0415

    if deployment.cloud == "local" and "AWS_ENDPOINT_URL_SECRETS_MANAGER" not in variables:
        raise SecretError("on one machine, THEROUTER_SECRETS names the folder of secrets (therouter up makes it)")
    return KeptSecrets(AwsSecretStore(deployment.environment, variables), foreign)
