"""Metrics are printed as tables that a person can read."""

import pytest
from galaxy_edge.cli.terminal.training_progress import (
    TrainingProgress,
    classifier_table,
    format_metrics,
    format_scores,
    show_training,
)
from galaxy_edge.training.run import RunRecord


def test_a_classifier_is_a_table_without_json():
    """`eval classifier` printed its JSON object, confusion matrix included."""
    metrics = {"images": 5, "accuracy": 0.8, "macro_f1": 0.75, "coarse_accuracy": 1.0, "ece": 0.1}
    text = classifier_table({"all": metrics | {"recall": {"smooth_round": 0.5, "spiral_tight": None}}})
    assert [line.split() for line in text.splitlines()] == [
        ["all"], ["images", "5"], ["accuracy", "0.800"], ["macro", "F1", "0.750"],
        ["coarse", "group", "accuracy", "1.000"], ["calibration", "error", "0.100"],
        ["recall", "of", "smooth_round", "0.500"], ["recall", "of", "spiral_tight", "-"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "abstention threshold of 0.75: measuring the accuracy above it needs more images, or a longer training"),
        ({"coverage": 0.0}, "above the abstention threshold of 0.75: 0.0% of the images"),
        (
            {"coverage": 0.5, "accuracy": 0.9},
            "above the abstention threshold of 0.75: 50.0% of the images, 90.0% of them correct",
        ),
    ],
)
def test_a_threshold_is_printed_with_what_is_known_of_it(known, said):
    """A training on few images ended in an error: it had no measured coverage."""
    metrics = {"images": 40, "accuracy": 0.8, "macro_f1": 0.75, "coarse_accuracy": 1.0, "ece": None, "recall": {}}
    text = format_metrics(metrics | {"sets": {}, "abstain": {"threshold": 0.75} | known})
    assert text.splitlines()[-1] == said


def test_a_detector_has_the_same_table_as_a_classifier():
    """`train detector` printed a JSON object, and then one name of a metric a line."""
    text = format_scores({"map50": 0.5, "map": 0.2, "map50_gz_frames": None, "false_sdss_starfields": 0.1})
    assert [line.split() for line in text.splitlines()] == [
        ["all", "gz_frames", "sdss_starfields"], ["mAP@0.5", "0.500", "-", "-"],
        ["mAP@0.5:0.95", "0.200", "-", "-"], ["false", "detections", "per", "frame", "-", "-", "0.100"],
    ]  # fmt: skip


@pytest.fixture
def seconds():
    """A clock that a test sets."""
    return [0.0]


@pytest.fixture
def progress(seconds):
    return TrainingProgress(lambda: seconds[0])


def test_without_a_terminal_there_is_a_line_for_each_epoch_and_one_a_minute(progress, seconds, capsys):
    """In a log of a service or of nohup nothing was to be seen until the end."""
    with progress:
        for epoch in (1, 2):
            for step in range(1, 11):
                seconds[0] += 10
                progress.report({"epoch": epoch, "epochs": 2, "step": step, "steps": 10, "loss": 0.5})
            progress.report({"epoch": epoch, "epochs": 2, "steps": 10, "loss": 0.5, "macro_f1": 0.25})
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "expected" not in line] == [
        "epoch 1/2  loss 0.5000  step 6/10",
        "epoch 1/2  loss 0.5000  macro_f1 0.2500  about 2 minutes left",
        "epoch 2/2  loss 0.5000  step 6/10  about 40 seconds left",
        "epoch 2/2  loss 0.5000  macro_f1 0.2500",
    ]


def test_time_and_memory_expected_are_printed_after_the_first_steps(progress, seconds, capsys):
    """The first steps, in which the graph is built, do not count."""
    for step, taken in enumerate((60, 60, 2, 2, 2, 2, 2, 2), 1):
        seconds[0] += taken
        progress.report({"epoch": 1, "epochs": 30, "step": step, "steps": 20, "loss": 0.5})
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "expected" in line]
    assert (
        line.startswith("expected: about 20 minutes for 30 epochs, measured over the first 5 steps") and "GiB" in line
    )


def test_a_network_that_finds_nothing_is_named_so(tmp_path, capsys):
    """A figure near nothing is no result: the summary says what to do."""
    for map50, said in ((0.01, True), (0.4, False)):
        record = RunRecord("detect", {}, {}, metrics={"map50": map50})
        show_training(lambda report, record=record: record, tmp_path)
        assert ("finds nothing yet (mAP@0.5 0.010): train longer" in capsys.readouterr().err) == said
