"""`galaxy-edge eval`: situations, baselines, score curves, and lost galaxies."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.curves import LEVELS, curves, recall_by_size
from galaxy_edge.benchmarks.accuracy.evaluate import held_out_samples
from galaxy_edge.benchmarks.accuracy.pipeline import GalaxyOutcome, evaluate_pipeline, summarise
from galaxy_edge.benchmarks.accuracy.records.evaluation import DetectorResult, PipelineSituation
from galaxy_edge.benchmarks.accuracy.report import detector_table, pipeline_table
from galaxy_edge.models import intervals
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.detection_metrics import DetectionTruth
from galaxy_edge.models.intervals import wilson_interval
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.data.splits import in_share
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes.evaluation_scenes import EvaluationScenes
from helpers.command_line import galaxy_edge_in_process as command_line
from helpers.labelled_sets import make_labelled, make_sets

pytestmark = pytest.mark.usefixtures("few_scenes")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Intervals are tested elsewhere."""
    monkeypatch.setattr(intervals, "DRAWS", 4)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"))


def test_eval_detector_reports_every_situation_and_writes_files(tiny_models, sets, tmp_path):
    """Printed JSON, report.json and report.md agree, and all contain the baselines."""
    words = ("eval", "detector", "--bundle", tiny_models / "galaxy-detector", "--data", sets)
    done = command_line(*words, "--json", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result["situations"]) >= {"gz_frames", "gz_off_centre", "composed", "deepsky_frames", "sdss_starfields"}
    centred, moved = (result["situations"][name]["centre_box"]["map50"] for name in ("gz_frames", "gz_off_centre"))
    assert centred > moved  # galaxies are off centre, so the constant box must fail
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == result
    assert (tmp_path / "report" / "scores.png").stat().st_size > 1000
    table = (tmp_path / "report" / "report.md").read_text()
    # Both tables have a row per situation, followed by one per baseline.
    assert table == detector_table(DetectorResult.from_dict(result))
    assert DetectorResult.from_dict(result).to_dict() == result
    assert set(result["situations"]["gz_frames"]["sep"]) >= {"ar10", "precision", "sizes"}
    boxed = sum(found["boxes"] > 0 for found in result["situations"].values())
    for title in ("| constant centre box |", "| SEP, extended sources |", "| SEP, filter and boxes fitted |"):
        assert table.count(title) == len(result["situations"]) + boxed
    tiled = command_line(*words, "--tiles", "2x2")
    assert tiled.returncode == 0 and "the same, off centre" in tiled.stdout and tiled.stdout != table
    assert "e.g. 3x2, not '2'" in command_line(*words, "--tiles", "2").stderr


def test_folder_that_cannot_be_created_is_reported_before_the_work(tiny_models, sets, tmp_path):
    """An evaluation takes minutes; its result must not be lost at the end."""
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "report", "/proc/report"):
        done = command_line(
            "eval", "detector", "--bundle", tiny_models / "galaxy-detector", "--data", sets, "--out", out
        )
        assert (
            done.returncode == 1
            and f"--out {out} cannot be created: " in done.stderr
            and "unexpected" not in done.stderr
        )
        assert done.stdout == ""


