"""All runs of a study's table belong together, or the command is refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras")

from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.classifier.partition import split_dataset
from galaxy_edge.training.run import RunError, write_json
from galaxy_edge.training.study.agreement import read_predictions
from galaxy_edge.training.study.runs import run_many
from helpers.tiny_study import FULL, NAMES, PLAIN


def no_training(*_, **__):
    raise AssertionError("nothing may be trained")


def changed(run, **tables):
    """Change values of a run's record, by name of the table."""
    record = json.loads((run / "run.json").read_text())
    for table, values in tables.items():
        record[table] |= values
    write_json(run / "run.json", record)


@pytest.mark.parametrize("with_study", [True, False])
@pytest.mark.parametrize(("tables", "message"), [
    ({"settings": {"seed": 1}}, "seed7 was started with seed=1, not 7"),
    ({"settings": {"seed": 7, "epochs": 2}}, "seed7 was started with epochs=2, not 1"),
    ({"settings": {"seed": 7, "balance": "none"}}, "seed7 was started with balance=none, not partial"),
    ({"settings": {"seed": 7, "taught": True}}, "seed7 was started with taught=True, not False"),
    ({"settings": {"seed": 7}, "data": {"split": {"hash": "x"}}}, "seed7 was started on another split"),
    ({"settings": {"seed": 7}, "data": {"split": {"labels": "x"}}}, "seed7 was started with other labels"),
    ({"settings": {"seed": 7}, "data": {"hash": "x"}}, "seed7 was trained on other images or labels than .*seed1"),
])  # fmt: skip
def test_every_run_of_the_table_is_checked(runs, folder, tmp_path, monkeypatch, tables, message, with_study):
    """A run that was copied in made one row with runs of other data and epochs."""
    out = shutil.copytree(runs[0], tmp_path / "out")
    changed(shutil.copytree(out / "plain/seed2", out / "plain/seed7"), **tables)
    if not with_study:
        (out / "study.json").unlink()
    monkeypatch.setattr("galaxy_edge.training.study.runs.fit", no_training)
    with pytest.raises(RunError, match=message):
        run_many({"plain": PLAIN}, folder[0], out, seeds=(1, 2))
    assert (out / "study.json").exists() == with_study, "a command that fails does not claim the folder"


def test_a_missing_study_json_is_written_again(runs, folder, tmp_path):
    """The message of a damaged one says that it can be deleted."""
    out = shutil.copytree(runs[0], tmp_path / "out")
    before = json.loads((out / "study.json").read_text())
    (out / "study.json").write_text("{")
    with pytest.raises(RunError, match=r"study\.json is damaged .*: delete it, the runs are checked one by one too"):
        run_many({"plain": PLAIN}, folder[0], out)
    (out / "study.json").unlink()
    other = shutil.copytree(folder[0], tmp_path / "other")
    for file in sorted((other / NAMES[0]).iterdir())[:5]:
        file.unlink()
    for recipe in ("plain", "new"):  # the runs of other recipes of the folder are checked too
        with pytest.raises(RunError, match="was started on another split of the data"):
            run_many({recipe: PLAIN}, other, out)
    run_many({"plain": PLAIN, "full": FULL}, folder[0], out)
    assert json.loads((out / "study.json").read_text()) == before


def test_corrected_labels_are_noticed(runs, folder, tmp_path, monkeypatch):
    """The split depends on the images only, so that two seeds had other truths."""
    out = shutil.copytree(runs[0], tmp_path / "out")
    dataset = load_dataset(folder[0], unnamed=True)
    parts = split_dataset(dataset, 1)
    for part in ("train", "validation", "test"):
        labels = dataset.labels.copy()
        at = dataset.ids.index(getattr(parts, part).ids[0])
        labels[at] = (labels[at] + 1) % 3
        corrected = replace(dataset, labels=labels)
        again = split_dataset(corrected, 1)
        assert again.record["hash"] == parts.record["hash"]
        assert (again.record["labels"] == parts.record["labels"]) == (part == "train")
        monkeypatch.setattr("galaxy_edge.training.study.runs.load_dataset", lambda *_, found=corrected, **__: found)
        with pytest.raises(RunError, match="started with other labels of the same images"):
            run_many({"plain": PLAIN}, folder[0], out, seeds=(3,))
    assert not (out / "plain/seed3").exists()


def test_a_study_of_an_earlier_version_is_continued(runs, folder, tmp_path, monkeypatch):
    """It did not record the hashes of labels."""
    out = shutil.copytree(runs[0], tmp_path / "out")
    study = json.loads((out / "study.json").read_text())
    del study["about"]["labels"], study["recipes"]["plain"]["taught"]
    write_json(out / "study.json", study)
    for path in out.glob("*/*/run.json"):
        record = json.loads(path.read_text())
        del record["data"]["split"]["labels"]
        write_json(path, record)
    rows = run_many({"plain": PLAIN}, folder[0], out, seeds=(1, 2))
    assert rows == runs[2]


@pytest.mark.parametrize("change", [
    {"ids": None}, {"labels": None}, {"logits": None},
    {"logits": np.zeros((4, 9))}, {"logits": np.full((4, 3), np.nan)}, {"logits": np.full((4, 3), "x")},
    {"labels": np.zeros(3, int)}, {"labels": np.full(4, 3)}, {"labels": np.full(4, -1)}, {"labels": np.zeros((4, 1), int)},
    {"ids": np.zeros(4)}, {"ids": np.array("abcd")}, {"ids": np.zeros(0, str), "labels": np.zeros(0, int), "logits": np.zeros((0, 3))},
])  # fmt: skip
def test_predictions_of_another_form_are_refused(tmp_path, change):
    """They ended in an unexpected KeyError or ValueError."""
    write_json(tmp_path / "run.json", {"task": "classify", "model": {"classes": ["a", "b", "c"]}})
    arrays = {"logits": np.eye(4, 3), "labels": np.arange(4) % 3, "ids": np.array(["a", "b", "c", "d"])}
    np.savez(tmp_path / "predictions.npz", **arrays)
    assert read_predictions(tmp_path).keys() == arrays.keys()
    changed = {name: array for name, array in (arrays | change).items() if array is not None}
    np.savez(tmp_path / "predictions.npz", **changed)
    with pytest.raises(RunError, match=r"predictions\.npz holds no predictions of 3 classes"):
        read_predictions(tmp_path)
    (tmp_path / "predictions.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(RunError, match=r"predictions\.npz is missing or damaged"):
        read_predictions(tmp_path)
