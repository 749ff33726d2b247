"""The command line: check, synth and deploy, and what each says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from aliyun import DIFFERENCES
from aliyun.__main__ import EXAMPLE, main
from tests.aliyun.ros_standin import RosStandin, serve

KEYS = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "test-key-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "made-up-" * 3}
VALUES = {"THEROUTER_DATABASE_OWNER_PASSWORD": "long-and-" * 3, "THEROUTER_EDGE_TOKEN": "token-" * 6}
ELSEWHERE = ("--settings", "/nonexistent/settings.toml")


def test_check_is_green(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *ELSEWHERE], {}) == 0
    assert capsys.readouterr().out.endswith(" 0 mistakes\n")


def test_check_names_a_mistake_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *ELSEWHERE, "--set", "alarm_email=x@ops-us-west-2.example"], {}) == 1
    assert "a name of the global region" in capsys.readouterr().out


def test_synth_writes_every_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", *ELSEWHERE, "--out", str(tmp_path)], {}) == 0
    assert {path.name for path in tmp_path.iterdir()} == {Path(line).name for line in capsys.readouterr().out.split()}


def test_deploy_needs_the_operators_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", *ELSEWHERE], KEYS) == 1
    assert "copy" in capsys.readouterr().out


def test_deploy_needs_an_identity(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--settings", str(EXAMPLE)], {}) == 1
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET are not set" in capsys.readouterr().out


def test_deploy_deploys_and_shows_outputs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("aliyun.deploy.POLL_S", 0.0)
    with serve(RosStandin(KEYS["ALIBABA_CLOUD_ACCESS_KEY_ID"], KEYS["ALIBABA_CLOUD_ACCESS_KEY_SECRET"])) as standin:
        command = ["deploy", "--settings", str(EXAMPLE), "--region", "cn-hangzhou", "--ros-endpoint", standin.endpoint]
        assert main([*command, "--set", "providers=deepseek"], {**KEYS, **VALUES}) == 0
        assert len(standin.stacks) == 14
    shown = capsys.readouterr().out
    assert "edge.SiteId = therouter-production-edge/SiteId" in shown
    assert not any(value in shown for value in VALUES.values())


def test_the_differences_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["differences"], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(DIFFERENCES)
    assert {line.count("|") for line in lines} == {6}


@pytest.mark.claim("C45")
def test_c45_another_region_is_no_choice(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["deploy", "--region", "cn-beijing"], KEYS)
    assert "cn-hangzhou" in capsys.readouterr().err


def test_a_set_without_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--set", "domain"], {}) == 1
    assert "NAME=VALUE" in capsys.readouterr().out


def test_a_settings_file_that_is_no_toml_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("domain: x")
    assert main(["check", "--settings", str(path)], {}) == 1
    assert "is not TOML" in capsys.readouterr().out