def test_eval_pipeline_reports_where_galaxies_are_lost(tiny_models, sets):
    """Shares of every situation and baseline must add up."""
    done = command_line(
        "eval",
        "pipeline",
        "--detector",
        tiny_models / "galaxy-detector",
        "--classifier",
        tiny_models / "galaxy-classifier",
        "--data",
        sets,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for found in (
        part for whole in result.values() for part in (whole, whole["centre_box"], whole["sep"], whole["sep_tuned"])
    ):
        assert 0 <= found["found"] <= 1 and found["galaxies"] > 0
        for kind in ("classes", "groups"):
            if found[kind]:
                steps = [found[kind][key] for key in ("right", "lost_unfound", "lost_by_frame", "lost_by_name")]
                assert sum(steps) == pytest.approx(1)
                assert found[kind]["found"] == pytest.approx(1 - found[kind]["lost_unfound"])
    records = {name: PipelineSituation.from_dict(found) for name, found in result.items()}
    table = pipeline_table(records)
    assert "lost by the box" in table and table.count("| constant centre box |") == len(result)
    # The constant box matches galaxies in the middle only.
    assert result["gz_frames"]["centre_box"]["found"] > result["gz_off_centre"]["centre_box"]["found"]


def test_each_galaxy_is_lost_once():
    """Causes exclude each other.

    Shares add up to 1, also for groups and without labels.
    """

    def outcome(found, predicted, predicted_from_truth, label=0, coarse="disk_no_spiral"):
        return GalaxyOutcome(
            Sample("s", "f", None, "f", label=label, coarse=coarse), found, predicted, predicted_from_truth
        )

    # Correct; not found (whatever the class); lost by the box; lost by the class, within the right group.
    outcomes = [
        outcome(True, 0, 0),
        outcome(False, 0, 0),
        outcome(True, 3, 0),
        outcome(True, 2, 2, label=1, coarse="smooth"),
        outcome(True, 0, 0, label=-1, coarse=""),
        outcome(True, 6, 6, label=-1, coarse="spiral"),
    ]
    found = summarise(outcomes).to_dict()
    assert found["galaxies"] == 6 and found["found"] == pytest.approx(5 / 6)
    assert found["classes"].pop("interval") == wilson_interval(1, 4)
    assert found["groups"].pop("interval") == wilson_interval(3, 5)
    assert found["classes"] == {
        "galaxies": 4,
        "found": 0.75,
        "right": 0.25,
        "lost_unfound": 0.25,
        "lost_by_frame": 0.25,
        "lost_by_name": 0.25,
    }
    assert found["groups"] == {
        "galaxies": 5,
        "found": 0.8,
        "right": pytest.approx(0.6),
        "lost_unfound": 0.2,
        "lost_by_frame": 0.2,
        "lost_by_name": 0.0,
    }
    assert summarise(outcomes[4:5]).classes is None


def trained_on(bundle, sets, split):
    """Return a bundle that records other training data."""
    data = bundle.manifest.data._replace(sets=sets, split=split)
    return dataclasses.replace(bundle, manifest=bundle.manifest._replace(data=data))


def test_held_out_excludes_training_samples(tiny_models, sets):
    """Metrics on training samples would be too good."""
    bundle = Bundle.load(tiny_models / "galaxy-detector", "detect")
    samples = read_set(sets)
    bundle = trained_on(bundle, {"gz_frames": 8}, {"seed": 4, "validation_share": 0.5})
    kept = held_out_samples(samples, [bundle], sets)
    assert 0 < len(kept) < len(samples)
    for sample in samples:
        expected = sample.set != "gz_frames" or in_share(sample.digest(), 0.5, 4)
        assert (sample in kept) == expected
    # The test share counts, not the validation share that the network was chosen on.
    bundle = trained_on(bundle, {"gz_frames": 8}, {"seed": 4, "validation_share": 0.5, "test_share": 0.0})
    assert not any(sample.set == "gz_frames" for sample in held_out_samples(samples, [bundle], sets))
    with pytest.raises(DataError, match="every image"):
        held_out_samples([sample for sample in samples if sample.set == "gz_frames"], [bundle], sets)
    bundle = trained_on(bundle, {}, {})
    with pytest.raises(DataError, match="does not record"):
        held_out_samples(samples, [bundle], sets)


def test_held_out_repeats_the_split_of_a_classifier(tiny_models, tmp_path):
    """Duplicates are in one part, so an image's hash alone does not give its part."""
    pytest.importorskip("keras")
    from galaxy_edge.training.classifier.dataset_files import load_dataset
    from galaxy_edge.training.classifier.partition import split_dataset

    folder, bundle = make_labelled(tmp_path, 20), Bundle.load(tiny_models / "galaxy-classifier", "classify")
    parts = split_dataset(load_dataset(folder, bundle.manifest.preprocess.margin, unnamed=True), 2)
    bundle = trained_on(bundle, {"efigi": 54}, parts.record)
    kept = {sample.digest() for sample in held_out_samples(read_set(folder), [bundle], folder)}
    assert kept == {*parts.validation.ids, *parts.test.ids} and not kept & set(parts.train.ids)
    bundle = trained_on(bundle, {"efigi": 54}, parts.record | {"hash": "of others"})
    with pytest.raises(DataError, match="holds other images than those the bundle"):
        held_out_samples(read_set(folder), [bundle], folder)


def test_curves_count_true_positives_above_each_score():
    """Checked against counts by hand, including undefined values."""
    truth = DetectionTruth(np.array([[0, 0, 10, 10], [20, 20, 40, 40]]))
    frames = [
        (truth, np.array([[0, 0, 10, 10], [60, 60, 70, 70], [20, 20, 40, 41]]), np.array([0.92, 0.52, 0.32])),
        (DetectionTruth(negative=True), np.array([[0, 0, 5, 5]]), np.array([0.42])),
        (DetectionTruth(negative=True), np.zeros((0, 4)), np.zeros(0)),
    ]
    found = curves(frames)
    by_score = {row["score"]: row for row in found["levels"]}
    assert tuple(by_score) == LEVELS
    assert by_score[0.9] == {"score": 0.9, "precision": 1.0, "recall": 0.5, "fp_per_frame": 0.0}
    assert by_score[0.4] == {"score": 0.4, "precision": pytest.approx(1 / 3), "recall": 0.5, "fp_per_frame": 0.5}
    assert by_score[0.05]["recall"] == 1.0 and by_score[0.95]["precision"] is None
    assert [row["detections"] for row in found["calibration"]] == [1, 1, 1, 1]
    assert [row["right"] for row in found["calibration"]] == [1.0, 0.0, 0.0, 1.0]
    nothing = curves([(DetectionTruth(), np.zeros((0, 4)), np.zeros(0))])
    assert nothing["calibration"] == [] and nothing["levels"][0]["recall"] is None


def test_pipeline_needs_a_galaxy_with_a_box(tiny_models, sets):
    """Shares of no galaxies are undefined."""
    detect, classify = (
        Bundle.load(tiny_models / f"galaxy-{name}", task)
        for name, task in (("detector", "detect"), ("classifier", "classify"))
    )
    with pytest.raises(DataError, match="no galaxy with a box"):
        evaluate_pipeline(detect, classify, sets / "sdss_starfields", "int8", "litert", 1, lambda done, total: None)


def test_scenes_that_chose_the_threshold_are_not_measured(tiny_models, sets):
    """At a threshold that was chosen on them, more galaxies are found than in others.

    It was not chosen on sets that the detector does not know.
    """
    bundles = [
        Bundle.load(tiny_models / f"galaxy-{name}", task)
        for name, task in (("detector", "detect"), ("classifier", "classify"))
    ]

    data = bundles[0].manifest.data
    data = data._replace(sets={"gz_frames": 40}, split={"seed": 1, "validation_share": 0.9})
    bundles[0] = dataclasses.replace(bundles[0], manifest=bundles[0].manifest._replace(data=data))

    def galaxies(held_out):
        found = evaluate_pipeline(*bundles, sets, "int8", "litert", 1, lambda done, total: None, held_out=held_out)
        return {name: situation.detector.galaxies for name, situation in found.items()}

    samples = held_out_samples(read_set(sets), bundles, sets)
    scenes = list(EvaluationScenes(samples, bundles[0].input_size[0], 1))
    expected = Counter()
    for scene in scenes:
        chose = scene.selects and "gz_frames" in {sample.set for sample in scene.samples}
        expected[scene.situation] += 0 if chose else len(scene.scene.boxes)
    assert galaxies(True) == {name: count for name, count in expected.items() if count}
    situations = {scene.situation for scene in scenes if scene.selects}
    assert {"gz_frames", "deepsky_frames"} <= situations and sum(galaxies(False).values()) > sum(expected.values())


def test_recall_by_size_counts_galaxies_of_that_size_only():
    """Counted by hand in images of 100 pixels."""
    small, medium, large = [10, 10, 14, 14], [40, 40, 48, 48], [50, 50, 90, 90]
    truth = DetectionTruth(np.array([small, medium, large]))
    found = np.array([small, large, [0, 60, 30, 90]])
    frames = [(truth, found, np.array([0.9, 0.6, 0.8])), (DetectionTruth(np.array([small])), found[:0], np.zeros(0))]
    assert recall_by_size(frames, 0.5, 100) == {
        "under 5 %": [1, 2],
        "5 to 10 %": [0, 1],
        "10 to 30 %": [0, 0],
        "over 30 %": [1, 1],
    }
    assert recall_by_size(frames, 0.7, 100)["over 30 %"] == [0, 1]
    assert recall_by_size([], 0.5, 100)["under 5 %"] == [0, 0]
