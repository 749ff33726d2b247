"""`make bench`: what is measured is what the image runs, machine code where it was compiled, by a Python as fast as its."""

import sys
from pathlib import Path

from handlers.compiled import use_compiled
from tests.bench.interpreter import run_in_fastest

run_in_fastest(Path(sys.prefix) / "bench")
use_compiled()  # before anything that may be compiled is imported

from tests.bench.compare import main  # noqa: E402 - as above

sys.exit(main())
