from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from handlers.compiled import PACKAGE, SUFFIX, sources
from handlers.local.compiling import MODULES, compile_modules, shapes_in, source_of


def test_every_module_that_is_compiled_may_be() -> None:
    assert list(MODULES) == sorted(set(MODULES))
    found = {module: shapes_in((PACKAGE.parent / source_of(module)).read_text()) for module in MODULES}
    assert not {module: shapes for module, shapes in found.items() if shapes}


@pytest.mark.parametrize(
    "source",
    [
        "class A(msgspec.Struct): x: int",
        "class A(Struct, frozen=True): x: int",
        "class A(Event, tag='a'): x: int",
        "def f():\n    class A(msgspec.Struct): x: int",
    ],
)
def test_a_shape_is_noticed(source: str) -> None:
    assert shapes_in(source) == ["A"]


def test_a_module_with_a_shape_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"transport\.wire defines Wire"):
        compile_modules(("transport.wire",), tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler (cc)")
def test_a_compiled_module_is_used_and_says_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    command = (
        "from pathlib import Path; from handlers.local.compiling import compile_modules; "
        f"compile_modules(('ledger.allowance', 'transport.memo'), Path({str(folder)!r}))"
    )
    subprocess.run([sys.executable, "-c", command], cwd=PACKAGE.parent, check=True, timeout=300)
    assert (folder / "made-of").read_text() == sources()
    use = (
        f"from pathlib import Path; from handlers.compiled import use_compiled; assert use_compiled(Path({str(folder)!r}))\n"
        "from handlers.transport import memo; from handlers.ledger import allowance\n"
        f"assert memo.__file__.endswith({SUFFIX!r}) and allowance.__file__.endswith({SUFFIX!r})\n"
        "known = memo.Memo(lambda n: n * 2, 2)\n"
        "print([known[n] for n in (1, 2, 1, 3)], list(known))\n"
        "account = allowance.AccountAllowance(); account.add(10)\n"
        "print(account.try_hold(7), account.try_hold(7), account.remaining)\n"
    )
    done = subprocess.run([sys.executable, "-c", use], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[2, 4, 2, 6] [2, 3]\nTrue False 3\n", "")


TAKES_HEIRS = {"JsonDecoder"}
"""Classes marked so (`mypyc_attr`): of the formats that have a decoder, only the most usual one is compiled."""


def test_no_class_read_from_source_stands_on_a_compiled_one() -> None:
    """Such a class could not be instantiated."""
    compiled = {f"handlers.{module}" for module in MODULES}
    for path in (PACKAGE / "gateway").glob("*.py"):
        if path.stem != "__main__":
            importlib.import_module(f"handlers.gateway.{path.stem}")
    importlib.import_module("handlers.provider.pod")
    everyone = [
        kind
        for name, module in list(sys.modules.items())
        if name.startswith("handlers.")
        for kind in vars(module).values()
    ]
    classes = {kind for kind in everyone if isinstance(kind, type) and kind.__module__.startswith("handlers.")}
    found = {
        f"{kind.__module__}.{kind.__name__} stands on {base.__module__}.{base.__name__}"
        for kind in classes
        for base in kind.__mro__[1:]
        if base.__module__ in compiled and kind.__module__ not in compiled and base.__name__ not in TAKES_HEIRS
    }
    assert not found
