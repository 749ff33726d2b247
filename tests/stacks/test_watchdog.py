from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.claim("C72")
def test_the_public_address_is_probed_over_tls(production: Any) -> None:
    (check,) = production.properties("AWS::Route53::HealthCheck")
    config = check["HealthCheckConfig"]
    assert (config["Type"], config["Port"], config["ResourcePath"]) == ("HTTPS", 443, "/healthz")
    assert config["FullyQualifiedDomainName"] == "api.therouter.example"
    assert config["EnableSNI"] is True


@pytest.mark.claim("C72")
def test_its_alarm_lives_where_the_metric_does_and_missing_data_is_no_outage(production: Any) -> None:
    alarms = production.properties("AWS::CloudWatch::Alarm", "Watchdog")
    (alarm,) = [row for row in alarms if row["MetricName"] == "HealthCheckStatus"]
    assert alarm["TreatMissingData"] == "ignore"
    assert alarm["AlarmName"] == "therouter-production-unresponsive"


@pytest.mark.claim("C72")
def test_the_alarm_is_carried_to_the_region_of_the_nodes(production: Any) -> None:
    (rule,) = production.properties("AWS::Events::Rule", "Watchdog")
    assert rule["EventPattern"]["detail"] == {"alarmName": ["therouter-production-unresponsive"]}
    assert rule["Targets"][0]["Arn"].endswith("us-east-2:123456789012:event-bus/default")
