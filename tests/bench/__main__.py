"""`make bench`: what is measured is what the image runs, machine code where it was compiled."""

import sys

from handlers.compiled import use_compiled

use_compiled()  # before anything that may be compiled is imported

from tests.bench.compare import main  # noqa: E402 - as above

sys.exit(main())
