"""The summary at the end of a run."""

from collections import Counter

import pytest
from galaxy_edge.runtime.monitoring.live_table import found_text, print_summary
from galaxy_edge.runtime.monitoring.run_stats import RunStats


@pytest.mark.parametrize(
    ("galaxies", "classes", "sentence"),
    [
        (0, {}, "Found no galaxies."),
        (1, {"smooth_round": 1}, "Found 1 galaxy: 1 round smooth."),
        (
            10,
            {"smooth_round": 1, "galaxy, class uncertain": 9},
            "Found 10 galaxies: 9 of uncertain shape, 1 round smooth.",
        ),
        (4, {"spiral_tight": 3, "spiral galaxy": 1}, "Found 4 galaxies: 3 spiral with tight arms, 1 spiral."),
        (2, {"edge_on_rounded_bulge": 2}, "Found 2 galaxies: 2 edge-on with a round bulge."),
        (1, {"my_own_class": 1}, "Found 1 galaxy: 1 my own class."),
        (2, {}, "Found 2 galaxies."),
    ],
)
def test_the_end_of_a_run_is_a_sentence(galaxies, classes, sentence):
    assert found_text(galaxies, Counter(classes)) == sentence


def test_the_sentence_gives_names_of_the_catalogue_first_and_uncounted():
    classes = Counter({"spiral_tight": 1, "NGC 4736": 1, "M 51": 1})
    assert found_text(3, classes, {"M 51", "NGC 4736"}) == "Found 3 galaxies: M 51, NGC 4736, 1 spiral with tight arms."


def test_the_sentence_is_one_line_and_timings_are_shown_on_request(capsys):
    """A sentence longer than the terminal is not broken where it is copied from."""
    stats = RunStats(frames=1, events=12, seconds=2.0)
    stats.classes = Counter({"galaxy, class uncertain": 5, "edge_on_rounded_bulge": 4, "edge_on_no_bulge": 3})
    print_summary(stats, {}, err=False)
    text = capsys.readouterr().out
    assert text.splitlines()[-2:] == [
        "Found 12 galaxies: 5 of uncertain shape, 4 edge-on with a round bulge, 3 edge-on without a bulge.", "1 frame in 2 s",
    ]  # fmt: skip
    assert "median ms" not in text
    print_summary(stats, {}, err=False, timings=True)
    assert "median ms" in capsys.readouterr().out


def test_detections_that_did_not_count_are_explained(capsys):
    """The first frames of a user are often one or two."""
    print_summary(RunStats(frames=2, detections=2, seconds=1.0), {}, err=False)
    assert "2 detections did not count: an object counts once it has been seen in 3 frames" in capsys.readouterr().out
    print_summary(RunStats(frames=2, detections=2, not_galaxies={"NGC 7023, reflection nebula"}), {}, err=False)
    assert "did not count" not in capsys.readouterr().out
