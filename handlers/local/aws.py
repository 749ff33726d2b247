"""The AWS stand-in of one machine, and the secret files behind it.

Rules
    The files are the truth: moto forgets everything when it ends, so it is filled from them whenever it starts.
    A file that exists is never overwritten; one that is empty, weak or a well-known default stops the start (A95).
    The stand-in listens on 127.0.0.1 alone. Its process ends with its parent.

    <folder>/origin.json              region and environment: a process of another one refuses the folder
    <folder>/<kind>/<subject>         one secret, mode 0600; the kinds are those of handlers.workloads
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from handlers.clouds.aws import LABELS
from handlers.clouds.local import ORIGIN_FILE, LocalSecretStore, file_of, read_private
from handlers.clouds.secrets import Origin, SecretError, SecretMissing, Stage, check_name, foreign_secrets, store_name
from handlers.keys.first import first_version, public_halves
from handlers.keys.grammar import MintKeys
from handlers.keys.opening import parse_private_keys
from handlers.keys.sealing import parse_public_keys
from handlers.local.postgres import free_port
from handlers.local.processes import Child, plain_environment
from handlers.store.migrate import LOGINS

REGION = "us-east-2"
SECRET_CHARS_MIN = 32
DISTINCT_MIN = 10
_DEFAULTS = re.compile(r"change[-_ ]?me|placeholder|example|default|password|your[-_ ]|(.)\1{7}", re.IGNORECASE)


def read_secret(folder: Path, name: str) -> bytes:
    """One secret's bytes; SecretError when its file is missing, empty or readable by others."""
    return read_private(folder / check_name(name), name)


def ensure_secrets(folder: Path, region: str, environment: str, providers: Iterable[str]) -> dict[str, str]:
    """Make what is missing, check what is there; returns all secrets by short name.

    Raises SecretError for a folder of another region or environment, and for a weak secret.
    """
    slugs = sorted(providers)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    _claim(folder, Origin(region, environment))
    for name, make in _wanted(slugs, region).items():
        if not (folder / name).exists():
            _write(folder / name, make())
    _refuse_foreign(folder, region)
    _publish_sealing_keys(folder)
    return _checked(folder)


def _refuse_foreign(folder: Path, region: str) -> None:
    for name in sorted(foreign_secrets(region)):
        if (folder / name).exists():
            raise SecretError(f"{folder} holds {name}, which is the other region's: remove it (region_restricted)")


def _claim(folder: Path, origin: Origin) -> None:
    if not (folder / ORIGIN_FILE).exists():
        _write(folder / ORIGIN_FILE, msgspec.json.encode(origin))
    LocalSecretStore(folder, region=origin.region, environment=origin.environment)


def _wanted(slugs: list[str], region: str) -> dict[str, Callable[[], bytes]]:
    names = ["keys/mint", "audit/checkpoint", "audit/digest", "restore/epoch", *(f"database/{role}" for role in LOGINS)]
    names += [f"{kind}/{slug}" for kind in ("wire", "seal") for slug in slugs]
    wanted: dict[str, Callable[[], bytes]] = {name: partial(first_version, name) for name in names}
    if region == "global":
        wanted["payments/stripe"] = _make_stripe_keys
    return wanted


