"""`python -m handlers.local`: the `therouter` command."""

import sys

from handlers.local.cli import main

sys.exit(main())
