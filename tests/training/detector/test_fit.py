"""Training of the detector: a small run, its resuming, and what prevents a run."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.detector import fit
from galaxy_edge.training.detector.distributed import Workers
from galaxy_edge.training.detector.fit import train
from galaxy_edge.training.detector.teacher import DetectorTeacher
from galaxy_edge.training.mobilenet.folded import WeightsError
from galaxy_edge.training.run import RunError, lock_run_folder
from helpers.small_detector import SMALL


def test_two_processes_do_not_train_in_one_folder(sets, tmp_path):
    """Their checkpoints would overwrite each other."""
    with lock_run_folder(tmp_path / "run"), pytest.raises(RunError, match="another process writes to"):
        train(sets, tmp_path / "run", SMALL)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("short_mobilenet")
def test_run_is_complete_and_resumes(sets, tmp_path, monkeypatch):
    """The export reads every file of the run folder.

    A finished run must stay unchanged. The run has a teacher, with all that belongs to it.
    """
    grid = anchor_grid(64, 64, **SMALL.grid)
    silent = np.zeros((len(grid), 4), np.float32), np.full(len(grid), -5, np.float32)
    monkeypatch.setattr(fit, "load_teacher", lambda *_: DetectorTeacher(lambda _: silent, grid, "silent"))
    monkeypatch.setattr(fit, "find_hard_scenes", lambda *_: np.array([2, 3]))
    taught = dataclasses.replace(SMALL, teacher=tmp_path / "bundle", hard_share=0.5, scenes=(("deep_field", 0.2),))
    seen = []
    first = train(sets, tmp_path / "run", dataclasses.replace(taught, epochs=1), report=seen.append)
    assert len(seen) == 4 and seen[-2]["step"] == seen[-1]["steps"] == 3 and np.isfinite(seen[-1]["loss"])
    assert cv2.imread(str(tmp_path / "run" / "scenes.png")).shape[1] > 1500  # the sheet of training scenes
    with pytest.raises(RunError, match="resume"):
        train(sets, tmp_path / "run", taught)
    with (tmp_path / "run" / "log.jsonl").open("a") as log:  # killed before the checkpoint of epoch 2, and once more
        log.write('{"epoch": 2, "core_seconds": 1e6}\n{"epo')
    record = train(sets, tmp_path / "run", taught, resume=True, report=seen.append)
    assert record.extra["core_hours"] < 100
    assert record.settings["teacher"] == "silent", "the network itself, not the name of its folder"
    assert seen[4]["epoch"] == 2 and len(seen) == 8, "the first epoch is not trained again"
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    kept = (tmp_path / "run" / "run.json").read_bytes()
    assert train(sets, tmp_path / "run", taught, resume=True, report=seen.append) == record
    assert len(seen) == 8 and (tmp_path / "run" / "run.json").read_bytes() == kept, "a finished run stays unchanged"
    assert first.model == record.model and record.model["parameters"] > 0 and record.model["macs"] > 0

    evaluation = np.load(tmp_path / "run" / "evaluation.npz")
    count = len(evaluation["images"])
    assert all(len(evaluation[name]) == count for name in ("complete", "set", "negative"))
    assert len(evaluation["boxes"]) == len(evaluation["box_frame"]) and evaluation["box_frame"].max() < count
    assert np.load(tmp_path / "run" / "calibration.npz")["images"].shape == (200, 64, 64, 3)

    import tensorflow as tf

    predict = tf.saved_model.load(str(tmp_path / "run" / "saved_model")).signatures["serving_default"]
    outputs = predict(image=tf.constant(evaluation["images"][:1], tf.float32))
    anchors = len(anchor_grid(64, 64, **SMALL.grid))
    assert outputs["boxes"].shape == (1, anchors, 4) and outputs["scores"].shape == (1, anchors)


def test_workers_cannot_stop_early(sets, tmp_path):
    """Each worker would decide on its own and wait for the others forever."""
    settings = dataclasses.replace(SMALL, patience=2)
    with pytest.raises(RunError, match="--patience"):
        train(sets, tmp_path / "run", settings, workers=Workers(("127.0.0.1:1", "127.0.0.1:2")))
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("short_mobilenet")
def test_invalid_weights_leave_no_run_behind(sets, tmp_path):
    """The second attempt must report the weights too, not an existing run."""
    (tmp_path / "start.npz").write_bytes(b"no weights")
    settings = dataclasses.replace(SMALL, weights=tmp_path / "start.npz")
    for _ in range(2):
        with pytest.raises(WeightsError, match=r"start\.npz is not an npz file, or is truncated"):
            train(sets, tmp_path / "run", settings)
    assert not (tmp_path / "run" / "run.json").exists()
