"""Secrets in Hangzhou against a stand-in that checks signatures: identity, renewal, refusals, and the region's border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from handlers.clouds import KeptSecrets, aliyun_api, open_secret_store
from handlers.clouds.acs3 import Credentials
from handlers.clouds.aliyun import AliyunSecretStore
from handlers.clouds.aliyun_api import endpoint, provide_identity
from handlers.clouds.aws import AwsSecretStore
from handlers.clouds.secrets import SecretError
from handlers.settings import Deployment
from tests.handlers.clouds.acs3_check import refusal, signer
from tests.handlers.clouds.rpc_server import serving

NAME = "therouter/production/keys/mint"


@dataclass
class Hangzhou:
    """KMS and STS of one account: secrets, and the access keys that it knows."""

    secrets: dict[str, str] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Access key id -> (secret, security token)."""
    token: str = "pod-token"
    calls: list[str] = field(default_factory=list)
    down: bool = False
    given: int = 0
    endpoint: str = ""
    nonces: set[str] = field(default_factory=set)

    def answer(self, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        form = dict(parse_qsl(body.decode()))
        action = headers.get("x-acs-action") or form["Action"]
        self.calls.append(action)
        if self.down:
            return 503, {"Code": "ServiceUnavailable"}
        if action == "AssumeRoleWithOIDC":
            return self._assume(form)
        refused = self._refuse(headers, body)
        if refused:
            return 400, {"Code": refused}
        if form["SecretName"] not in self.secrets:
            return 404, {"Code": "Forbidden.ResourceNotFound"}
        return 200, {"SecretName": form["SecretName"], "SecretData": self.secrets[form["SecretName"]]}

    def _assume(self, form: dict[str, str]) -> tuple[int, Any]:
        if form["OIDCToken"] != self.token or not form["RoleArn"].endswith("therouter-gateway"):
            return 400, {"Code": "AuthenticationFail.OIDCToken.Invalid"}
        self.given += 1
        key, secret, token = f"STS.{self.given}", f"made-up-{self.given}", f"session-{self.given}"
        self.keys[key] = (secret, token)
        return 200, {"Credentials": {"AccessKeyId": key, "AccessKeySecret": secret, "SecurityToken": token}}

    def _refuse(self, headers: dict[str, str], body: bytes) -> str:
        if signer(headers) not in self.keys:
            return "InvalidSecurityToken.Expired"
        secret, token = self.keys[signer(headers)]
        if headers.get("x-acs-security-token", "") != token:
            return "InvalidSecurityToken.Malformed"
        return refusal(headers, body, secret, self.nonces)


@pytest.fixture
def hangzhou() -> Iterator[Hangzhou]:
    cloud = Hangzhou(secrets={NAME: "worth-keeping"}, keys={"LTAI-test": ("made-up", "")})
    with serving(cloud.answer) as cloud.endpoint:
        yield cloud


@pytest.fixture(autouse=True)
def _nothing_provided() -> Iterator[None]:
    yield
    aliyun_api._provided.clear()


def variables(hangzhou: Hangzhou, **more: str) -> dict[str, str]:
    return {
        "ALIBABA_CLOUD_KMS_ENDPOINT": hangzhou.endpoint,
        "ALIBABA_CLOUD_STS_ENDPOINT": hangzhou.endpoint,
        **more,
    }


def keys(hangzhou: Hangzhou) -> dict[str, str]:
    return variables(hangzhou, ALIBABA_CLOUD_ACCESS_KEY_ID="LTAI-test", ALIBABA_CLOUD_ACCESS_KEY_SECRET="made-up")


def rrsa(hangzhou: Hangzhou, folder: Path, token: str = "pod-token") -> dict[str, str]:
    file = folder / "token"
    file.write_text(f"{token}\n")
    return variables(
        hangzhou,
        ALIBABA_CLOUD_ROLE_ARN="acs:ram::1:role/therouter-gateway",
        ALIBABA_CLOUD_OIDC_PROVIDER_ARN="acs:ram::1:oidc-provider/ack-rrsa-c1",
        ALIBABA_CLOUD_OIDC_TOKEN_FILE=str(file),
    )


def test_a_secret_is_read_with_an_access_key(hangzhou: Hangzhou) -> None:
    assert AliyunSecretStore("production", keys(hangzhou)).get("keys/mint").text() == "worth-keeping"


def test_a_pod_exchanges_its_token_once(hangzhou: Hangzhou, tmp_path: Path) -> None:
    store = AliyunSecretStore("production", rrsa(hangzhou, tmp_path))
    assert store.get("keys/mint") == store.get("keys/mint")
    assert hangzhou.calls == ["AssumeRoleWithOIDC", "GetSecretValue", "GetSecretValue"]


def test_keys_that_have_run_out_are_renewed_without_anybody_noticing(hangzhou: Hangzhou, tmp_path: Path) -> None:
    store = AliyunSecretStore("production", rrsa(hangzhou, tmp_path))
    store.get("keys/mint")
    hangzhou.keys.clear()
    assert store.get("keys/mint").text() == "worth-keeping"
    assert hangzhou.given == 2


def test_function_compute_hands_over_an_identity(hangzhou: Hangzhou) -> None:
    hangzhou.keys["STS.fc"] = ("made-up-too", "fc-session")
    provide_identity(Credentials("STS.fc", "made-up-too", "fc-session"))
    assert AliyunSecretStore("production", variables(hangzhou)).get("keys/mint").text() == "worth-keeping"
    hangzhou.keys = {"STS.fc2": ("newer", "s2")}
    provide_identity(Credentials("STS.fc2", "newer", "s2"))
    assert AliyunSecretStore("production", variables(hangzhou)).get("keys/mint").text() == "worth-keeping"


@pytest.mark.parametrize("change", [{"token": "other"}, {"down": True}])
def test_a_refused_or_lost_exchange_is_a_secret_error(
    hangzhou: Hangzhou, tmp_path: Path, change: dict[str, object]
) -> None:
    for name, value in change.items():
        setattr(hangzhou, name, value)
    with pytest.raises(SecretError) as refused:
        AliyunSecretStore("production", rrsa(hangzhou, tmp_path)).get("keys/mint")
    assert "pod-token" not in str(refused.value)


def test_an_unreadable_token_file_is_named(hangzhou: Hangzhou, tmp_path: Path) -> None:
    given = rrsa(hangzhou, tmp_path) | {"ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(tmp_path / "none")}
    with pytest.raises(SecretError, match="ALIBABA_CLOUD_OIDC_TOKEN_FILE"):
        AliyunSecretStore("production", given).get("keys/mint")


def test_no_identity_is_explained(hangzhou: Hangzhou) -> None:
    with pytest.raises(SecretError, match="RRSA"):
        AliyunSecretStore("production", variables(hangzhou)).get("keys/mint")
    assert hangzhou.calls == []


@pytest.mark.parametrize("value", ["", "placeholder: the operator puts the value"])
def test_what_the_deployment_put_is_no_secret(hangzhou: Hangzhou, value: str) -> None:
    hangzhou.secrets[NAME] = value
    with pytest.raises(SecretError, match="keys/mint has no value"):
        AliyunSecretStore("production", keys(hangzhou)).get("keys/mint")


def test_a_missing_secret_is_named_and_no_value_shown(hangzhou: Hangzhou) -> None:
    with pytest.raises(SecretError, match=r"there is no secret wire/qwen in KMS") as refused:
        AliyunSecretStore("production", keys(hangzhou)).get("wire/qwen")
    assert "made-up" not in str(refused.value)


def test_another_environments_secret_cannot_be_named(hangzhou: Hangzhou) -> None:
    with pytest.raises(SecretError, match="short name"):
        AliyunSecretStore("production", keys(hangzhou)).get("../staging/keys/mint")
    assert hangzhou.calls == []


def test_the_last_good_value_survives_an_outage(hangzhou: Hangzhou) -> None:
    kept = KeptSecrets(AliyunSecretStore("production", keys(hangzhou)))
    kept.get("keys/mint")
    hangzhou.down = True
    assert kept.refresh() == ("keys/mint",)
    assert kept.get("keys/mint").text() == "worth-keeping"
    hangzhou.down, hangzhou.secrets[NAME] = False, "rotated"
    assert kept.refresh() == ()
    assert kept.get("keys/mint").text() == "rotated"


@pytest.mark.claim("C45", "C46")
@pytest.mark.parametrize(
    "address",
    [
        "https://kms.us-east-1.aliyuncs.com",
        "https://kms.cn-beijing.aliyuncs.com",
        "https://secretsmanager.us-east-2.amazonaws.com",
        "https://kms.cn-hangzhou.aliyuncs.com.attacker.example",
        "https://attacker.example/kms.cn-hangzhou.aliyuncs.com",
        "kms.cn-hangzhou.aliyuncs.com",
    ],
)
@pytest.mark.parametrize("variable", ["ALIBABA_CLOUD_KMS_ENDPOINT", "ALIBABA_CLOUD_STS_ENDPOINT"])
def test_c45_an_endpoint_outside_the_region_is_refused_at_start(variable: str, address: str) -> None:
    with pytest.raises(SecretError, match=f"{variable}.*region_restricted"):
        AliyunSecretStore("production", {variable: address})


@pytest.mark.parametrize(
    "address", ["https://kms.cn-hangzhou.aliyuncs.com/", "https://kst-x.cryptoservice.kms.cn-hangzhou.aliyuncs.com"]
)
def test_this_regions_endpoints_are_taken(address: str) -> None:
    assert endpoint({"X": address}, "X", "") == address.rstrip("/")


def test_the_china_deployment_opens_this_store(hangzhou: Hangzhou) -> None:
    deployment = Deployment.parse(
        {"THEROUTER_CLOUD": "aliyun", "THEROUTER_REGION": "china", "THEROUTER_ENVIRONMENT": "production"}
    )
    assert open_secret_store(deployment, keys(hangzhou)).get("keys/mint").text() == "worth-keeping"


@pytest.mark.claim("C45", "C46")
@pytest.mark.parametrize(
    "address",
    ["https://kms.cn-hangzhou.aliyuncs.com", "https://secretsmanager.eu-west-1.amazonaws.com", "https://x.example"],
)
def test_c45_the_global_region_refuses_this_one_just_so(address: str) -> None:
    with pytest.raises(SecretError, match="region_restricted"):
        AwsSecretStore("production", {"AWS_ENDPOINT_URL_SECRETS_MANAGER": address})
