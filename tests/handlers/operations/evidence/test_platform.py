from __future__ import annotations

from typing import Any

import pytest

from handlers.operations.evidence.platform import _flat, _name

POD: dict[str, Any] = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "relay"}}}


@pytest.mark.claim("C23")
@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (POD, "relay"),
        ({"podSelector": {}}, "any pod"),
        ({"ipBlock": {"cidr": "169.254.170.23/32"}}, "identity"),
        ({"ipBlock": {"cidr": "0.0.0.0/0"}}, "0.0.0.0/0"),
    ],
)
def test_a_peer_is_named(peer: dict[str, Any], expected: str) -> None:
    assert _name(peer) == expected


def test_what_only_aws_knows_reads_as_a_question_mark() -> None:
    assert _flat({"Fn::Join": ["", ["a", {"Ref": "B"}, "c"]]}) == "a?c"
