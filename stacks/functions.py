"""The functions behind the load balancer: admin, payments and site, each on its own paths."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_elasticloadbalancingv2_targets as targets
from constructs import Construct

from stacks.alerts import run_every
from stacks.base import RouterStack
from stacks.function import Surroundings, build_function
from stacks.settings import Settings

ROOMS = {"admin": 20, "payments": 30, "site": 40}
"""Room -> priority of its rule; the site takes what nobody else has."""
TIMEOUTS_S = {"admin": 29, "payments": 120, "site": 10}
"""Payments asks its company several times within a repair; no client waits for that."""


class FunctionsStack(RouterStack):
    """One function and one listener rule for each room that answers requests and is no pod."""

    def __init__(
        self,
        scope: Construct,
        *,
        settings: Settings,
        surroundings: Surroundings,
        listener: elbv2.ApplicationListener,
    ) -> None:
        super().__init__(scope, "Functions", settings=settings)
        for workload in settings.workloads:
            if workload.name not in ROOMS:
                continue
            function = build_function(self, workload, surroundings, timeout_s=TIMEOUTS_S[workload.name])
            if workload.name == "payments":
                # What a lost notification left undone is asked of the payment company again.
                run_every(self, "RepairPayments", function, cdk.Duration.minutes(1), {"task": "repair"})
                # What we say was paid is compared with what the company says.
                run_every(self, "ReconcilePayments", function, cdk.Duration.days(1), {"task": "reconcile"})
            elbv2.ApplicationListenerRule(
                self,
                f"To-{workload.name}",
                listener=elbv2.ApplicationListener.from_application_listener_attributes(
                    self,
                    f"Listener-{workload.name}",
                    listener_arn=listener.listener_arn,
                    security_group=surroundings.group,
                ),
                priority=ROOMS[workload.name],
                conditions=[elbv2.ListenerCondition.path_patterns(list(workload.routes))],
                action=elbv2.ListenerAction.forward(
                    [
                        elbv2.ApplicationTargetGroup(
                            self, f"Targets-{workload.name}", targets=[targets.LambdaTarget(function)]
                        )
                    ]
                ),
            )
