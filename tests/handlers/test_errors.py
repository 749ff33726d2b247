from __future__ import annotations

import pytest

from handlers.errors import FAILURES, FailureClass, UpstreamFailed

# Upstream signal -> status to the client, whether another endpoint is tried, whether it says something about the endpoint.
TABLE = {
    FailureClass.INVALID_REQUEST: (400, False, False),
    FailureClass.CONTEXT_LENGTH: (400, True, False),
    FailureClass.QUOTA: (503, True, False),
    FailureClass.UNAUTHENTICATED_UPSTREAM: (503, True, False),
    FailureClass.NOT_FOUND_UPSTREAM: (503, True, False),
    FailureClass.TIMEOUT: (504, True, True),
    FailureClass.RATE_LIMITED: (429, True, False),
    FailureClass.OVERLOADED: (503, True, True),
    FailureClass.SERVER_ERROR: (502, True, True),
    FailureClass.CONNECT: (503, True, True),
    FailureClass.TRUNCATED: (502, True, True),
    FailureClass.MALFORMED: (502, True, True),
    FailureClass.CONTENT_POLICY: (403, False, False),
    FailureClass.UNSUPPORTED: (422, True, False),
    FailureClass.CANCELLED: (499, False, False),
}


def test_every_failure_class_has_its_status_and_its_consequences() -> None:
    told = {failure: (rule.http_status, rule.try_next, rule.counts_for_health) for failure, rule in FAILURES.items()}
    assert told == TABLE
    assert set(TABLE) == set(FailureClass)


@pytest.mark.parametrize("failure", sorted(FailureClass))
def test_an_outage_is_never_the_clients_fault_and_every_message_says_what_to_do(failure: FailureClass) -> None:
    error = UpstreamFailed(failure)
    if FAILURES[failure].counts_for_health:
        assert error.http_status >= 500
    assert error.http_status not in {401, 402}
    assert error.message.endswith(".")
