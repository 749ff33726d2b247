"""One fixture for all functions: their tests run, unchanged, behind each platform that calls functions in one of the regions."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from handlers.clouds.resolver import IsolatedResolver
from handlers.workloads import functions
from tests.handlers.platforms import PLATFORMS, handlers_in, through_container, through_runtime, through_timer

HERE = Path(__file__).parent
REQUESTS = {
    "admin/test_identity.py", "admin/test_routing.py", "admin/test_scanning.py", "admin/test_walk.py",
    "payments/test_routes.py", "payments/test_topups.py", "site/test_routes.py",
}  # fmt: skip
"""Tests of how a room is reached: all platforms."""
SENDERS = ("House", "WeChatRoom", "StripeRoom", "ask")
"""By one of these a test module sends requests to a room; those of no list go through what is deployed in each region."""
SCHEDULES = {
    f"operations/test_{row.entry.split('.')[-2]}.py"
    for row in functions("china")
    if row.room == "operations" and ".hangzhou." not in row.entry
}
"""Tests that call a function of both regions as its schedule does: each region's own platform."""
ROOMS = ("admin/", "payments/", "site/")
HANGZHOU = "operations/hangzhou/"
"""Tests of functions that run in Function Compute alone; a direct call of theirs is the same handler."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    path = metafunc.definition.path.relative_to(HERE).as_posix()
    slow = metafunc.definition.get_closest_marker("slow") is not None
    # Stripe's room runs in no Function Compute; how requests reach a room is tested with both.
    rooms = {"stripe_room", "wechat_room"} & set(metafunc.fixturenames)
    stripe_alone = rooms == {"stripe_room"} and path != "payments/test_routes.py"
    if slow or stripe_alone or "_platform" not in metafunc.fixturenames:
        return
    if path in REQUESTS:
        metafunc.parametrize("_platform", PLATFORMS, indirect=True)
    elif path.startswith(ROOMS) and any(hasattr(metafunc.module, name) for name in SENDERS):
        metafunc.parametrize("_platform", ("lambda", "container"), indirect=True)
    elif path in SCHEDULES or path.startswith(HANGZHOU):
        metafunc.parametrize("_platform", ("lambda", "runtime"), indirect=True)


@pytest.fixture(autouse=True)
def _platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a platform in front of the functions that this test calls; Lambda's event is what the tests write."""
    kind = getattr(request, "param", "lambda")
    if kind == "container":
        monkeypatch.setattr(IsolatedResolver, "resolve", through_container)
    elif kind == "runtime":
        monkeypatch.setattr(IsolatedResolver, "resolve", through_runtime)
    if kind != "lambda":
        module: ModuleType = request.module
        for owner, name, handler in handlers_in(module):
            monkeypatch.setattr(owner, name, through_timer(handler))
