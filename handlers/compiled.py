"""The byte path as machine code, where somebody has made it: `make compile`, and the image.

Theory of operation
    mypyc turns typed modules into extension modules of the same names, which do the same in about 60 % of the time
    (handlers.local.compiling). They lie in FOLDER, beside the packages, with the digest of all sources that there were when
    they were made. Gateway and pods ask for them before they import anything else. They are used all together, and only
    while every source is still the same and the interpreter is, too: with one letter changed, modules are read from their
    sources as ever. So nothing that was compiled once hides what was written since, and nothing needs to be compiled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["FOLDER", "MARK", "PACKAGE", "SUFFIX", "is_in_use", "mypyc_attr", "sources", "use_compiled"]

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:

    def mypyc_attr(**_: bool) -> Callable[[type], type]:
        """What the compiler shall know of a class; to the interpreter it says nothing."""
        return lambda kind: kind


PACKAGE = Path(__file__).resolve().parent
FOLDER = PACKAGE.parent / ".compiled"
MARK = "made-of"
"""The file that says what the modules beside it were made of."""
SUFFIX = EXTENSION_SUFFIXES[0]
"""Names the interpreter and the platform, too."""


def use_compiled(folder: Path = FOLDER) -> bool:
    """Have modules that are imported from now on come from this folder, if what lies there was made of today's sources."""
    try:
        made_of = (folder / MARK).read_text(encoding="ascii")
    except OSError:
        return False
    if made_of != sources():
        return False
    files = {".".join(path.relative_to(folder).parts).removesuffix(SUFFIX): path for path in folder.rglob(f"*{SUFFIX}")}
    sys.meta_path.insert(0, _Finder(files))
    return True


def is_in_use() -> bool:
    """Whether this process takes modules from what was compiled."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def sources(package: Path = PACKAGE) -> str:
    """One digest of all sources of the package, and of what they are compiled for."""
    total = sha256(SUFFIX.encode())
    for path in sorted(package.rglob("*.py")):
        total.update(str(path.relative_to(package)).encode() + b"\0")
        total.update(sha256(path.read_bytes()).digest())
    return total.hexdigest()


class _Finder(MetaPathFinder):
    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)
