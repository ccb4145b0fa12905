"""Stage timings over a whole night."""

import pytest
from galaxy_edge.runtime.timing import WINDOW, StageClock


def test_stage_times_take_no_more_memory_in_a_long_night():
    """Medians are made of the last frames only; the count is of all."""
    clock = StageClock()
    for number in range(WINDOW + 10):
        clock.add({"detect": float(number)})
    assert clock.table()["detect"]["count"] == WINDOW + 10
    assert clock.table()["detect"]["median_ms"] == pytest.approx(10 + (WINDOW - 1) / 2)
