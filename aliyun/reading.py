"""How a setting is read: as text, in a form, as a list. A refusal names the setting and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from ipaddress import IPv4Network

from handlers import settings as handlers_settings
from handlers.settings import Doors

_FOREIGN = re.compile(r"amazonaws|cloudfront|github|\b(us|eu|ap|ca|sa|me|af)-[a-z]+-\d|\bglobal\b", re.IGNORECASE)
FORMS: dict[str, tuple[str, str]] = {
    "account": (r"\d{16}", "give the 16-digit Alibaba Cloud account; it is this region's alone"),
    "domain": (r"([a-z0-9-]{1,63}\.)+[a-z]{2,63}", "give the public name, as in domain=api.example.cn"),
    "zone_name": (r"([a-z0-9-]{1,63}\.)+[a-z]{2,63}", "give the filed domain, as in zone_name=example.cn"),
    "icp_filing": (
        r"\S.{5,40}",
        "complete the ICP filing and give its number: the mainland edge takes no other domain",
    ),
    "generative_filing": (r"\S.{3,60}", "file the generative service and give the number of the filing"),
    "esa_instance": (r"esa-[\w-]{3,60}", "buy an ESA plan and give its instance id, which begins with esa-"),
    "esa_ruleset": (r"[1-9]\d{0,15}", "make the ruleset of managed rules once in the ESA console and give its id"),
    "certificate": (r"[\w-]{3,80}", "upload the origin's certificate and give its id"),
    "image": (
        r"[\w.-]+\.cn-hangzhou\.cr\.aliyuncs\.com/[\w.-]+/[\w.-]+@sha256:[0-9a-f]{64}",
        "give registry, repository and digest, in a registry in cn-hangzhou: NAME.cn-hangzhou.cr.aliyuncs.com/...@sha256:...",
    ),
    "registry": (
        r"cri-\w{3,40}",
        "buy a container registry in cn-hangzhou and give its instance id, which begins with cri-",
    ),
    "alarm_email": (r"[^@\s]{1,64}@[^@\s]{3,253}", "give the address that alarms are sent to"),
    "kubernetes": (r"1\.\d+\.\d+-aliyun\.\d+", "give a version that ACK offers, as in 1.34.1-aliyun.1"),
}
"""Setting -> its form and the remedy."""


DOORS = tuple(field.name for field in fields(Doors))
"""Settings that may be left out: who vouches for people, and who tells us of keys in public."""


class SettingError(ValueError):
    """A setting is missing or malformed; the message names it and the remedy."""


def text(context: Mapping[str, object], name: str, remedy: str) -> str:
    """A value that must be there and must not name the other region."""
    value = str(context.get(name, "")).strip()
    if not value:
        raise SettingError(f"{name} is missing: {remedy}")
    if _FOREIGN.search(value):
        raise SettingError(
            f"{name} is {value!r}, a name of the global region: these stacks are the china region's alone"
        )
    return value


def matching(context: Mapping[str, object], name: str, form: str, remedy: str) -> str:
    """A value of one form."""
    value = text(context, name, remedy)
    if not re.fullmatch(form, value):
        raise SettingError(f"{name} is {value!r}: {remedy}")
    return value


def names(context: Mapping[str, object], name: str, remedy: str) -> tuple[str, ...]:
    """Values in a list, or separated by commas."""
    value = context.get(name, "")
    parts = value if isinstance(value, list) else str(value).split(",")
    found = tuple(str(part).strip() for part in parts if str(part).strip())
    if not found:
        raise SettingError(f"{name} is missing: {remedy}")
    return found


def networks(context: Mapping[str, object], name: str, remedy: str) -> tuple[str, ...]:
    """IPv4 networks, none of them half the internet."""
    ranges = names(context, name, remedy)
    for one in ranges:
        try:
            network = IPv4Network(one)
        except ValueError as error:
            raise SettingError(f"{name} names {one!r}, which is no IPv4 network: {remedy}") from error
        if network.prefixlen < 8:
            raise SettingError(f"{name} names {one}, which is half the internet: {remedy}")
    return ranges


def doors(context: Mapping[str, object]) -> Doors:
    """Who vouches for people and who tells us of keys in public; what is not named is nobody."""
    given = {name: text(context, name, "") for name in DOORS if context.get(name)}
    try:
        return Doors(**given).checked()
    except handlers_settings.SettingError as refused:
        # The room's name of the variable is the deployment's name of the setting.
        name, _, complaint = str(refused).removeprefix("THEROUTER_").partition(" ")
        raise SettingError(f"{name.lower()} {complaint}") from refused
