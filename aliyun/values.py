"""The values of secrets: from a folder of 0600 files into the containers that a deployment made.

Rules
    A container that holds a value keeps it; only a placeholder is replaced, unless the operator asks for new values. A version is
    named after its value's digest, so putting the same value twice is one version.
    Values come from files that nobody else may read and go to the key store alone: never to a template, an output or a line.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from aliyun.client import CloudError, Kms
from aliyun.deploy import DeployError
from aliyun.settings import ROUTER_REGION, Settings
from handlers.workloads import secrets, store_name

PLACEHOLDER_VALUE = "placeholder: the operator puts the value"
"""What new secrets hold; longer than nothing, and no room accepts it."""
VALUE_BYTES_MAX = 30_720
"""What the key store takes."""
SAME_VERSION = "Rejected.ResourceExist"


def put_values(
    kms: Kms, settings: Settings, folder: Path, *, show: Callable[[str], None], anew: bool = False
) -> tuple[str, ...]:
    """Put what the folder holds; the short names of secrets without a value and without a file.

    Raises:
        DeployError: a file may be read by others, is empty or too large.
        CloudError: the key store refused.
    """
    missing = []
    for name in secrets(ROUTER_REGION, settings.providers):
        full = store_name(settings.stage, name)
        filled = kms.call("GetSecretValue", {"SecretName": full}).get("SecretData") != PLACEHOLDER_VALUE
        path = folder / name
        if filled and not (anew and path.exists()):
            show(f"{name}: has a value")
        elif not path.exists():
            missing.append(name)
        else:
            _put(kms, full, read_value(path))
            show(f"{name}: put")
    return tuple(missing)


def _put(kms: Kms, full: str, value: str) -> None:
    version = hashlib.sha256(value.encode()).hexdigest()[:32]
    form = {"SecretName": full, "SecretData": value, "SecretDataType": "text", "VersionId": version}
    try:
        kms.call("PutSecretValue", form)
    except CloudError as error:
        if error.code != SAME_VERSION:
            raise


def read_value(path: Path) -> str:
    """The text of a file that is the operator's alone, without a final line break; DeployError when it is not."""
    try:
        with open(path, "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            value = file.read(VALUE_BYTES_MAX + 1).removesuffix(b"\n")
    except OSError as error:
        raise DeployError(f"{path} cannot be read: it must be a plain file of yours") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077 or status.st_uid != os.geteuid():
        raise DeployError(f"{path} may be read by others: chmod 600 it, and own it")
    if not 0 < len(value) <= VALUE_BYTES_MAX:
        raise DeployError(f"{path} is empty or larger than {VALUE_BYTES_MAX} bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DeployError(f"{path} is not UTF-8 text") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
