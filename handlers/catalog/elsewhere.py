"""What only the other region has: so that asking for it is refused by name, here, and nothing is looked up or sent anywhere.

Names and hosts alone, from the files of this package: no address of the other region is ever called, and no price of it used.
What both regions have, or what is on this machine, is not elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from urllib.parse import urlsplit

from handlers.catalog.loading import load_catalog
from handlers.catalog.rows import read_providers
from handlers.errors import PermissionDenied

OTHER = {"global": "china", "china": "global"}
CODE = "region_restricted"


@cache
def models_elsewhere(region: str) -> frozenset[str]:
    """Every name of the models that only the other region serves; tens of milliseconds the first time."""
    here, there = load_catalog(region), load_catalog(OTHER[region])
    known = here.models.keys() | here.aliases.keys()
    foreign = {name for name in there.models if name not in known}
    return frozenset({*foreign, *(alias for alias, model in there.aliases.items() if model in foreign)} - known)


def is_elsewhere(region: str, name: str) -> bool:
    """Whether a model of this name is served, and by the other region only."""
    names = models_elsewhere(region)
    return name in names or name.lower() in names


@cache
def providers_elsewhere(region: str) -> frozenset[str]:
    """Slugs of the providers that only the other region calls."""
    return frozenset(row.slug for row in read_providers() if row.site(region) is None)


@cache
def hosts_elsewhere(region: str) -> frozenset[str]:
    """Hosts that the other region's providers have, and none of this one's."""
    here, there = (
        {urlsplit(site.base_url).hostname or "" for row in read_providers() if (site := row.site(name)) is not None}
        for name in (region, OTHER[region])
    )
    return frozenset(there - here)


def refuse_model(region: str) -> PermissionDenied:
    """The refusal of a model that only the other region serves."""
    return _refuse("This model is", region, "model", "models")


def refuse_providers(region: str, wanted: Iterable[str], param: str = "provider.only") -> None:
    """Raise PermissionDenied when all the providers that a client insists on are the other region's."""
    named = set(wanted)
    if named and named <= providers_elsewhere(region):
        raise _refuse("What you insist on is", region, param, "providers")


def _refuse(what: str, region: str, param: str, listed: str) -> PermissionDenied:
    home = OTHER[region]
    return PermissionDenied(
        f"{what} served by the {home} region only, at that region's address and with a key made there; "
        f"GET /v1/models lists the {listed} of this region.",
        param=param,
        code=CODE,
        detail={"region": home},
    )
