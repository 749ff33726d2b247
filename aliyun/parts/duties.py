"""The roles of functions: what they may do in the account beside reading their secrets."""

from __future__ import annotations

from typing import Any

from aliyun.base import RECOVERY_TAG, Resource, RouterStack
from aliyun.network import FUNCTION_LOG
from aliyun.settings import REGION
from aliyun.texts import camel, sub
from handlers.settings import Variable
from handlers.workloads import Workload, store_name


def allow(actions: list[str], resources: list[Any], **more: object) -> dict[str, Any]:
    """One statement of a policy."""
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def policy(name: str, *statements: dict[str, Any]) -> dict[str, Any]:
    """A policy that belongs to one role."""
    return {"PolicyName": name, "PolicyDocument": {"Version": "1", "Statement": list(statements)}}


def build_role(
    stack: RouterStack,
    workload: Workload,
    reading: list[dict[str, Any]],
    more: list[dict[str, Any]],
    *,
    log_project: object,
) -> Resource:
    """A function's role; `reading` is the policy by which it reads its secrets, `more` what its duty needs of them."""
    name = stack.physical(workload.name)
    account = stack.settings.account
    log = sub(f"acs:log:*:{account}:project/${{Project}}/logstore/{FUNCTION_LOG}", Project=log_project)
    duty = [*_duty(stack, workload), *more]
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": ["fc.aliyuncs.com"]}}
    return stack.add(
        f"{camel(workload.name)}Role",
        "ALIYUN::RAM::Role",
        {
            "RoleName": name,
            "Description": f"The function {workload.name} and nothing else",
            "AssumeRolePolicyDocument": {"Version": "1", "Statement": [trust]},
            "Policies": [
                policy(f"{name}-log", allow(["log:PostLogStoreLogs"], [log])),
                policy(f"{name}-image", *_pulling(stack)),
                *reading,
                *([policy(f"{name}-duty", *duty)] if duty else []),
            ],
        },
    )


def _pulling(stack: RouterStack) -> list[dict[str, Any]]:
    """A function's image comes from our repository alone."""
    here = f"acs:cr:{REGION}:{stack.settings.account}"
    namespace, repository = stack.settings.repository
    registry = stack.settings.registry
    return [
        allow(["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint"], [f"{here}:instance/{registry}"]),
        allow(["cr:PullRepository"], [f"{here}:repository/{registry}/{namespace}/{repository}"]),
    ]


def _ours(stack: RouterStack) -> dict[str, list[str]]:
    """The tags of our nodes."""
    return {f"ecs:tag/{RECOVERY_TAG}": ["true"], "ecs:tag/therouter:stage": [stack.settings.stage]}


def _duty(stack: RouterStack, workload: Workload) -> list[dict[str, Any]]:
    """What operations may do beyond reading secrets: look, and for the watchdog reboot a node that carries our tag."""
    here = f"{REGION}:{stack.settings.account}"
    nodes: list[Any] = [f"acs:ecs:{here}:instance/*"]
    secrets_here = f"acs:kms:{here}:secret"
    database = f"acs:rds:{here}:dbinstance/*"
    duties = {
        # It adds copies, and reads and removes none.
        "checkpoint": [allow(["oss:PutObject"], [f"acs:oss:*:*:{stack.settings.archive}/checkpoints/*"])],
        "rotation": [
            allow(["kms:ListSecrets"], [secrets_here, f"{secrets_here}/{store_name(stack.settings.stage, '*')}"])
        ],
        "snapshot-check": [
            allow(
                ["rds:DescribeBackups", "rds:DescribeBackupPolicy", "rds:DescribeDBInstanceEncryptionKey"],
                [database],
            )
        ],
        "alarms": [
            allow(
                [
                    "ecs:DescribeInstances",
                    "ecs:DescribeInstanceMaintenanceAttributes",
                    "ecs:DescribeInstancesFullStatus",
                ],
                nodes,
            ),
            allow(
                ["ecs:ModifyInstanceMaintenanceAttributes", "ecs:RedeployInstance", "ecs:RebootInstance"],
                nodes,
                Condition={"StringEquals": _ours(stack)},
            ),
            allow(
                ["oos:GetParameter", "oos:UpdateParameter"],
                [f"acs:oos:{here}:parameter/{stack.physical('watchdog', 'failures')}"],
            ),
        ],
        "watchdog": [
            allow(["ecs:DescribeInstances"], nodes),
            allow(["ecs:DescribeNetworkInterfaces"], [f"acs:ecs:{here}:networkinterface/*"]),
            allow(["ecs:RebootInstance"], nodes, Condition={"StringEquals": _ours(stack)}),
            allow(
                ["alb:ListListeners", "alb:GetListenerHealthStatus", "alb:ListServerGroupServers"],
                [f"acs:alb:{here}:{kind}/*" for kind in ("loadbalancer", "listener", "servergroup")],
            ),
            allow(["cms:DescribeMetricRuleList"], [f"acs:cms:{here}:*"]),
            allow(["rds:DescribeDBInstanceAttribute"], [database]),
            allow(
                ["oos:GetParameter", "oos:UpdateParameter"],
                [f"acs:oos:{here}:parameter/{stack.physical('watchdog')}-*"],
            ),
        ],
    }
    # DirectMail authorises by operation alone; a narrower resource would allow nothing.
    mail = [allow(["dm:SingleSendMail"], ["*"])] if Variable.MAIL in workload.variables else []
    return [*duties.get(workload.name, []), *mail]
