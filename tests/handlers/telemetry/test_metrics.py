"""Metrics: enumerated labels only, and an exposition that Prometheus reads."""

from __future__ import annotations

import pytest

from handlers.telemetry.metrics import Counter, Gauge, Histogram, Registry


@pytest.mark.claim("C18", "A86")
def test_c18_values_outside_the_enumeration_are_counted_as_other() -> None:
    counter = Counter("c", "meaning", {"provider": ("openai",)})
    for number in range(10_000):
        counter.add(f"sk-{number}")
    counter.add("openai")
    assert list(counter.lines()) == ['c{provider="openai"} 1', 'c{provider="other"} 10000']


@pytest.mark.claim("C18", "A86")
def test_c18_histograms_are_bounded_as_well() -> None:
    histogram = Histogram("h", "meaning", (1.0,), {"provider": ("openai",)})
    for number in range(1_000):
        histogram.observe(0.5, f"model-{number}")
    assert 'h_count{provider="other"} 1000' in list(histogram.lines())


def test_buckets_are_cumulative_and_include_their_bound() -> None:
    histogram = Histogram("h", "meaning", (1.0, 2.0))
    for amount in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(amount)
    assert list(histogram.lines()) == [
        'h_bucket{le="1"} 2', 'h_bucket{le="2"} 3', 'h_bucket{le="+Inf"} 4', "h_sum 12", "h_count 4",
    ]  # fmt: skip


def test_the_exposition_names_every_metric_once() -> None:
    registry = Registry()
    registry.add(Counter("a_total", "Things."))
    registry.add(Gauge("b", "Now.", lambda: 1.5))
    assert (
        registry.exposition()
        == b"# HELP a_total Things.\n# TYPE a_total counter\n# HELP b Now.\n# TYPE b gauge\nb 1.5\n"
    )
    with pytest.raises(ValueError, match="twice"):
        registry.add(Counter("b", "Again."))
