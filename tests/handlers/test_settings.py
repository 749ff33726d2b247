"""Settings: a wrong value stops the start with its name."""

from __future__ import annotations

import pytest

from handlers.settings import (
    DatabaseSettings,
    Deployment,
    Doors,
    FunctionSettings,
    GatewaySettings,
    PodSettings,
    SettingError,
    Variable,
)

GATEWAY: dict[str, str] = {
    Variable.LISTEN: "127.0.0.1:8080",
    Variable.PROVIDERS: "openai, local",
    Variable.WIRE: "unix:/run/{provider}.sock",
    Variable.SPOOL: "/var/spool",
    Variable.DATABASE_HOST: "/run/postgres",
    Variable.DATABASE_ROLE: "gateway",
}


def test_a_complete_environment_is_read() -> None:
    settings = GatewaySettings.parse(GATEWAY)
    assert settings.providers == ("openai", "local")
    assert settings.database.port == 5432
    assert settings.deployment.region == "global"


@pytest.mark.claim("A95")
@pytest.mark.parametrize("name", sorted(GATEWAY))
@pytest.mark.parametrize("value", ["", "   "])
def test_a95_what_is_missing_is_named(name: Variable, value: str) -> None:
    with pytest.raises(SettingError, match=name.value):
        GatewaySettings.parse({**GATEWAY, name: value})


@pytest.mark.claim("A95")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (Variable.REGION, "moon"), (Variable.CLOUD, "gcp"), (Variable.ENVIRONMENT, "prod"), (Variable.LOG_LEVEL, "all"),
        (Variable.WIRE, "unix:/run/pod.sock"), (Variable.DATABASE_PORT, "0"), (Variable.DATABASE_PORT, "65536"),
        (Variable.DATABASE_PORT, "five"),
    ],
)  # fmt: skip
def test_a95_what_is_wrong_is_named(name: Variable, value: str) -> None:
    with pytest.raises(SettingError, match=name.value):
        GatewaySettings.parse({**GATEWAY, name: value})


@pytest.mark.claim("C45")
@pytest.mark.parametrize(("cloud", "region"), [("aws", "china"), ("aliyun", "global")])
def test_c45_a_region_never_runs_on_the_other_cloud(cloud: str, region: str) -> None:
    with pytest.raises(SettingError, match=Variable.REGION.value):
        Deployment.parse({Variable.CLOUD: cloud, Variable.REGION: region})


def test_outside_one_machine_the_database_needs_verified_tls() -> None:
    host = "therouter.x.us-east-2.rds.amazonaws.com"
    environment = {**GATEWAY, Variable.CLOUD: "aws", Variable.ENVIRONMENT: "production", Variable.DATABASE_HOST: host}
    with pytest.raises(SettingError, match=Variable.DATABASE_CA.value):
        GatewaySettings.parse(environment)
    parsed = GatewaySettings.parse({**environment, Variable.DATABASE_CA: "/etc/ca.pem"})
    assert parsed.database.authorities == "/etc/ca.pem"


@pytest.mark.claim("C45", "C46", "C47")
@pytest.mark.parametrize(
    ("cloud", "region", "host"),
    [
        ("aws", "global", "pgm-1.pg.rds.aliyuncs.com"),
        ("aws", "global", "therouter.x.eu-west-1.rds.amazonaws.com"),
        ("aws", "global", "/run/postgres"),
        ("aliyun", "china", "therouter.x.us-east-2.rds.amazonaws.com"),
        ("aliyun", "china", "pgm-1.pg.rds.aliyuncs.com.example"),
        ("aliyun", "china", "10.0.0.1"),
    ],
)
def test_c46_the_other_regions_database_is_refused_at_start(cloud: str, region: str, host: str) -> None:
    environment = {
        **GATEWAY,
        Variable.CLOUD: cloud,
        Variable.REGION: region,
        Variable.DATABASE_CA: "/etc/ca.pem",
        Variable.DATABASE_HOST: host,
    }
    with pytest.raises(SettingError, match=rf"{Variable.DATABASE_HOST.value}.*{region} region.*region_restricted"):
        GatewaySettings.parse(environment)


