"""Measure the cost of sinks: with viewers, and with a broker that never answers."""

import pytest
from galaxy_edge.benchmarks.performance.sinks import measure


@pytest.mark.parametrize("company", [{}, {"viewers": 1}, {"broker": True}], ids=["alone", "a viewer", "a dead broker"])
def test_time_inside_the_sinks_is_reported(company):
    row = measure(12, (160, 120), **company)
    assert 0 < row["median_ms"] <= row["p99_ms"] <= row["most_ms"]
    assert (row["pictures"] > 0) == ("viewers" in company)