def _make_stripe_keys() -> bytes:
    """For the stand-in of the payment company; a real account's keys are put into the file in their place."""
    return msgspec.json.encode(
        {"secret_key": f"sk_test_{secrets.token_hex(24)}", "webhook_secret": f"whsec_{secrets.token_hex(24)}"}
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _publish_sealing_keys(folder: Path) -> None:
    """`seal/public` follows from the private keys, so it is the one file that is written anew."""
    private = {}
    (folder / "seal").mkdir(mode=0o700, exist_ok=True)
    for path in sorted((folder / "seal").iterdir()):
        if path.name != "public" and not path.name.startswith("."):
            private[path.name] = read_private(path, f"seal/{path.name}")
            _refuse_weak(f"seal/{path.name}", private[path.name])
    content = public_halves(private)
    target = folder / "seal" / "public"
    if target.exists() and read_private(target, "seal/public") == content:
        return
    fresh = target.with_name(f".public.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    _write(fresh, content)
    fresh.replace(target)


def _checked(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*/*")):
        name = f"{path.parent.name}/{path.name}"
        if "." in path.name:  # beside a secret: its other stages, the key of the company that a stand-in plays
            continue
        value = read_secret(folder, name)
        _refuse_weak(name, value)
        found[name] = value.decode()
    return found


_PARSERS: Mapping[str, Callable[[bytes], object]] = {
    "keys/mint": MintKeys.parse,
    "seal/public": parse_public_keys,
    "seal": parse_private_keys,
}


def _refuse_weak(name: str, value: bytes) -> None:
    kind = name.partition("/")[0]
    parse = _PARSERS.get(name) or _PARSERS.get(kind)
    if parse is not None:
        try:
            parse(value)
        except ValueError as problem:
            raise SecretError(f"the secret {name} is unusable: {problem}") from None
        return
    if kind in {"provider", "payments", "restore"} or (kind == "database" and value.startswith(b"{")):
        return  # their own rooms know their forms, and rotation makes logins; read_secret has refused empty ones
    text = value.decode(errors="replace")
    if len(text) < SECRET_CHARS_MIN or len(set(text)) < DISTINCT_MIN or _DEFAULTS.search(text):
        raise SecretError(f"the secret {name} is weak: delete its file, and a random one is made")


class AwsStandIn:
    """moto in its own process, filled with the secrets of a folder."""

    def __init__(self, folder: Path, *, log: Path) -> None:
        self._folder = folder
        self._log = log
        self._child: Child | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it holds the secrets; raises ProcessFailed when it does not."""
        self.port = free_port()
        command = [sys.executable, "-m", "handlers.local.aws", str(self._folder), str(self.port)]
        self._child = Child("AWS stand-in", command, plain_environment({}), self._log)
        self._child.start()
        self._child.await_ready(self.is_healthy)

    def is_healthy(self) -> bool:
        """Whether it accepts connections; it listens only once the secrets are in."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def variables(self) -> dict[str, str]:
        """What a process needs to find it: an endpoint, and an identity that is worth nothing elsewhere."""
        return {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
            "AWS_REGION": REGION,
        }

    def renew(self) -> None:
        """Make it hold what the files hold, in every stage."""
        import boto3  # noqa: PLC0415 - imported when a secret has changed, and not before

        client = boto3.client(
            "secretsmanager",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - worth nothing elsewhere
        )
        origin = msgspec.json.decode((self._folder / ORIGIN_FILE).read_bytes(), type=Origin)
        for name in _checked(self._folder):
            for stage in Stage:  # the one in use first: putting it moves the label of the one before
                _mirror(client, store_name(origin.environment, name), LABELS[stage], _find(self._folder, name, stage))

    def stop(self) -> None:
        """Stop it; the files stay."""
        if self._child is not None:
            self._child.stop()


def _find(folder: Path, name: str, stage: Stage) -> str | None:
    try:
        return read_private(file_of(folder, name, stage), name).decode()
    except SecretMissing:
        return None


def _mirror(client: Any, secret: str, label: str, wanted: str | None) -> None:
    try:
        held = client.get_secret_value(SecretId=secret, VersionStage=label)
    except client.exceptions.ResourceNotFoundException:
        held = {}
    if wanted is not None and held.get("SecretString") != wanted:
        client.put_secret_value(SecretId=secret, SecretString=wanted, VersionStages=[label])
    elif wanted is None and held:
        client.update_secret_version_stage(SecretId=secret, VersionStage=label, RemoveFromVersionId=held["VersionId"])


def load_into_moto(folder: Path) -> int:
    """Put every secret file into this process's Secrets Manager; returns how many."""
    from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415 - moto is imported by its own process alone
    from moto.secretsmanager.models import secretsmanager_backends  # noqa: PLC0415

    origin = msgspec.json.decode((folder / ORIGIN_FILE).read_bytes(), type=Origin)
    backend = secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION]
    found = _checked(folder)
    for name, value in found.items():
        backend.create_secret(
            name=store_name(origin.environment, name),
            secret_string=value,
            secret_binary=None,
            description=None,
            tags=[],
            kms_key_id=None,
            client_request_token=secrets.token_hex(16),
            replica_regions=[],
            force_overwrite=False,
        )
        for stage in (Stage.PREVIOUS, Stage.PENDING):
            other = _find(folder, name, stage)
            if other is not None:
                backend.put_secret_value(
                    store_name(origin.environment, name), other, "", secrets.token_hex(16), [LABELS[stage]]
                )
    return len(found)


def serve(folder: Path, port: int) -> None:
    """Run the stand-in until SIGTERM."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import run_simple  # noqa: PLC0415

    started = time.monotonic()
    count = load_into_moto(folder)
    application = DomainDispatcherApplication(create_backend_app)
    print(f"{count} secrets held after {time.monotonic() - started:.2f} s")
    run_simple("127.0.0.1", port, application, threaded=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
