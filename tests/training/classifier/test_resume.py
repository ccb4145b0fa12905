"""A resumed training gives an uninterrupted one's numbers, or is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from galaxy_edge.models.decode import softmax
from galaxy_edge.training.classifier.fit import fit
from galaxy_edge.training.classifier.recipe import RECIPES
from galaxy_edge.training.classifier.schedules import Plateau
from galaxy_edge.training.classifier.trainer import ClassifierTrainer
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.mobilenet.folded import WeightsError
from galaxy_edge.training.run import RunError, RunRecord, lock_run_folder, read_record, write_json
from helpers.drawn_galaxies import TRAIN, VALIDATION, copy_after_epoch, read_log, train_tiny, weights_of
from helpers.tiny_recipe import TINY


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("runs"))


def test_a_resumed_run_continues_where_it_stopped(run):
    """Dropout, mixup, averaged weights and optimiser continue, or a number differs.

    Only the checkpoint of epoch 1 of 2 is there, and nothing that comes after it.
    """
    whole, _, _ = run
    stopped, reports, options = whole.with_name("stopped"), [], {"seed": 3, "split": {"seed": 1}}
    assert not (stopped / "saved_model").exists() and not read_record(stopped).is_finished
    with pytest.raises(RunError, match="--resume"):
        fit(TINY, TRAIN, VALIDATION, stopped, **options)
    fit(TINY, TRAIN, VALIDATION, stopped, resume=True, report=reports.append, **options)
    assert [report["epoch"] for report in reports if "step" not in report] == [2]
    assert_same_training(whole, stopped)


def test_a_kill_before_the_checkpoint_loses_no_line_of_the_log(tmp_path, monkeypatch):
    """A checkpoint without its line would leave an epoch out of every table."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ClassifierTrainer, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(TINY, TRAIN, VALIDATION, tmp_path / "run", seed=3)
    assert [line["epoch"] for line in read_log(tmp_path / "run")] == [1]
    fit(TINY, TRAIN, VALIDATION, tmp_path / "run", seed=3, resume=True)
    assert [line["epoch"] for line in read_log(tmp_path / "run")] == [1, 2]


def assert_same_training(first, second):
    """Compare every logged number and every saved weight bit by bit."""
    for row, twin in zip(read_log(first), read_log(second), strict=True):
        assert {**row, "time": 0} == {**twin, "time": 0}
    for value, twin in zip(weights_of(first), weights_of(second), strict=True):
        assert np.array_equal(value, twin)


@pytest.mark.parametrize(("change", "message"), [
    ({"recipe": replace(TINY, decay=0.1)}, "decay=0.02, not 0.1"),
    ({"recipe": replace(RECIPES["simple"], size=48)}, "network=small, not simple"),
    ({"seed": 4}, "seed=3, not 4"),
    ({"train": TRAIN.take(np.arange(30))}, "other data"),
    ({"train": replace(TRAIN, boxes=(np.array([1, 1, 9, 9], np.float32), *[None] * (len(TRAIN) - 1)))}, "other boxes"),
    ({"soft": np.full((42, 9), 1 / 9)}, "taught=False, not True"),
])  # fmt: skip
def test_a_folder_of_another_run_is_refused(run, change, message):
    """Resuming with another recipe, seed, dataset or teacher would mix two trainings."""
    before = (run[0] / "run.json").read_text()
    values = {"recipe": TINY, "train": TRAIN, "validation": VALIDATION, "seed": 3, **change}
    with pytest.raises(RunError, match=message):
        fit(out=run[0], resume=True, **values)
    assert (run[0] / "run.json").read_text() == before


def test_a_finished_run_is_left_as_it_is(run):
    """Recomputed normalisation statistics would change the network of an export."""
    out, record, reports = run
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != ".lock"}
    assert fit(TINY, TRAIN, VALIDATION, out, seed=3, resume=True, report=reports.append) == RunRecord.from_dict(
        json.loads(json.dumps(record.to_dict()))
    )
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(reports) == 2


def test_a_run_is_not_resumed_for_fewer_epochs_than_it_has(run):
    """The weights of an earlier epoch are no longer there."""
    before = (run[0] / "run.json").read_text()
    with pytest.raises(RunError, match="already has 2 epochs: request at least as many"):
        fit(replace(TINY, epochs=1), TRAIN, VALIDATION, run[0], seed=3, resume=True)
    assert (run[0] / "run.json").read_text() == before


