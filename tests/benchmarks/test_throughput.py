"""The commands that measure the loop measure what they say, with counts so small that their figures mean nothing."""

import pytest
from galaxy_edge.benchmarks.stacking import recall_by_depth
from galaxy_edge.benchmarks.throughput import Measure, command, decoding, empty_sky, overhead, overlap
from galaxy_edge.models.bundle import Bundle, shipped


@pytest.fixture(scope="module")
def measure():
    return Measure()


def test_the_time_inside_the_network_is_part_of_a_frames_time(measure):
    for row in overhead(measure, frames=3, rounds=1).values():
        assert 0 < row["inference_ms"] < row["frame_ms"]
        assert row["overhead_share"] == pytest.approx(1 - row["inference_ms"] / row["frame_ms"], abs=0.01)


def test_loops_are_compared_by_their_frames_a_second(measure):
    for row in overlap(measure, frames=4, rounds=1).values():
        assert row["at_once_by_in_turn"] == pytest.approx(row["at_once_fps"] / row["in_turn_fps"], rel=0.01)
        assert row["slowest_fps"] == pytest.approx(1e3 / row["stage_ms"][row["slowest_stage"]], rel=0.02)
        assert row["stage_ms"][row["slowest_stage"]] == max(row["stage_ms"].values())


def test_an_empty_sky_is_looked_at_once_and_its_full_cost_is_every_tile(measure):
    rows = empty_sky(measure, frames=3, rounds=1)
    assert [row["views"] for row in rows.values()] == [1 + 3 * 2, 1 + 10 * 6]
    assert all(row["spared_ms"] < row["full_ms"] for row in rows.values())


def test_decoding_is_timed_for_the_anchors_of_that_size():
    # Levels 3 to 7 of 320 pixels: 40, 20, 10, 5 and 3 cells a side, two sizes and three shapes each.
    assert decoding(rounds=3)["anchors"] == 6 * sum(side**2 for side in (40, 20, 10, 5, 3))


def test_the_command_is_measured_as_a_process_of_its_own():
    row = command(rounds=1, frames=4)
    assert 50 < row["peak_memory_mib"] < 400 and 0 < row["first_detection_best_s"] <= row["first_detection_s"]


def test_stacks_are_judged_by_the_galaxies_they_show(shared_data):
    result = recall_by_depth(Bundle.load(shipped("galaxy-detector")), shared_data, scenes=2, depths=(1, 3))
    assert result["galaxies"] >= 1 and set(result["depths"]) == {"0", "1", "3"}
    assert all(0 <= row["recall"] <= 1 and row["false_a_frame"] >= 0 for row in result["depths"].values())
