"""A stack is one page: what is longer is two intentions."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]
STACK_LINES_MAX = 150
TABLES = {"stacks/policy.py"}
"""A table of numbers, each with its sentence; it builds nothing."""
TOOLS = {"__init__", "__main__", "check", "deploy", "extract", "rules"}
"""In aliyun/: what judges and deploys stacks, and the table of differences. They are no stacks."""


def stack_files() -> dict[str, int]:
    found = [*PROJECT.glob("stacks/**/*.py"), *PROJECT.glob("aliyun/**/*.py")]
    names = {
        path.relative_to(PROJECT).as_posix(): path
        for path in found
        if path.stem not in TOOLS or "aliyun" not in path.parts
    }
    return {name: len(path.read_text().splitlines()) for name, path in names.items() if name not in TABLES}


def test_every_stack_file_is_one_page_in_both_clouds() -> None:
    files = stack_files()
    assert {"stacks/cluster.py", "stacks/recovery.py", "aliyun/network.py", "aliyun/parts/routes.py"} <= files.keys()
    assert {name: lines for name, lines in files.items() if lines > STACK_LINES_MAX} == {}


def test_each_stack_class_has_a_file_of_its_own() -> None:
    for cloud in ("stacks", "aliyun"):
        for path in (PROJECT / cloud).rglob("*.py"):
            assert path.read_text().count("(RouterStack):") <= 1, path
