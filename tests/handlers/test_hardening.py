"""Threads that are the first to use a shape."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, threading, types
import msgspec
from handlers.hardening import learn_shapes

SHAPES = 300
source = "from __future__ import annotations\\nimport msgspec\\n" + "".join(
    f"class Part{n}(msgspec.Struct):\\n    x: int = 0\\nclass Whole{n}(msgspec.Struct):\\n"
    + "".join(f"    f{m}: Part{n} | None = None\\n" for m in range(30)) for n in range(SHAPES))
module = sys.modules["shapes"] = types.ModuleType("shapes")
exec(source, vars(module))
sys.setswitchinterval(1e-6)
if "learn" in sys.argv:
    learn_shapes()
for number in range(SHAPES):
    whole, together = getattr(module, f"Whole{number}"), threading.Barrier(8)

    def use():
        together.wait()
        assert msgspec.convert({"f1": {"x": 1}}, type=whole).f1.x == 1

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("learnt", [True, False])
def test_shapes_that_were_learnt_may_be_used_by_many_threads_at_once(learnt: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(["learn"] if learnt else [])],
        capture_output=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    if learnt:
        assert done.returncode == 0, done.stderr[-2000:]
    elif done.returncode == 0:
        pytest.skip("this msgspec or machine does without: the race that learn_shapes prevents did not show")
