from __future__ import annotations

from typing import Any

import msgspec


def test_every_stack_says_its_stage_region_and_account(production: Any) -> None:
    manifest = msgspec.json.decode((production.folder / "manifest.json").read_bytes())
    places = {n: a["environment"] for n, a in manifest["artifacts"].items() if a["type"] == "aws:cloudformation:stack"}
    assert len(places) == 13
    for name, place in places.items():
        region = "us-east-1" if "-use1-" in name else "us-east-2"
        assert name.startswith("TheRouter-production-")
        assert place == f"aws://123456789012/{region}"


def test_a_stage_that_holds_nobodys_data_can_be_thrown_away(staged: Any) -> None:
    staging = staged("staging")
    manifest = msgspec.json.decode((staging.folder / "manifest.json").read_bytes())
    stacks = [a for a in manifest["artifacts"].values() if a["type"] == "aws:cloudformation:stack"]
    assert not any(a["properties"].get("terminationProtection") for a in stacks)
    (database,) = staging.resources("AWS::RDS::DBInstance")
    assert (database["Properties"]["DeletionProtection"], database["DeletionPolicy"]) == (False, "Delete")
