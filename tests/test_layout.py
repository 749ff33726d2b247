"""The structure of the project, checked in one place: names, sizes, mirrored tests, the lock, what may be committed."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("app.py", "stacks", "handlers", "aliyun")
TOP_LEVEL = {"app.py", "cdk.json", "pyproject.toml", "README.md", "stacks", "handlers", "aliyun", "tests", "Makefile"}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
WORDLESS = re.compile(r"(^|_)(utils?|common|helpers?|managers?|services?|misc|core)($|_)")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    return [ROOT / line for line in listed.stdout.decode().splitlines() if (ROOT / line).is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def source_files() -> list[Path]:
    return [path for path in python_files() if path.relative_to(ROOT).parts[0] in SOURCES]


def test_the_top_level_is_fixed() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    strange = {
        n for n in found - TOP_LEVEL if not n.startswith((".", "requirements")) and n not in {"LICENSE", "SECURITY.md"}
    }
    assert strange == set()


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in source_files()
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    }
    assert long == {}


def test_functions_are_short() -> None:
    long = {}
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def test_names_say_something() -> None:
    parts = {part.removesuffix(".py") for path in python_files() for part in path.relative_to(ROOT).parts}
    assert {part for part in parts if WORDLESS.search(part)} == set()


def test_every_test_file_mirrors_a_source() -> None:
    """tests/handlers/x/test_y.py and test_y_*.py prove handlers/x/y.py; any other is of handlers.x as a whole, and says so."""
    modules = {path.relative_to(ROOT).with_suffix("") for path in source_files()}
    orphans = []
    for path in python_files():
        folder, name = Path(*path.relative_to(ROOT).parts[1:-1]), path.stem.removeprefix("test_")
        if folder.parts[:1] not in {("handlers",), ("stacks",), ("aliyun",)} or not path.name.startswith("test_"):
            continue
        mirrors = any(module.parent == folder and name.startswith(module.name) for module in modules)
        spans = (ROOT / folder).is_dir() and re.search(rf"\b{'[./]'.join(folder.parts)}\b", path.read_text())
        if not (mirrors or spans or name == folder.name):
            orphans.append(str(path.relative_to(ROOT)))
    assert orphans == []


def test_the_lock_names_hashes_and_no_address() -> None:
    for path in ROOT.glob("requirements*.txt"):
        text = path.read_text()
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert "index-url" not in text, path
        for line in text.splitlines():
            assert re.match(r"^(#|$|\s+--hash=sha256:[0-9a-f]{64}|[A-Za-z0-9_.-]+==)", line), (path.name, line)
        pins = len(re.findall(r"^[A-Za-z0-9_.-]+==", text, re.MULTILINE))
        assert len(re.findall(r"--hash=sha256:", text)) >= pins > 0


@pytest.mark.claim("A91")
def test_a91_no_startup_hooks_are_committed() -> None:
    assert [
        path for path in tracked() if path.suffix == ".pth" or path.name in {"sitecustomize.py", "usercustomize.py"}
    ] == []


KEY_SHAPES = re.compile(
    r"sk-tr-[lt][0-9A-Za-z]_[uc][0-9A-Za-z]{15}_|sk-(ant|proj)-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}"
    r"|-----BEGIN (RSA |EC )?PRIVATE KEY-----|whsec_[A-Za-z0-9]{24,}|(sk|rk)_live_[A-Za-z0-9]{16,}"
)
MACHINE_PATHS = re.compile("|".join((r"/work" + r"/(main|shared|steering)", "/tmp" + "/bash_jobs", "/root" + r"/\.")))


def test_nothing_secret_looking_and_no_machine_path_is_committed() -> None:
    found = []
    for path in tracked():
        if path.stat().st_size > 2_000_000:
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        if path.name != Path(__file__).name and (KEY_SHAPES.search(text) or MACHINE_PATHS.search(text)):
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|# type: ignore$|# noqa$|pytest\.mark\.xfail")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in python_files()
        if path.name != Path(__file__).name and (match := marks.search(path.read_text()))
    ]
    assert found == []


def test_every_package_says_what_it_is() -> None:
    silent = [str(p.relative_to(ROOT)) for p in source_files() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []
