"""`galaxy-edge eval`: situations beside their baselines, curves over the score, and where both networks lose galaxies."""

import json

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.curves import LEVELS, curves
from galaxy_edge.benchmarks.accuracy.evaluate import held_out_samples
from galaxy_edge.benchmarks.accuracy.pipeline import GalaxyOutcome, _summarise, evaluate_pipeline
from galaxy_edge.benchmarks.accuracy.report import detector_table, pipeline_table
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.detection_metrics import DetectionTruth
from galaxy_edge.training.data.sample import DataError, Sample, in_share, read_set
from helpers.command_line import galaxy_edge as command_line
from helpers.labelled_sets import make_labelled, make_sets


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"))


def test_eval_detector_tells_every_situation_and_writes_a_report(tiny_models, sets, tmp_path):
    words = ("eval", "detector", "--bundle", tiny_models / "galaxy-detector", "--data", sets)
    done = command_line(*words, "--json", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["situations"]) >= {"gz_frames", "gz_off_centre", "composed", "deepsky_frames", "sdss_starfields"}
    centred, moved = (told["situations"][name]["centre_box"]["map50"] for name in ("gz_frames", "gz_off_centre"))
    assert centred > moved  # what a constant box is worth where galaxies are not in the middle
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == told
    assert (tmp_path / "report" / "scores.png").stat().st_size > 1000
    table = (tmp_path / "report" / "report.md").read_text()
    # A row a situation, and one of each baseline below it, in both tables.
    assert table == detector_table(told) and set(told["situations"]["gz_frames"]["sep"]) >= {
        "ar10",
        "precision",
        "sizes",
    }
    boxed = sum(found["boxes"] > 0 for found in told["situations"].values())
    for title in ("| constant box in the middle |", "| SEP, extended sources |"):
        assert table.count(title) == len(told["situations"]) + boxed
    shown = command_line(*words)
    assert shown.returncode == 0 and "the same, off centre" in shown.stdout


def test_a_folder_that_cannot_be_made_is_told_before_the_work(tiny_models, sets, tmp_path):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file" / "report", "/proc/report"):
        done = command_line(
            "eval", "detector", "--bundle", tiny_models / "galaxy-detector", "--data", sets, "--out", out
        )
        assert (
            done.returncode == 1 and f"--out {out} cannot be made: " in done.stderr and "unexpected" not in done.stderr
        )
        assert done.stdout == ""


def test_eval_pipeline_tells_where_galaxies_are_lost(tiny_models, sets):
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
    told = json.loads(done.stdout)
    for found in (one for of in told.values() for one in (of, of["centre_box"], of["sep"])):
        assert 0 <= found["found"] <= 1 and found["galaxies"] > 0
        for kind in ("classes", "groups"):
            if found[kind]:
                steps = [found[kind][key] for key in ("right", "lost_unfound", "lost_by_frame", "lost_by_name")]
                assert sum(steps) == pytest.approx(1)
                assert found[kind]["found"] == pytest.approx(1 - found[kind]["lost_unfound"])
    table = pipeline_table(told)
    assert "lost by the frame" in table and table.count("| constant box in the middle |") == len(told)
    # The constant box is found where the galaxies are in the middle; it is named by the same classifier.
    assert told["gz_frames"]["centre_box"]["found"] > told["gz_off_centre"]["centre_box"]["found"]


def test_each_galaxy_is_lost_once():
    def fate(found, named, named_true, label=0, coarse="disk_no_spiral"):
        return GalaxyOutcome(Sample("s", "f", None, "f", label=label, coarse=coarse), found, named, named_true)

    # Right; not found (whatever it would have been named); by the frame; by the name, within the right group.
    fates = [
        fate(True, 0, 0),
        fate(False, 0, 0),
        fate(True, 3, 0),
        fate(True, 2, 2, label=1, coarse="smooth"),
        fate(True, 0, 0, label=-1, coarse=""),
        fate(True, 6, 6, label=-1, coarse="spiral"),
    ]
    found = _summarise(fates)
    assert found["galaxies"] == 6 and found["found"] == pytest.approx(5 / 6)
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
    assert _summarise(fates[4:5])["classes"] is None


