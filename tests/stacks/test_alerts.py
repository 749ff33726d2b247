from __future__ import annotations

from typing import Any

import pytest


def test_each_region_tells_people_through_an_encrypted_topic(production: Any) -> None:
    for stack in ("Recovery", "Watchdog"):
        (topic,) = production.properties("AWS::SNS::Topic", stack)
        (subscription,) = production.properties("AWS::SNS::Subscription", stack)
        assert "KmsMasterKeyId" in topic
        assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "operators@therouter.example")


@pytest.mark.claim("C44")
def test_both_certificates_are_watched(production: Any) -> None:
    for stack in ("Recovery", "Watchdog"):
        rows = [
            row for row in production.properties("AWS::CloudWatch::Alarm", stack) if row["MetricName"] == "DaysToExpiry"
        ]
        assert sorted(row["Threshold"] for row in rows) == [7, 14, 30]
        assert all(row["AlarmActions"] for row in rows)