@pytest.mark.claim("C46", "C57")
@pytest.mark.parametrize(
    ("cloud", "region", "host", "door", "here"),
    [
        ("aws", "global", "t.x.us-east-2.rds.amazonaws.com", "door-1.elb.us-east-2.amazonaws.com", True),
        ("aws", "global", "t.x.us-east-2.rds.amazonaws.com", "nlb-1.cn-hangzhou.nlb.aliyuncs.com", False),
        ("aws", "global", "t.x.us-east-2.rds.amazonaws.com", "door.example.com", False),
        ("aliyun", "china", "pgm-1.pg.rds.aliyuncs.com", "nlb-1.cn-hangzhou.nlb.aliyuncsslb.com", True),
        ("aliyun", "china", "pgm-1.pg.rds.aliyuncs.com", "door-1.elb.us-east-2.amazonaws.com", False),
    ],
)
def test_a_door_of_another_region_is_refused_at_start(
    cloud: str, region: str, host: str, door: str, here: bool
) -> None:
    environment: dict[str, str] = {
        Variable.CLOUD: cloud,
        Variable.REGION: region,
        Variable.DATABASE_CA: "/etc/ca.pem",
        Variable.DATABASE_HOST: host,
        Variable.DATABASE_ROLE: "site",
        Variable.DATABASE_DOOR: door,
    }
    if here:
        assert FunctionSettings.parse(environment).database.door == door
        return
    with pytest.raises(SettingError, match=rf"{Variable.DATABASE_DOOR.value}.*{region} region.*region_restricted"):
        FunctionSettings.parse(environment)


@pytest.mark.claim("C45", "C46")
@pytest.mark.parametrize(
    ("wire", "here"),
    [
        ("unix:/run/{provider}.sock", True),
        ("provider-{provider}.therouter.svc.cluster.local:8080", True),
        ("provider-{provider}.therouter.example:8080", False),
        ("10.0.0.1:8080/{provider}", False),
        ("provider-{provider}.svc.cluster.local.example:8080", False),
    ],
)
def test_c46_pods_are_those_of_this_cluster(wire: str, here: bool) -> None:
    environment = {
        **GATEWAY,
        Variable.CLOUD: "aliyun",
        Variable.REGION: "china",
        Variable.DATABASE_CA: "/etc/ca.pem",
        Variable.DATABASE_HOST: "pgm-1.pg.rds.aliyuncs.com",
        Variable.WIRE: wire,
    }
    if here:
        assert GatewaySettings.parse(environment).wire == wire
    else:
        with pytest.raises(SettingError, match=rf"{Variable.WIRE.value}.*region_restricted"):
            GatewaySettings.parse(environment)


def test_pods_and_functions_read_their_own() -> None:
    pod = PodSettings.parse({Variable.PROVIDER: "openai", Variable.LISTEN: "unix:/run/openai.sock"})
    assert (pod.provider, pod.base_url) == ("openai", "")
    function = FunctionSettings.parse({Variable.DATABASE_HOST: "/run", Variable.DATABASE_ROLE: "admin"})
    assert isinstance(function.database, DatabaseSettings)


def test_the_doors_of_a_cloud_are_public_addresses_and_say_what_they_mean() -> None:
    cloud = Deployment.parse({Variable.CLOUD: "aws", Variable.REGION: "global"})
    for variable, value in (
        (Variable.ISSUER, "http://127.0.0.1:8094"), (Variable.ISSUER, "https://127.0.0.1"),
        (Variable.SCANNING_KEYS, "http://keys.example.com"), (Variable.ISSUER_GROUPS, "staff=god"),
        (Variable.ISSUER_HOSTS, "*.example.com"),
    ):  # fmt: skip
        with pytest.raises(SettingError, match=variable):
            Doors.parse({variable: value}, cloud)
    local = Doors.parse({Variable.ISSUER: "http://127.0.0.1:8094"}, Deployment.parse({}))
    assert local.hosts == ("127.0.0.1",)
    assert Doors.parse({str(name): value for name, value in local.variables().items()}, Deployment.parse({})) == local
