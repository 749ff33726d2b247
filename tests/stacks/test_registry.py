from __future__ import annotations

from typing import Any


def test_tags_cannot_be_moved_and_images_are_scanned(production: Any) -> None:
    (repository,) = production.resources("AWS::ECR::Repository")
    assert repository["Properties"]["ImageTagMutability"] == "IMMUTABLE"
    assert repository["Properties"]["ImageScanningConfiguration"] == {"ScanOnPush": True}
    assert repository["Properties"]["EncryptionConfiguration"]["EncryptionType"] == "KMS"
    assert repository["DeletionPolicy"] == "Retain"
