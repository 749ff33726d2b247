"""Counters, gauges and histograms whose label values are enumerations; exposed as Prometheus text.

Rules
    A metric declares its labels with the values they may take; anything else is counted under "other", so neither a model
    name nor a key can become a series (A86, C18). Increments are one dictionary update: no lock, since one event loop owns
    a registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

OTHER = "other"
M = TypeVar("M", bound="Metric")


class Metric(ABC):
    """What all metrics have: a name, a help text and labels with their allowed values."""

    kind = "untyped"

    def __init__(self, name: str, meaning: str, labels: dict[str, Iterable[str]] | None = None) -> None:
        self.name = name
        self.meaning = meaning
        self.labels = {label: frozenset(values) | {OTHER} for label, values in (labels or {}).items()}
        self._allowed = tuple(self.labels.values())

    def _admit(self, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(v if v in allowed else OTHER for v, allowed in zip(values, self._allowed, strict=True))

    def _series(self, values: tuple[str, ...], extra: str = "") -> str:
        parts = [f'{label}="{value}"' for label, value in zip(self.labels, values, strict=True)]
        if extra:
            parts.append(extra)
        return "{" + ",".join(parts) + "}" if parts else ""

    @abstractmethod
    def lines(self) -> Iterable[str]:
        """The samples as exposition lines."""


class Counter(Metric):
    """A count that only grows."""

    kind = "counter"

    def __init__(self, name: str, meaning: str, labels: dict[str, Iterable[str]] | None = None) -> None:
        super().__init__(name, meaning, labels)
        self._values: dict[tuple[str, ...], int] = {}

    def add(self, *values: str, amount: int = 1) -> None:
        """Count under these label values."""
        if values not in self._values:
            values = self._admit(values)
        self._values[values] = self._values.get(values, 0) + amount

    def value(self, *values: str) -> int:
        """The count under these label values."""
        return self._values.get(values, 0)

    def lines(self) -> Iterable[str]:
        """One line per series."""
        for values, count in sorted(self._values.items()):
            yield f"{self.name}{self._series(values)} {count}"


class Gauge(Metric):
    """A number read at the time of the scrape."""

    kind = "gauge"

    def __init__(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        super().__init__(name, meaning)
        self._read = read

    def lines(self) -> Iterable[str]:
        """One line."""
        yield f"{self.name} {self._read():g}"


class Histogram(Metric):
    """A distribution over fixed bucket bounds."""

    kind = "histogram"

    def __init__(
        self, name: str, meaning: str, bounds: tuple[float, ...], labels: dict[str, Iterable[str]] | None = None
    ) -> None:
        super().__init__(name, meaning, labels)
        self._bounds = bounds
        self._series_counts: dict[tuple[str, ...], list[float]] = {}

    def observe(self, amount: float, *values: str) -> None:
        """Count one observation; the last two slots of a series are its count and its sum."""
        counts = self._series_counts.get(values)
        if counts is None:
            values = self._admit(values)
            counts = self._series_counts.setdefault(values, [0.0] * (len(self._bounds) + 3))
        counts[bisect_left(self._bounds, amount)] += 1
        counts[-2] += 1
        counts[-1] += amount

    def lines(self) -> Iterable[str]:
        """Cumulative buckets, sum and count of each series."""
        for values, counts in sorted(self._series_counts.items()):
            cumulative = 0.0
            for bound, count in zip((*self._bounds, float("inf")), counts, strict=False):
                cumulative += count
                edge = "+Inf" if bound == float("inf") else f"{bound:g}"
                label = f'le="{edge}"'
                yield f"{self.name}_bucket{self._series(values, label)} {cumulative:g}"
            yield f"{self.name}_sum{self._series(values)} {counts[-1]:g}"
            yield f"{self.name}_count{self._series(values)} {counts[-2]:g}"


class Registry:
    """All metrics of one process."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, metric: M) -> M:
        """Register a metric under its name."""
        if metric.name in self._metrics:
            raise ValueError(f"the metric {metric.name} is registered twice")
        self._metrics[metric.name] = metric
        return metric

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())

    def exposition(self) -> bytes:
        """All metrics as Prometheus text."""
        lines: list[str] = []
        for metric in self._metrics.values():
            lines += (f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}")
            lines += metric.lines()
        return ("\n".join(lines) + "\n").encode()
