"""Metrics are printed as tables that a person can read."""

from galaxy_edge.cli.terminal.training_progress import classifier_table, format_scores


def test_a_classifier_is_a_table_without_json():
    """`eval classifier` printed its JSON object, confusion matrix included."""
    metrics = {"images": 5, "accuracy": 0.8, "macro_f1": 0.75, "coarse_accuracy": 1.0, "ece": 0.1}
    text = classifier_table({"all": metrics | {"recall": {"smooth_round": 0.5, "spiral_tight": None}}})
    assert [line.split() for line in text.splitlines()] == [
        ["all"], ["images", "5"], ["accuracy", "0.800"], ["macro", "F1", "0.750"],
        ["coarse", "group", "accuracy", "1.000"], ["calibration", "error", "0.100"],
        ["recall", "of", "smooth_round", "0.500"], ["recall", "of", "spiral_tight", "-"],
    ]  # fmt: skip


def test_a_detector_has_a_line_for_each_score():
    """`train detector` printed a JSON object."""
    assert format_scores({"map50": 0.5, "map50_gz_frames": None}) == "map50            0.500\nmap50_gz_frames  -"
