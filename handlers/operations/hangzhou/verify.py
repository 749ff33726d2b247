"""`therouter verify aliyun`: an account in Hangzhou held against the trust page, claim by claim; the mirror of verify_aws.

Reads and changes nothing. Prints a table and writes what it saw as signed JSON:
    therouter verify aliyun --stage production --key evidence.pem --out evidence.json
    therouter verify aliyun --check evidence.json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from handlers.clouds.secrets import SecretError
from handlers.operations.evidence.document import BROKEN, HOLDS, UNSEEN, Finding, check_document, options_of, present
from handlers.operations.hangzhou.api import ApiRefused
from handlers.operations.hangzhou.evidence import database, edge, identity, platform, recovery
from handlers.operations.hangzhou.evidence.account import Account, Missing, Row
from stacks.policy import STAGES, Policy

ROWS: tuple[Row, ...] = (*database.ROWS, *edge.ROWS, *identity.ROWS, *recovery.ROWS, *platform.ROWS)


def verify(stage: str, policy: Policy) -> tuple[Finding, ...]:
    """Look at every claim."""
    account = Account(stage)
    return tuple(sorted((_look(account, policy, row) for row in ROWS), key=lambda finding: int(finding.claim[1:])))


def _look(account: Account, policy: Policy, row: Row) -> Finding:
    try:
        contradictions = row.check(account, policy)
    except (Missing, ApiRefused, SecretError) as unseen:
        return Finding(row.claim, row.sentence, UNSEEN, (str(unseen),))
    except (KeyError, IndexError, TypeError, ValueError) as strange:
        # The product's answer has another shape than documented: what was not seen is not green.
        return Finding(row.claim, row.sentence, UNSEEN, (f"an answer has another shape ({type(strange).__name__})",))
    return Finding(row.claim, row.sentence, BROKEN if contradictions else HOLDS, tuple(contradictions))


def main(argv: Sequence[str] | None = None) -> int:
    """Verify an account, or check a document. 0: all claims hold; 1: one does not; 2: nothing could be looked at."""
    options = options_of(
        "therouter verify aliyun", "hold an Alibaba Cloud account in Hangzhou against the trust page", argv
    )
    if options.check is not None:
        return check_document(options.check)
    try:
        roles = Account(options.stage).ask("ram", "ListRoles", MaxItems="1000")
        account = str(roles["Roles"]["Role"][0]["Arn"]).split(":")[3]
    except (ApiRefused, SecretError) as refused:
        sys.stderr.write(f"no account can be reached: {refused}\n")
        return 2
    except (KeyError, IndexError):
        sys.stderr.write("the account has no role: deploy the stacks first\n")
        return 2
    return present(account, verify(options.stage, STAGES[options.stage]), options)


if __name__ == "__main__":
    sys.exit(main())