def test_unseen_leaves_what_was_trained_on(tiny_models, sets):
    bundle = Bundle.load(tiny_models / "galaxy-detector", "detect")
    samples = read_set(sets)
    bundle.manifest["data"] = {"sets": {"gz_frames": 8}, "split": {"seed": 4, "validation_share": 0.5}}
    kept = held_out_samples(samples, [bundle], sets)
    assert 0 < len(kept) < len(samples)
    for sample in samples:
        never = sample.set != "gz_frames" or in_share(sample.digest(), 0.5, 4)
        assert (sample in kept) == never
    # A share kept for the last judgement counts, not the one that the network was chosen on.
    bundle.manifest["data"]["split"]["test_share"] = 0.0
    assert not any(sample.set == "gz_frames" for sample in held_out_samples(samples, [bundle], sets))
    with pytest.raises(DataError, match="every picture"):
        held_out_samples([sample for sample in samples if sample.set == "gz_frames"], [bundle], sets)
    bundle.manifest["data"] = {"sets": {}}
    with pytest.raises(DataError, match="does not say"):
        held_out_samples(samples, [bundle], sets)


def test_unseen_parts_the_pictures_of_a_classifier_as_its_training_did(tiny_models, tmp_path):
    """Its duplicates went with their groups, so that a hash alone does not say in which part a picture is."""
    pytest.importorskip("keras")
    from galaxy_edge.training.classifier.dataset_files import load_dataset
    from galaxy_edge.training.classifier.partition import split_dataset

    folder, bundle = make_labelled(tmp_path, 20), Bundle.load(tiny_models / "galaxy-classifier", "classify")
    parts = split_dataset(load_dataset(folder, bundle.manifest["preprocess"]["margin"], unnamed=True), 2)
    bundle.manifest["data"] = {"sets": {"efigi": 54}, "split": parts.record}
    kept = {sample.digest() for sample in held_out_samples(read_set(folder), [bundle], folder)}
    assert kept == {*parts.validation.ids, *parts.test.ids} and not kept & set(parts.train.ids)
    bundle.manifest["data"]["split"] = parts.record | {"hash": "of others"}
    with pytest.raises(DataError, match="holds other pictures than the bundle"):
        held_out_samples(read_set(folder), [bundle], folder)


def test_curves_count_what_is_right_above_each_score():
    truth = DetectionTruth(np.array([[0, 0, 10, 10], [20, 20, 40, 40]]))
    frames = [
        (truth, np.array([[0, 0, 10, 10], [60, 60, 70, 70], [20, 20, 40, 41]]), np.array([0.92, 0.52, 0.32])),
        (DetectionTruth(negative=True), np.array([[0, 0, 5, 5]]), np.array([0.42])),
        (DetectionTruth(negative=True), np.zeros((0, 4)), np.zeros(0)),
    ]
    found = curves(frames)
    at = {row["score"]: row for row in found["levels"]}
    assert tuple(at) == LEVELS
    assert at[0.9] == {"score": 0.9, "precision": 1.0, "recall": 0.5, "fp_per_frame": 0.0}
    assert at[0.4] == {"score": 0.4, "precision": pytest.approx(1 / 3), "recall": 0.5, "fp_per_frame": 0.5}
    assert at[0.05]["recall"] == 1.0 and at[0.95]["precision"] is None
    assert [row["detections"] for row in found["calibration"]] == [1, 1, 1, 1]
    assert [row["right"] for row in found["calibration"]] == [1.0, 0.0, 0.0, 1.0]
    nothing = curves([(DetectionTruth(), np.zeros((0, 4)), np.zeros(0))])
    assert nothing["calibration"] == [] and nothing["levels"][0]["recall"] is None


def test_a_set_without_boxed_galaxies_is_no_test_of_the_pipeline(tiny_models, sets):
    detect, classify = (
        Bundle.load(tiny_models / f"galaxy-{name}", task)
        for name, task in (("detector", "detect"), ("classifier", "classify"))
    )
    with pytest.raises(DataError, match="no galaxy with a box"):
        evaluate_pipeline(detect, classify, sets / "sdss_starfields", "int8", "litert", 1, lambda done, of: None)
