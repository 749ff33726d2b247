from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from handlers.clouds.aws import REGION, SERVICE, AwsSecretStore, Identity, find_identity, sign
from handlers.clouds.secrets import SecretError
from handlers.local.aws import AwsStandIn, ensure_secrets

MOMENT = datetime(2026, 11, 23, 5, 59, 1, tzinfo=UTC)


@given(
    st.binary(max_size=300),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=20),
    st.text(min_size=1, max_size=60).filter(str.isascii).filter(str.isprintable),
    st.booleans(),
)
def test_the_signature_is_the_sdks_own(body: bytes, key: str, secret: str, temporary: bool) -> None:
    token = "session-token" if temporary else ""
    headers = {"content-type": "application/x-amz-json-1.1", "host": "sm.example", "x-amz-target": "secretsmanager.X"}
    request = AWSRequest("POST", "https://sm.example/", headers=dict(headers), data=body)
    with patch("botocore.auth.get_current_datetime", return_value=MOMENT.replace(tzinfo=None)):
        SigV4Auth(Credentials(key, secret, token or None), SERVICE, REGION).add_auth(request)
    ours = sign(headers, body, Identity(key, secret, token), MOMENT)
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsStandIn]:
    folder = tmp_path_factory.mktemp("secrets")
    ensure_secrets(folder, "global", "local", ["openai"])
    stand_in = AwsStandIn(folder, log=folder.parent / "aws.log")
    stand_in.start()
    yield stand_in
    stand_in.stop()


def sdk(stand_in: AwsStandIn) -> Any:
    return boto3.client(
        "secretsmanager",
        region_name=REGION,
        endpoint_url=stand_in.url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


@pytest.mark.claim("C16")
def test_what_the_sdk_puts_is_what_we_get(stand_in: AwsStandIn) -> None:
    store = AwsSecretStore("local", stand_in.variables())
    client = sdk(stand_in)
    client.create_secret(Name="therouter/local/provider/openai", SecretString="first")
    assert store.get("provider/openai").text() == "first"
    client.put_secret_value(SecretId="therouter/local/provider/openai", SecretString="rotated")
    assert store.get("provider/openai").text() == "rotated"
    client.create_secret(Name="therouter/local/provider/binary", SecretBinary=b"\x00\xff")
    assert store.get("provider/binary").reveal() == b"\x00\xff"


@pytest.mark.claim("C63")
def test_a_secret_of_another_environment_is_not_there(stand_in: AwsStandIn) -> None:
    with pytest.raises(SecretError, match="keys/mint"):
        AwsSecretStore("production", stand_in.variables()).get("keys/mint")


def test_a_store_that_is_down_says_so() -> None:
    variables = {
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
    }
    with pytest.raises(SecretError, match="does not answer"):
        AwsSecretStore("local", variables).get("keys/mint")


def test_identity_comes_from_the_environment_first() -> None:
    found = find_identity({"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_SESSION_TOKEN": "token"})
    assert found == Identity("id", "canary", "token")
    assert "canary" not in repr(found)


def test_identity_comes_from_the_pods_own_endpoint(tmp_path: Path, httpserver_port: int) -> None:
    token = tmp_path / "token"
    token.write_text("pod-token\n")
    found = find_identity(
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{httpserver_port}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
    )
    assert found == Identity("pod-id", "pod-secret", "pod-token")


@pytest.mark.parametrize(
    "variables", [{}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://attacker.example/"}, {"AWS_ACCESS_KEY_ID": "x"}]
)
def test_without_an_identity_nothing_is_asked(variables: dict[str, str]) -> None:
    with pytest.raises(SecretError, match="no AWS identity"):
        find_identity(variables)


@pytest.fixture
def httpserver_port() -> Iterator[int]:
    """Plays EKS Pod Identity: gives an identity to whoever shows the pod's token."""
    import threading  # noqa: PLC0415
    from http.server import BaseHTTPRequestHandler, HTTPServer  # noqa: PLC0415

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["authorization"] == "pod-token" else 403)
            self.end_headers()
            if self.headers["authorization"] == "pod-token":
                self.wfile.write(b'{"AccessKeyId":"pod-id","SecretAccessKey":"pod-secret","Token":"pod-token"}')

        def log_message(self, *_arguments: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_needs_no_sdk() -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    program = "import sys, handlers.clouds.aws; sys.exit(int('boto3' in sys.modules or 'botocore' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False, env=dict(os.environ)).returncode == 0
