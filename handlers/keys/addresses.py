"""Where a request comes from, for keys that are bound to IP ranges. Pure.

Behind an edge the connection's other end is a load balancer, and what a client writes into its own headers proves nothing. The
edge puts the client's address into one header (settings.EDGE_HEADERS), over whatever the client sent under that name, and
nothing but the edge reaches the load balancer. The address is used here and kept nowhere.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network


def told_address(region: str, value: str) -> str:
    """The address in the edge's header; empty when there is none."""
    address = value.rpartition(":")[0] if region == "global" else value
    return address.strip().strip("[]")


def inside(address: str, ranges: tuple[str, ...]) -> bool:
    """Whether the address lies in one of the networks; an unreadable one lies in none."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found.version == _network(cidr).version and found in _network(cidr) for cidr in ranges)


@lru_cache(maxsize=4096)
def _network(cidr: str) -> IPv4Network | IPv6Network:
    return ip_network(cidr, strict=False)
