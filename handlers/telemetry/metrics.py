"""Counters, gauges and histograms whose label values are enumerations; exposed as Prometheus text.

Rules
    A metric declares its labels with the values they may take; anything else is counted under "other", so neither a model
    name nor a key can become a series (A86, C18). Increments are plain additions: no lock, since one event loop owns a
    registry. Whoever counts under the same labels again and again keeps the series.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
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


class Count:
    """One series of a counter: add to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Counter(Metric):
    """A count that only grows."""

    kind = "counter"

    def __init__(self, name: str, meaning: str, labels: dict[str, Iterable[str]] | None = None) -> None:
        super().__init__(name, meaning, labels)
        self._counts: dict[tuple[str, ...], Count] = {}

    def series(self, *values: str) -> Count:
        """The count under these label values."""
        count = self._counts.get(values)
        if count is None:
            count = self._counts.setdefault(self._admit(values), Count())
        return count

    def add(self, *values: str, amount: int = 1) -> None:
        """Count under these label values."""
        self.series(*values).value += amount

    def value(self, *values: str) -> int:
        """What has been counted under these label values."""
        count = self._counts.get(values)
        return 0 if count is None else count.value

    def lines(self) -> Iterable[str]:
        """One line per series."""
        for values, count in sorted((values, count.value) for values, count in self._counts.items()):
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


class Distribution:
    """One series of a histogram."""

    __slots__ = ("bounds", "buckets", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, amount: float) -> None:
        """Count one observation."""
        self.total += amount
        for bucket, bound in enumerate(self.bounds):
            if amount <= bound:
                self.buckets[bucket] += 1
                return
        self.buckets[-1] += 1


class Histogram(Metric):
    """A distribution over fixed bucket bounds."""

    kind = "histogram"

    def __init__(
        self, name: str, meaning: str, bounds: tuple[float, ...], labels: dict[str, Iterable[str]] | None = None
    ) -> None:
        super().__init__(name, meaning, labels)
        self._bounds = bounds
        self._distributions: dict[tuple[str, ...], Distribution] = {}

    def series(self, *values: str) -> Distribution:
        """The distribution under these label values."""
        found = self._distributions.get(values)
        if found is None:
            found = self._distributions.setdefault(self._admit(values), Distribution(self._bounds))
        return found

    def observe(self, amount: float, *values: str) -> None:
        """Count one observation under these label values."""
        self.series(*values).observe(amount)

    def lines(self) -> Iterable[str]:
        """Cumulative buckets, sum and count of each series."""
        for values in sorted(self._distributions):
            found = self._distributions[values]
            edges = (*(f"{bound:g}" for bound in self._bounds), "+Inf")
            for edge, cumulative in zip(edges, accumulate(found.buckets), strict=True):
                label = f'le="{edge}"'
                yield f"{self.name}_bucket{self._series(values, label)} {cumulative}"
            yield f"{self.name}_sum{self._series(values)} {found.total:g}"
            yield f"{self.name}_count{self._series(values)} {sum(found.buckets)}"


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
