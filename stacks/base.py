"""What all stacks have in common: a place, zones without a look-up, tags, protection, and findings accepted with a reason."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_logs as logs
from constructs import Construct, IConstruct

from stacks.settings import EDGE_REGION, REGION, Settings

RECOVERY_TAG = "therouter:auto-recovery"
"""Nodes that carry it with the value `true` get alarms, and may be rebooted by the watchdog; no other instance may."""

_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


class RouterStack(cdk.Stack):
    """A stack of one deployment.

    Args:
        intention: what it is for; the last part of its name.
        edge: whether it stands in us-east-1.
        stateful: whether losing it loses data; such a stack cannot be deleted by accident.
    """

    def __init__(
        self, scope: Construct, intention: str, *, settings: Settings, edge: bool = False, stateful: bool = False
    ) -> None:
        region = EDGE_REGION if edge else REGION
        super().__init__(
            scope,
            f"TheRouter-{settings.stage}-{'use1' if edge else 'use2'}-{intention}",
            env=cdk.Environment(account=settings.account, region=region),
            cross_region_references=True,
            termination_protection=stateful and settings.policy.database_deletion_protected,
            description=f"TheRouter {settings.stage}: {intention}",
        )
        self.settings = settings
        self.policy = settings.policy
        # An attached VPC origin cannot be updated, its tags included.
        cdk.Tags.of(self).add("therouter:stage", settings.stage, exclude_resource_types=["AWS::CloudFront::VpcOrigin"])

    @property
    def availability_zones(self) -> list[str]:
        """The zones, without asking an account for them."""
        return [f"{self.region}{letter}" for letter in "abc"[: self.policy.availability_zones]]


def accept(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of cdk-nag on a construct (and what is in it), with the reason why it stands."""
    accept_rule(construct, f"AwsSolutions-{rule}", reason)


def accept_rule(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept one finding of any checker, by its full name."""
    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=rule, reason=reason))


def child(construct: IConstruct, ending: str) -> IConstruct:
    """The one child of a construct whose id ends so: a part that a library made and that has no attribute."""
    (found,) = [node for node in construct.node.children if node.node.id.endswith(ending)]
    return found


def log_group(scope: Construct, construct_id: str, *, days: int, name: str | None = None) -> logs.LogGroup:
    """A log group that forgets. `name` only where somebody outside the stack must know it."""
    return logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention=_RETENTION[days],
        removal_policy=cdk.RemovalPolicy.DESTROY,
    )
