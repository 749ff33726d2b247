"""Machine sizes of the stages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Machine sizes of a stage."""

    gateway_node: str
    provider_node: str
    database: str
    key_store: str


SIZES = {
    "production": Sizes(
        gateway_node="ecs.g8y.xlarge",
        provider_node="ecs.g8y.large",
        database="pg.x4m.xlarge.2c",
        key_store="software",
    ),
    "staging": Sizes(
        gateway_node="ecs.g8y.large",
        provider_node="ecs.g8y.large",
        database="pg.n2m.medium.2c",
        key_store="software-small",
    ),
    "small": Sizes(
        gateway_node="ecs.g8y.large",
        provider_node="ecs.g8y.large",
        database="pg.n2m.small.1",
        key_store="software-small",
    ),
}
