"""`therouter verify aliyun` over an account in which the templates were deployed: all green, and each seeded violation turns
its own claim red and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aliyun import app
from aliyun.__main__ import EXAMPLE
from aliyun.settings import parse
from handlers.catalog.loading import load_catalog
from handlers.operations.evidence.document import HOLDS, UNSEEN, read_signed
from handlers.operations.hangzhou.api import VERSIONS
from handlers.operations.hangzhou.logs import text_to_sign
from handlers.operations.hangzhou.verify import ROWS, main, verify
from stacks.policy import PRODUCTION, promises
from tests.handlers.clouds.rpc_server import serving
from tests.handlers.operations.hangzhou.conftest import KEY_ID, KEY_SECRET
from tests.handlers.operations.hangzhou.deployed import ACCOUNT, Deployed

READING = ("Describe", "List", "Get")
PROVIDER, OTHER = "deepseek", "zhipu"


@pytest.fixture(scope="module")
def templates() -> dict[str, dict[str, Any]]:
    context = {**msgspec.toml.decode(EXAMPLE.read_bytes()), "providers": f"{PROVIDER},{OTHER}"}
    return app.templates(parse(context, load_catalog("china").providers))


@pytest.fixture
def deployed(templates: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    account = Deployed(templates)
    with serving(account.answer) as address:
        for product in (*VERSIONS, "sls"):
            monkeypatch.setenv(f"ALIBABA_CLOUD_{product.upper()}_ENDPOINT", address)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY_ID)
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", KEY_SECRET)
        yield account


def not_green() -> dict[str, tuple[str, tuple[str, ...]]]:
    return {f.claim: (f.state, f.seen) for f in verify("production", PRODUCTION) if f.state != HOLDS}


def test_every_claim_holds_in_the_deployed_account_and_every_call_reads(deployed: Deployed) -> None:
    assert not_green() == {}
    assert len(ROWS) >= 30
    assert {call for call in deployed.calls if not call.startswith(READING)} == set()


def test_every_claim_is_one_of_the_trust_pages() -> None:
    promised = {promise.claim for promise in promises().values()}
    assert {row.claim for row in ROWS} >= promised - {"operation", "C9", "C11", "C61"} - {"C34"}, (
        "what the policy promises is looked at"
    )


def test_the_command_prints_a_table_and_writes_signed_evidence(
    deployed: Deployed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, out = tmp_path / "key.pem", tmp_path / "evidence.json"
    assert main(["--key", str(key), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"account {ACCOUNT}, stage production\n")
    assert said.endswith(f"{len(ROWS)} of {len(ROWS)} hold\n")
    assert main(["--check", str(out)]) == 0
    assert read_signed(out.read_bytes()).account == ACCOUNT
    deployed.live["database/Database"]["BackupRetentionPeriod"] = 13
    assert main([]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_what_may_not_be_looked_at_is_not_green(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    deployed.refused = {"DescribeSecret", "GetTrigger"}
    seen = not_green()
    assert {claim for claim, (state, _) in seen.items() if state == UNSEEN} == {
        "C10", "C12", "C16", "C20", "C35", "C53", "C60", "C66", "C70", "C72",
    }  # fmt: skip
    assert "canary" not in str(seen)
    deployed.refused = {"ListRoles"}
    assert main([]) == 2
    assert "no account can be reached" in capsys.readouterr().err


def test_a_stage_that_is_not_deployed_is_not_green(deployed: Deployed) -> None:
    assert deployed.calls == []
    assert {f.state for f in verify("staging", PRODUCTION) if f.claim == "C58"} == {UNSEEN}


def test_an_answer_of_another_shape_is_not_green(deployed: Deployed) -> None:
    del deployed.live["database/Database"]["Category"]
    assert set(not_green()) == {"C47", "C66", "C68"}


Seed = Callable[[Deployed], object]


def put(name: str, **properties: Any) -> Seed:
    return lambda account: account.live[name].update(properties)


def trigger(name: str, **config: Any) -> Seed:
    return lambda account: account.live[name]["TriggerConfig"].update(config)


def event(name: str, old: str, new: str) -> Seed:
    def change(account: Deployed) -> None:
        config = account.live[name]["TriggerConfig"]
        text = msgspec.json.encode(config["payload"]).decode()
        escaped = old.replace('"', '\\"'), new.replace('"', '\\"')
        assert escaped[0] in text
        config["payload"] = msgspec.json.decode(text.replace(*escaped))

    return change


def attach(role: str, secret: str) -> Seed:
    arn = f"acs:kms:cn-hangzhou:{ACCOUNT}:secret/therouter/production/{secret}"
    document = {"Statement": [{"Effect": "Allow", "Action": ["kms:Get*"], "Resource": [arn]}]}
    policy = {"PolicyName": "by-hand", "PolicyDocument": document}
    return lambda account: account.attached.update({f"therouter-production-{role}": [policy]})


def share_a_key(account: Deployed) -> None:
    one, other = (account.live[f"secrets/Provider{slug.capitalize()}Secret"] for slug in (PROVIDER, OTHER))
    one["EncryptionKeyId"] = other["EncryptionKeyId"]


def trust_another_account(account: Deployed) -> None:
    statements = account.live["secrets/AdminRole"]["AssumeRolePolicyDocument"]["Statement"]
    statements.append({"Effect": "Allow", "Principal": {"RAM": ["acs:ram::2000000000000002:root"]}})


def edit_manifests(old: str, new: str) -> Seed:
    def change(account: Deployed) -> None:
        text = msgspec.json.encode(account.templates["workloads"]).decode()
        escaped = old.replace('"', '\\"'), new.replace('"', '\\"')
        assert escaped[0] in text
        account.templates = {**account.templates, "workloads": msgspec.json.decode(text.replace(*escaped))}

    return change


def pop(name: str) -> Seed:
    return lambda account: account.live.pop(name)


SEEDS: dict[str, tuple[str, Seed]] = {
    "a function's network at the database": (
        "C57",
        lambda a: a.live["database/Database"].update(
            SecurityIPList=a.live["database/Database"]["SecurityIPList"] + ",10.64.16.0/24"
        ),
    ),
    "a database for everybody": ("C57", put("database/Database", SecurityIPList="0.0.0.0/0")),
    "a public database": ("C58", lambda a: a.public_ways.append("pgm-1.pg.rds.example")),
    "a plain disk": ("C64", put("database/Database", EncryptionKey="")),
    "an old backup": ("C65", lambda a: a.backups.update(old=datetime.now(UTC) - timedelta(days=20))),
    "a database that may be deleted": ("C66", put("database/Database", DeletionProtection=False)),
    "no standby": ("C68", put("database/Database", Category="Basic")),
    "no log backups": ("C69", put("database/Database", EnableBackupLog=False)),
    "a copy of the database": ("C47", lambda a: a.read_replicas.append("pgr-1")),
    "one log field more": (
        "C26",
        put("edge/LogDelivery", FieldName="EdgeStartTimestamp,ClientIP,EdgeResponseStatusCode,ClientRequestURI"),
    ),
    "access logs of 30 days": ("C27", put("edge/LogStore", TTL=30)),
    "a cache": ("C25", put("edge/NoCache", BypassCache="cache_all")),
    "the origin open to everybody": (
        "C39",
        lambda a: a.live["ingress/EdgeGroup"]["SecurityGroupIngress"].append(
            {"SourceCidrIp": "0.0.0.0/0", "PortRange": "443/443"}
        ),
    ),
    "origin protection off": ("C39", put("edge/OriginProtection", OriginConverge="off")),
    "no rate per address": ("C40", pop("edge/RatePerAddress")),
    "TLS 1.0": ("C41", put("edge/Tls", Tls10="on")),
    "plain HTTP": ("C41", pop("edge/PlainHttp")),
    "no managed rules": ("C42", pop("edge/ManagedRules")),
    "no error page": ("C67", pop("edge/Unavailable502")),
    "a role that reads another provider's secret": ("C20", attach(f"provider-{OTHER}", f"provider/{PROVIDER}")),
    "a gateway that can open sealed keys": ("C16", attach("gateway", f"seal/{PROVIDER}")),
    "an admin that reads payment secrets": ("C53", attach("admin", "payments/wechat")),
    "a shared key": ("C35", share_a_key),
    "a role that another account may take": ("C46", trust_another_account),
    "a secret of 100 days": (
        "C63",
        lambda a: a.secret_ages.update({"therouter/production/keys/mint": datetime.now(UTC) - timedelta(days=100)}),
    ),
    "a node that stops": ("C70", lambda a: a.nodes.update({"i-b": "Stop"})),
    "statuses that nobody reads": ("C70", trigger("recovery/StatusCheckSchedule", enable=False)),
    "a probe without an alarm": ("C72", pop("watchdog/Unresponsive")),
    "a watchdog without patience": (
        "C72",
        event("recovery/LookAgainSchedule", '"cooldown_minutes":30', '"cooldown_minutes":1'),
    ),
    "an alarm that nobody hears": ("C72", lambda a: a.live["watchdog/UnresponsiveTargets"].update(Targets=[])),
    "a certificate nobody watches": ("C44", pop("watchdog/CertificateEndsIn7Days")),
    "a purge that keeps for ten years": (
        "C10",
        event("jobs/PurgeSchedule", '"retention_days_max":730', '"retention_days_max":3650'),
    ),
    "a seal once a day": ("C60", trigger("jobs/CheckpointSchedule", cronExpression="@every 1440m")),
    "money that is not released": ("C66", trigger("jobs/ReapSchedule", enable=False)),
    "sums that nobody compares": ("C12", trigger("jobs/ReconcileSchedule", enable=False)),
    "a public cluster": ("C48", put("cluster/Cluster", EndpointPublicAccess=True)),
    "a missing default deny": ("C23", edit_manifests('"name":"default-deny"', '"name":"default-allow"')),
    "a shared identity": (
        "C34",
        edit_manifests(f'"serviceAccountName":"provider-{PROVIDER}"', f'"serviceAccountName":"provider-{OTHER}"'),
    ),
    "a log that keeps for years": ("C32", put("network/FunctionLog", TTL=3_650)),
}


def test_there_are_enough_seeds_and_every_claim_has_one() -> None:
    assert len(SEEDS) >= 15
    assert {claim for claim, _ in SEEDS.values()} == {row.claim for row in ROWS}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.claim(c)) for n, (c, _) in SEEDS.items()])
def test_a_seeded_violation_turns_its_claim_red_and_no_other(deployed: Deployed, name: str) -> None:
    claim, seed = SEEDS[name]
    seed(deployed)
    assert set(not_green()) == {claim}


def test_the_log_services_signature_is_the_documented_one() -> None:
    """The text of the vendor's worked example of a request without a body."""
    headers = {"x-log-apiversion": "0.6.0", "x-log-signaturemethod": "hmac-sha1", "x-log-bodyrawsize": "0"}
    text = text_to_sign("/logstores", headers, "Mon, 09 Nov 2015 06:11:16 GMT")
    assert text == (
        "GET\n\n\nMon, 09 Nov 2015 06:11:16 GMT\nx-log-apiversion:0.6.0\nx-log-bodyrawsize:0\nx-log-signaturemethod:hmac-sha1\n"
        "/logstores"
    )
