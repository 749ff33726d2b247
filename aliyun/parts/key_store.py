"""The key store: one KMS instance of the region's own, in two zones, reached inside the network."""

from __future__ import annotations

from aliyun.base import Resource, RouterStack
from aliyun.network import NetworkStack


def build_key_store(stack: RouterStack, network: NetworkStack) -> Resource:
    """The instance; it is retained, because its keys are."""
    return stack.add(
        "KeyStore",
        "ALIYUN::KMS::Instance",
        {
            "ProductVersion": stack.settings.sizes.key_store,
            "KeyNum": 1_000,
            "SecretNum": 1_000,
            "Spec": 1_000,
            "VpcNum": 1,
            "Log": True,
            "LogStorage": 1_000,
            "Connection": {
                "VpcId": stack.use(network.vpc),
                "VSwitchIds": [stack.use(network.switches["function"][0])],
                "ZoneIds": list(stack.settings.zones[:2]),
            },
            "InstanceChargeType": "Subscription",
            "Period": 1,
            "PeriodUnit": "Month",
            "RenewStatus": "AutoRenewal",
            "RenewPeriod": 1,
        },
        retain=True,
    )