def test_a_run_that_another_process_writes_to_is_refused(tmp_path):
    """Two trainings in one folder would overwrite each other's checkpoints.

    The folder is left as it was.
    """
    with lock_run_folder(tmp_path / "run"), pytest.raises(RunError, match="another process writes to"):
        fit(TINY, TRAIN, VALIDATION, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_student_is_not_resumed_with_another_teacher(tmp_path):
    """Soft targets have no name of their own in the record.

    The teachers' hashes identify them.
    """
    soft, train = np.full((36, 9), 1 / 9), TRAIN.take(np.arange(36))
    recipe = replace(TINY, epochs=1)
    fit(recipe, train, VALIDATION, tmp_path, soft=soft, teachers=["a" * 64])
    with pytest.raises(RunError, match="started with teachers="):
        fit(replace(recipe, epochs=2), train, VALIDATION, tmp_path, soft=soft, teachers=["b" * 64], resume=True)


def test_a_resume_may_not_leave_out_the_network_it_started_from(run, tmp_path):
    """Its weights would be blended with in the first part only."""
    assert read_record(run[0]).settings["start"] is None and read_record(run[0]).settings["teachers"] == []
    start = tmp_path / "fp32.tflite"
    start.write_bytes(b"a network")
    with pytest.raises(RunError, match="with start=None, not "):
        fit(TINY, TRAIN, VALIDATION, run[0], seed=3, start=start, resume=True)
    record = json.loads((run[0] / "run.json").read_text())
    record["settings"]["start"] = "a" * 64
    copy = tmp_path / "run"
    copy.mkdir()
    write_json(copy / "run.json", record)
    with pytest.raises(RunError, match=f"with start={'a' * 64}, not None"):
        fit(TINY, TRAIN, VALIDATION, copy, seed=3, resume=True)


@pytest.mark.parametrize(("recipe", "train", "weights", "error", "message"), [
    (RECIPES["vgg_features"], TRAIN, "nosuch.h5", WeightsError, "nosuch.h5"),
    (RECIPES["scratch"], TRAIN.take(np.arange(8)), None, DataError, "no training image of class 'spiral_loose'"),
    (replace(TINY, votes=True), TRAIN, None, DataError, "no training image has shares of votes"),
    (TINY, TRAIN.take([0, 9, 18]), None, DataError, "all training images are of class 'disk_no_spiral'"),
])  # fmt: skip
def test_a_training_that_cannot_start_leaves_no_folder(recipe, train, weights, error, message, tmp_path):
    """After the error is corrected the same command must not find an existing run."""
    with pytest.raises(error, match=message):
        fit(recipe, train, VALIDATION, tmp_path / "run", weights=weights and tmp_path / weights)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("train", "validation"), [(TRAIN.take([-1, -2]), VALIDATION), (TRAIN, VALIDATION.take([]))])
def test_a_dataset_without_classes_is_refused_at_once(train, validation, tmp_path):
    """Neither training nor validation is possible with coarse groups alone."""
    with pytest.raises(DataError, match=r"too few of \d+ training and \d+ validation images"):
        fit(TINY, train, validation, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_plateau_schedule_equals_one_without_a_stop(tmp_path):
    """The loss fluctuates at this rate, so that the schedule reduces the rate.

    The best weights are not the last ones.
    """
    recipe = replace(RECIPES["scratch"], size=32, batch=16, epochs=4, rates=(0.01,), patience=1, stop_after=2)
    train = TRAIN.take(TRAIN.labelled)
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    fit(recipe, train, VALIDATION, straight, report=copy_after_epoch(2, straight, halves))
    # Started for two epochs and then extended, the result is the same: rates depend on losses, not on the length.
    write_json(
        halves / "run.json", replace(begun := read_record(halves), settings={**begun.settings, "epochs": 2}).to_dict()
    )
    fit(recipe, train, VALIDATION, halves, resume=True)
    assert_same_training(straight, halves)
    rows = read_log(straight)
    # Its end and its rates follow from its own losses.
    losses, schedule, expected = [row["val_loss"] for row in rows], Plateau(0.01, recipe.factor, 1, 2), []
    for loss in losses:
        assert not schedule.is_over
        expected.append(schedule.rate(0))
        schedule.update(loss)
    assert schedule.is_over or len(rows) == 4
    assert [row["rate"] for row in rows] == pytest.approx(expected)
    # The best weights are kept, as the predictions show.
    with np.load(halves / "predictions.npz") as kept:
        kept_loss = -np.log(softmax(kept["logits"])[np.arange(20), VALIDATION.labels]).mean()
    assert kept_loss == pytest.approx(min(losses), abs=1e-4)
