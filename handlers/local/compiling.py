"""`make compile`: the byte path of gateway and pods as machine code; handlers.compiled tells when it is used.

Rules for what is compiled
    It defines no `msgspec.Struct`: mypyc forgets what stands beside the base in a class statement (`frozen`, `rename` …), and
    the shape would be another one. `NamedTuple`, dataclasses and plain classes are the same compiled.
    No class that is read from its source stands on a compiled one, unless that is marked to take such heirs (`mypyc_attr`).
    Objects are made by calling their class: there is no `__new__` without `__init__`.
    A parameter says what may come, by a protocol where two shapes may: machine code looks, and refuses what it was not told.
    Whoever replaces one of its names at run time replaces it for others only: it calls its own functions directly.
"""

from __future__ import annotations

import ast
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from handlers.compiled import FOLDER, MARK, PACKAGE, sources

MODULES = (
    "gateway.arrival",
    "gateway.attempts",
    "gateway.authorize",
    "gateway.byok",
    "gateway.claims",
    "gateway.concurrency",
    "gateway.credit",
    "gateway.disclosure",
    "gateway.dispatch",
    "gateway.figures",
    "gateway.gate",
    "gateway.health",
    "gateway.metering",
    "gateway.observations",
    "gateway.passage",
    "gateway.pipeline",
    "gateway.rates",
    "gateway.recorder",
    "gateway.request_ids",
    "gateway.retries",
    "gateway.room",
    "gateway.spool",
    "keys.verification",
    "keys.wire_token",
    "ledger.allowance",
    "ledger.quote",
    "ledger.rating",
    "provider.attempt",
    "provider.credentials",
    "provider.kinds",
    "provider.plain_attempt",
    "provider.room",
    "telemetry.metrics",
    "translation.adapters.decoding",
    "translation.adapters.event_writer",
    "translation.adapters.openai_calls",
    "translation.adapters.openai_chat_decoder",
    "translation.adapters.openai_parts",
    "translation.adapters.openai_plain",
    "translation.adapters.openai_usage",
    "translation.canonical.estimate",
    "translation.canonical.known_sides",
    "translation.conversation",
    "translation.deliveries",
    "translation.exchange",
    "translation.framing.sse",
    "translation.passthrough.adapted_messages",
    "translation.passthrough.model_names",
    "translation.passthrough.openai_chat",
    "translation.raw_assembled",
    "translation.raw_whole",
    "translation.repeated_delta",
    "translation.short_way",
    "transport.bodies",
    "transport.client",
    "transport.client_connection",
    "transport.exchange",
    "transport.frames",
    "transport.header_fields",
    "transport.memo",
    "transport.request_head",
    "transport.requests",
    "transport.responses",
    "transport.server_connection",
    "transport.wire_client",
    "transport.wire_server",
)
"""What a request or an event passes in both processes, as far as it can be compiled."""


def source_of(module: str) -> Path:
    """Where one of MODULES is written, from the project's root."""
    return Path(PACKAGE.name, *module.split(".")).with_suffix(".py")


def shapes_in(source: str) -> list[str]:
    """The names of classes that must not be compiled."""
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if node.keywords or any("Struct" in ast.unparse(base) for base in node.bases)]


def compile_modules(modules: tuple[str, ...] = MODULES, folder: Path = FOLDER) -> None:
    """Compile what is written now into a folder, in place of what lies there. Needs a C compiler, mypy and setuptools.

    Raises ValueError for a module that must not be compiled, and SystemExit with the compiler's own words.
    """
    root = PACKAGE.parent
    for module in modules:
        shapes = shapes_in((root / source_of(module)).read_text(encoding="utf-8"))
        if shapes:
            raise ValueError(f"{module} defines {', '.join(shapes)}, which compiled would be another shape")
    made_of = sources()
    with TemporaryDirectory(prefix="therouter-compile-") as workshop:
        shutil.copytree(PACKAGE, Path(workshop, PACKAGE.name), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(root / "pyproject.toml", Path(workshop, "mypy.toml"))  # read for its types alone, not as a package
        made = _build([str(source_of(module)) for module in modules], Path(workshop))
        (made / MARK).write_text(made_of, encoding="ascii")
        beside = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(made, beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)  # whole or not at all, for processes that start meanwhile


def _build(paths: list[str], workshop: Path) -> Path:
    from mypyc.build import mypycify  # noqa: PLC0415 - a tool of developers, which a running system does not have
    from setuptools import setup  # noqa: PLC0415

    made, before = workshop / "made", Path.cwd()
    os.chdir(workshop)
    try:
        with _quiet_unless_it_fails():
            # One library for all of them: they call each other directly, and what a request passes lies close together.
            extensions = mypycify(["--config-file", "mypy.toml", *paths], opt_level="2", debug_level="0")
        setup(
            name="therouter-compiled",
            ext_modules=extensions,
            script_args=["--quiet", "build_ext", "--build-lib", str(made), "--build-temp", str(workshop / "objects")],
        )
    finally:
        os.chdir(before)
    return made


@contextmanager
def _quiet_unless_it_fails() -> Iterator[None]:
    """What mypyc says of lines that it compiles differently matters to nobody who only wants it done."""
    said = StringIO()
    try:
        with redirect_stdout(said):
            yield
    except SystemExit:
        print(said.getvalue(), file=sys.stderr)
        raise


def main() -> int:
    """Compile, unless that is done or there is nothing to compile with."""
    if shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        print("gateway and pods run from source: for machine code there must be a C compiler (cc) and Python's headers")
        return 0
    try:
        if (FOLDER / MARK).read_text(encoding="ascii") == sources():
            print(f"{len(MODULES)} modules are compiled already")
            return 0
    except OSError:
        pass
    print(f"compiling {len(MODULES)} modules (about a minute)", flush=True)
    began = monotonic()
    compile_modules()
    print(f"done in {monotonic() - began:.0f} s; gateway and pods use it from their next start")
    return 0


if __name__ == "__main__":
    sys.exit(main())
