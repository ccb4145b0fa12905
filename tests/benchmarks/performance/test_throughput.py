"""The throughput benchmarks run and report what they claim.

The counts are too small for meaningful figures.
"""

import pytest
from galaxy_edge.benchmarks.accuracy.stacking import recall_by_depth
from galaxy_edge.benchmarks.performance.command import measure_command
from galaxy_edge.benchmarks.performance.throughput import Measure, decoding, empty_sky, overhead, overlap
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path


@pytest.fixture(scope="module")
def measure():
    return Measure()


def test_the_time_inside_the_network_is_part_of_a_frames_time(measure):
    for row in overhead(measure, frames=3, rounds=1).values():
        assert 0 < row["inference_ms"] < row["frame_ms"]
        assert row["overhead_share"] == pytest.approx(1 - row["inference_ms"] / row["frame_ms"], abs=0.01)
        assert 0 <= row["least_share"] < 1


def test_loops_are_compared_by_their_frames_a_second(measure):
    for row in overlap(measure, frames=4, rounds=1).values():
        assert row["at_once_by_in_turn"] == pytest.approx(row["at_once_fps"] / row["in_turn_fps"], rel=0.01)
        assert row["slowest_fps"] == pytest.approx(1e3 / row["stage_ms"][row["slowest_stage"]], rel=0.02)
        assert row["stage_ms"][row["slowest_stage"]] == max(row["stage_ms"].values())


def test_empty_sky_needs_one_view_and_its_full_cost_is_every_tile(measure):
    rows = empty_sky(measure, frames=3, rounds=1)
    step = 0.75 * measure.detector.bundle.input_size[0]  # tiles overlap by a quarter
    sizes = ((640, 480), (1920, 1080))
    assert [row["views"] for row in rows.values()] == [1 + round(w / step) * round(h / step) for w, h in sizes]
    assert all(row["spared_ms"] < row["full_ms"] for row in rows.values())


def test_decoding_is_timed_for_the_anchors_of_that_size(measure):
    # At 320 pixels level 3 has 40 cells a side, level 4 has 20, ...; two sizes and three shapes each.
    anchors = measure.detector.bundle.manifest.detector_decode.anchors
    levels = range(anchors.min_level, anchors.max_level + 1)
    assert decoding(rounds=3)["anchors"] == 2 * 3 * sum((-(-320 // 2**level)) ** 2 for level in levels)


def test_the_command_is_measured_as_a_process_of_its_own():
    row = measure_command(rounds=1, frames=4)
    assert 50 < row["peak_memory_mib"] < 400 and 0 < row["first_detection_best_s"] <= row["first_detection_s"]


def test_stacks_are_judged_by_the_galaxies_they_show(shared_data):
    result = recall_by_depth(Bundle.load(shipped_bundle_path("galaxy-detector")), shared_data, scenes=2, depths=(1, 3))
    assert result["galaxies"] >= 1 and set(result["depths"]) == {"0", "1", "3"}
    assert all(0 <= row["recall"] <= 1 and row["false_a_frame"] >= 0 for row in result["depths"].values())
