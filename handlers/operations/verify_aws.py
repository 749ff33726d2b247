"""`therouter verify aws`: an account held against the trust page, claim by claim.

Reads and changes nothing. Prints a table and writes what it saw as signed JSON, the evidence that a customer's reviewer keeps:
    therouter verify aws --stage production --key evidence.pem --out evidence.json
    therouter verify aws --check evidence.json
The key is an Ed25519 key in PEM; a missing file is made, readable by its owner alone. The document holds its public half.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from handlers.operations.evidence import database, edge, identity, platform, recovery
from handlers.operations.evidence.account import REGION, Account, Missing, Row
from handlers.operations.evidence.document import (
    BROKEN,
    HOLDS,
    UNSEEN,
    Finding,
    check_document,
    options_of,
    present,
)
from stacks.policy import STAGES, Policy

ROWS: tuple[Row, ...] = (*database.ROWS, *edge.ROWS, *identity.ROWS, *recovery.ROWS, *platform.ROWS)


def verify(stage: str, policy: Policy) -> tuple[Finding, ...]:
    """Look at every claim."""
    account = Account(stage)
    return tuple(sorted((_look(account, policy, row) for row in ROWS), key=lambda finding: int(finding.claim[1:])))


def _look(account: Account, policy: Policy, row: Row) -> Finding:
    try:
        contradictions = row.check(account, policy)
    except Missing as missing:
        return Finding(row.claim, row.sentence, UNSEEN, (str(missing),))
    except ClientError as refused:
        # The code is AWS's own vocabulary; its message may quote what was asked.
        return Finding(row.claim, row.sentence, UNSEEN, (refused.response["Error"]["Code"],))
    except BotoCoreError as failed:
        return Finding(row.claim, row.sentence, UNSEEN, (type(failed).__name__,))
    return Finding(row.claim, row.sentence, BROKEN if contradictions else HOLDS, tuple(contradictions))


def main(argv: Sequence[str] | None = None) -> int:
    """Verify an account, or check a document. 0: all claims hold; 1: one does not; 2: nothing could be looked at."""
    options = options_of("therouter verify aws", "hold an AWS account against the trust page", argv)
    if options.check is not None:
        return check_document(options.check)
    try:
        account = boto3.client("sts", region_name=REGION).get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as failed:
        sys.stderr.write(f"no AWS account can be reached ({type(failed).__name__}): sign in first\n")
        return 2
    return present(account, verify(options.stage, STAGES[options.stage]), options)


if __name__ == "__main__":
    sys.exit(main())
