"""Cross-validation of the detector: early stopping, mean and spread, resuming."""

import dataclasses
import json

import numpy as np
import pytest
from galaxy_edge.benchmarks.accuracy.result_tables import save_table
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.detector.fold_table import fold_table
from galaxy_edge.training.detector.teacher import DetectorTeacher
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.run import RunError
from helpers.small_detector import SMALL


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet")
def test_folds_stop_early_and_resume(sets, tmp_path):
    """The log shows whether and when a training stopped.

    A finished fold is not trained again.
    """
    from galaxy_edge.training.detector.cross_validation import train_folds

    settings, out = dataclasses.replace(SMALL, epochs=2, patience=1), tmp_path / "run"
    result = train_folds(sets, out, settings, 2)
    for fold in (1, 2):
        lines = [json.loads(line) for line in (out / f"fold{fold}" / "log.jsonl").read_text().splitlines()]
        scores = [line["map50"] for line in lines]
        better = [score > max([-1.0, *scores[:epoch]]) for epoch, score in enumerate(scores)]
        assert all(better[:-1]) and (not better[-1] or len(lines) == settings.epochs)
        record = json.loads((out / f"fold{fold}" / "run.json").read_text())
        assert record["data"]["split"]["fold"] == fold - 1
        assert result["metrics"]["map50"]["values"][fold - 1] == record["metrics"]["map50"]
    values = result["metrics"]["map50"]["values"]
    assert result["metrics"]["map50"]["mean"] == pytest.approx(sum(values) / 2)
    assert "| mAP@0.5 |" in (out / "folds.md").read_text()
    held_out = [
        json.loads((out / f"fold{fold}" / "run.json").read_text())["data"]["split"]["validation"] for fold in (1, 2)
    ]
    assert result["images"] == held_out and (result["epochs"], result["scenes"]) == (2, settings.images_per_epoch)
    saved = save_table("detector-folds", out, tmp_path / "results")
    assert json.loads(saved.read_text())["metrics"] == result["metrics"]
    (out / "fold1").rename(tmp_path / "fold1")
    seen = []
    with pytest.raises(RunError, match=r"fold2 was started with width=0\.25, not 0\.5"):
        train_folds(sets, out, dataclasses.replace(settings, width=0.5), 2, resume=True, report=seen.append)
    assert not seen and not (out / "fold1").exists(), "all folds are checked before the first is trained"
    (tmp_path / "fold1").rename(out / "fold1")
    assert train_folds(sets, out, settings, 2, resume=True, report=seen.append) == result and not seen
    with pytest.raises(RunError, match=r"width=0\.25, not 0\.5"):  # a mean of two networks is meaningless
        train_folds(sets, out, dataclasses.replace(settings, width=0.5), 2, resume=True)
    run = out / "fold2/run.json"
    record = json.loads(run.read_text())
    run.write_text(json.dumps(record | {"metrics": record["metrics"] | {"map50": 0.123}}))
    with pytest.raises(RunError, match=r"fold2 is not a run of .*folds\.json: cross-validate again"):
        save_table("detector-folds", out, tmp_path / "results")


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet")
def test_folds_of_a_taught_detector_resume(sets, tmp_path, monkeypatch):
    """The teacher's hash was compared with the name of its folder."""
    from galaxy_edge.training.detector.cross_validation import train_folds

    settings = dataclasses.replace(SMALL, epochs=1, teacher=tmp_path / "bundle")
    anchors = anchor_grid(64, 64, **SMALL.grid)
    for module in ("fit", "cross_validation"):
        monkeypatch.setattr(
            f"galaxy_edge.training.detector.{module}.load_teacher",
            lambda folder, _: DetectorTeacher(
                lambda _: (np.zeros((len(anchors), 4), np.float32), np.full(len(anchors), -4, np.float32)),
                anchors,
                f"hash of {folder.name}",
            ),
        )
    result, seen = train_folds(sets, tmp_path / "run", settings, 2), []
    assert train_folds(sets, tmp_path / "run", settings, 2, resume=True, report=seen.append) == result and not seen
    other = dataclasses.replace(settings, teacher=tmp_path / "other")
    with pytest.raises(RunError, match="with teacher=hash of bundle, not hash of other"):
        train_folds(sets, tmp_path / "run", other, 2, resume=True)


def test_a_fold_without_a_metric_leaves_its_cell_empty():
    """The values of later folds stood under this one."""
    metrics = {"map50": {"mean": 0.5, "std": None, "values": [None, 0.5]}}
    about = {"folds": 2, "seed": 1, "network": "quick", "epochs": 1, "scenes": 16, "images": [3, 4]}
    text = fold_table(about | {"metrics": metrics})
    assert "| mAP@0.5 | 0.500 | | | 0.500 |" in text
    with pytest.raises(ValueError, match="1 values of 2 folds"):
        fold_table(about | {"metrics": {"map50": {"mean": 0.5, "std": 0.0, "values": [0.5]}}})


def test_images_without_any_box_are_named(sets, tmp_path, monkeypatch):
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    from galaxy_edge.training.detector import cross_validation

    samples = [dataclasses.replace(sample, boxes=sample.boxes[:0]) for sample in read_set(sets)]
    monkeypatch.setattr(cross_validation, "read_set", lambda *_: samples)
    with pytest.raises(DataError, match="outside of fold 1 of 2, no image has a usable box"):
        cross_validation.train_folds(sets, tmp_path / "run", SMALL, 2)
    monkeypatch.setattr(cross_validation, "read_set", lambda *_: samples[:1])
    with pytest.raises(DataError, match="has too few of the 1 images: give fewer --folds"):
        cross_validation.train_folds(sets, tmp_path / "run", SMALL, 2)
