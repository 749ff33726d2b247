"""The one image's repository. Deployments name a digest, so rolling back is deploying the digest before."""

from __future__ import annotations

from aliyun.base import RouterStack
from aliyun.settings import Settings


class RegistryStack(RouterStack):
    """A private repository with immutable tags, in the purchased registry."""

    name = "registry"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        namespace, repository = settings.repository
        place = self.add(
            "Namespace",
            "ALIYUN::CR::Namespace",
            {
                "InstanceId": settings.registry,
                "Namespace": namespace,
                "AutoCreate": False,
                "DefaultVisibility": "PRIVATE",
            },
            retain=True,
        )
        self.add(
            "Repository",
            "ALIYUN::CR::Repository",
            {
                "InstanceId": settings.registry,
                "RepoNamespace": namespace,
                "RepoName": repository,
                "RepoType": "PRIVATE",
                "Summary": "TheRouter",
                "TagImmutability": True,
            },
            after=(place,),
            retain=True,
        )
