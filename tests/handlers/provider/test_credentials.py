"""What a pod fetches at start, from where, and what it does without it."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest

from handlers.catalog.loading import load_catalog
from handlers.clouds import KeptSecrets, SecretError
from handlers.clouds.local import LocalSecretStore
from handlers.keys.sealing import generate_keypair
from handlers.provider.credentials import Credentials, NoCredential, load_credentials
from handlers.settings import Deployment, SettingError, Variable
from handlers.telemetry.logs import Log
from handlers.translation.canonical.attempt import UpstreamRequest
from handlers.transport.wire import WireRequest, WireTerms
from tests.handlers.provider.pod_driver import PATIENT

LOCAL = Deployment.parse({})
IN_A_CLOUD = Deployment.parse({Variable.CLOUD: "aws", Variable.ENVIRONMENT: "local"})
SENT = UpstreamRequest("POST", "/chat/completions", (), b"{}", streams=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, "origin.json", b'{"region":"global","environment":"local"}')
    put(tmp_path, "wire/openai", b"w" * 32)
    return tmp_path


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)


def load(folder: Path, slug: str = "openai", deployment: Deployment = LOCAL, **environment: str) -> Credentials:
    provider = load_catalog("global", enabled=frozenset({slug})).providers[slug]
    store = KeptSecrets(LocalSecretStore(folder, region="global", environment="local"))
    return load_credentials(provider, provider.base_url, deployment, store, Log(), environment)


def request(credential: str = "shared") -> WireRequest:
    terms = WireTerms("openai_chat", "chat", "e", "m", stream=False, deadlines=PATIENT, credential=credential)
    return WireRequest(terms, request_id="r", token="", account="a")


def signed(credentials: Credentials) -> dict[str, str]:
    return dict(credentials.signer_for(request())(SENT, 0.0))


def test_the_shared_credential_comes_from_the_store(folder: Path) -> None:
    put(folder, "provider/openai", b"from-the-store")
    assert signed(load(folder)) == {"authorization": "Bearer from-the-store"}


@pytest.mark.claim("C20")
def test_on_one_machine_the_environment_of_the_process_comes_first(folder: Path) -> None:
    put(folder, "provider/openai", b"from-the-store")
    assert signed(load(folder, OPENAI_API_KEY=" from-the-environment ")) == {
        "authorization": "Bearer from-the-environment"
    }


@pytest.mark.claim("C20")
def test_in_a_cloud_the_environment_is_not_read(folder: Path) -> None:
    put(folder, "provider/openai", b"from-the-store")
    credentials = load(folder, deployment=IN_A_CLOUD, OPENAI_API_KEY="from-the-environment")
    assert signed(credentials) == {"authorization": "Bearer from-the-store"}


def test_another_providers_variable_is_not_read(folder: Path) -> None:
    with pytest.raises(NoCredential):
        load(folder, ANTHROPIC_API_KEY="another").signer_for(request())


def test_without_a_credential_only_customers_keys_are_served(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoCredential):
        load(folder).signer_for(request())
    assert '"event":"dependency_lost","level":"warning","dependency":"secrets","name":"provider/openai"' in (
        capfd.readouterr().err
    )


def test_a_provider_of_this_machine_needs_no_credential(folder: Path) -> None:
    put(folder, "wire/local", b"w" * 32)
    assert signed(load(folder, "local")) == {}


@pytest.mark.parametrize("bad", [b"two words", b"with\nbreak", b"\xff\xfe"])
def test_a_malformed_credential_stops_the_start_without_being_shown(folder: Path, bad: bytes) -> None:
    put(folder, "provider/openai", bad)
    with pytest.raises(SettingError, match="provider/openai") as refusal:
        load(folder)
    assert bad.decode("utf-8", "replace") not in str(refusal.value)


def test_a_store_without_the_wire_key_stops_the_start(folder: Path) -> None:
    (folder / "wire/openai").unlink()
    with pytest.raises(SecretError, match="wire/openai"):
        load(folder)


def test_sealing_keys_are_read_by_version(folder: Path) -> None:
    private, _ = generate_keypair()
    text = base64.urlsafe_b64encode(private).decode().rstrip("=")
    put(folder, "seal/openai", msgspec.json.encode({"2": text}))
    assert load(folder).sealing_keys == {2: private}
    put(folder, "seal/openai", b'{"2":"short"}')
    with pytest.raises(SettingError, match="seal/openai"):
        load(folder)


def test_credentials_do_not_print_themselves(folder: Path) -> None:
    put(folder, "provider/openai", b"from-the-store")
    credentials = load(folder)
    assert "wwww" not in repr(credentials)
    assert "from-the-store" not in repr(credentials)
