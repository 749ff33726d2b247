from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from handlers.operations.evidence.account import Account, Missing, differs

TEMPLATE = '{"Resources": {"KeyA": {"Type": "AWS::SNS::Topic"}, "KeyB": {"Type": "AWS::SNS::Topic"}, "Bus": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "n", "Type": "String", "Value": "v"}}}}'


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("cloudformation", region_name="us-east-2")
        client.create_stack(StackName="TheRouter-small-use2-Network", TemplateBody=TEMPLATE)
        yield Account("small")


def test_resources_are_found_by_kind_and_by_name(account: Account) -> None:
    assert len(account.ids("Network", "AWS::SNS::Topic")) == 2
    assert account.one("Network", "AWS::SNS::Topic", "KeyA") != account.one("Network", "AWS::SNS::Topic", "KeyB")


@pytest.mark.parametrize(
    ("kind", "logical"), [("AWS::SNS::Topic", "KeyC"), ("AWS::S3::Bucket", ""), ("AWS::SNS::Topic", "")]
)
def test_what_is_missing_or_ambiguous_is_never_taken_for_granted(account: Account, kind: str, logical: str) -> None:
    with pytest.raises(Missing, match=kind):
        account.one("Network", kind, logical)


def test_a_question_is_asked_once(account: Account) -> None:
    asked: list[int] = []

    def ask() -> int:
        asked.append(1)
        return 7

    assert (account.remember(("q",), ask), account.remember(("q",), ask), len(asked)) == (7, 7, 1)


def test_a_difference_names_both_values() -> None:
    assert differs("days", 14, 14) == []
    assert differs("days", 13, 14) == ["days is 13, promised is 14"]
