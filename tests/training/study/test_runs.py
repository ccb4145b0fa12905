"""Runs of a study: duplicates, resumption, tables checked by other libraries.

No duplicate is in two parts of a split.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from galaxy_edge.models.decode import softmax
from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.classifier.partition import split_dataset
from galaxy_edge.training.classifier.recipe import RECIPES
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.run import RunError, read_record, write_json
from galaxy_edge.training.study.runs import probabilities_of, row_of, run_many, train
from galaxy_edge.training.study.study_table import MEASURED, StudyRow, summary, table
from helpers.tiny_study import NAMES, PLAIN
from helpers.two_sources import write_two_sources


def test_copies_of_a_galaxy_are_in_one_part(folder, parts):
    """A copy in the test part would be recognised instead of classified."""
    _, same = folder
    sides = {}
    for side in ("train", "validation", "test"):
        for image_id in getattr(parts, side).ids:
            sides.setdefault(same[image_id], set()).add(side)
    assert len(sides) == 150  # every galaxy is in some part
    assert all(len(side) == 1 for side in sides.values())
    assert len(parts.train) + len(parts.validation) + len(parts.test) == parts.record["pictures"] == 240
    assert parts.record["groups"] == 150 and parts.record["test"] == len(parts.test)
    for side in (parts.train, parts.validation, parts.test):
        assert set(side.labels) == {0, 1, 2}


def test_split_depends_on_the_seed_only(folder, parts):
    """Runs with other crops or another order of the files must be comparable."""
    dataset = load_dataset(folder[0], margin=0.1, unnamed=True)
    again = split_dataset(dataset.take(np.random.default_rng(1).permutation(len(dataset))), 1)
    assert again.record == parts.record
    other = split_dataset(dataset, 2)
    assert other.record["hash"] != parts.record["hash"] and set(other.test.ids) != set(parts.test.ids)


def test_study_is_resumed(runs):
    """Training takes hours; what is finished must not be trained again."""
    _, _, _, messages, epochs = runs
    assert messages == [
        ["training plain, seed 1", "training plain, seed 2"],
        ["training plain, seed 2"],
        ["training full, seed 1"],
    ]
    # The second run was killed after its only epoch, which is not trained again; the third call trains the new one.
    assert epochs == [[1, 1], [], [1]]


def test_runs_of_other_data_or_settings_are_rejected(runs, folder, tmp_path):
    """Their rows would stand in a table that claims other settings."""
    out = runs[0]
    with pytest.raises(RunError, match=r"plain was started with epochs=1, not 2"):
        run_many({"plain": replace(PLAIN, epochs=2)}, folder[0], out)
    with pytest.raises(RunError, match="started with balance=partial, not none"):
        run_many({"plain": replace(PLAIN, balance="none")}, folder[0], out)
    other = shutil.copytree(folder[0], tmp_path / "other")
    for file in sorted((other / NAMES[0]).iterdir())[:5]:
        file.unlink()
    with pytest.raises(RunError, match="started on other data"):
        run_many({"plain": PLAIN}, other, out)
    with pytest.raises(RunError, match="started on other data"):
        run_many({"plain": PLAIN}, folder[0], out, split_seed=2)
    # All recipes are checked before the first is trained.
    with pytest.raises(RunError, match="plain was started with batch=32, not 16"):
        run_many({"new": PLAIN, "plain": replace(PLAIN, batch=16)}, folder[0], out)
    assert not (out / "new").exists()


@pytest.mark.parametrize("key", ["network", "parameters", "epochs", "images"])
def test_a_row_is_of_one_network_and_length(runs, key):
    run = row_of(runs[0] / "plain/seed1")
    other = replace(run, seed=2, **{key: "other" if key == "network" else 5})
    with pytest.raises(RunError, match=rf"the runs of plain differ in {key}, .* \(seed 1\), .* \(seed 2\)"):
        summary("plain", [run, other])


def test_a_score_that_a_run_does_not_have_leaves_its_cell_empty(runs):
    """Few images have no calibration error; the table failed at the end."""
    run = row_of(runs[0] / "plain/seed1")
    row = summary("plain", [run, replace(run, seed=2, ece=None, auc=None)])
    assert row.means.keys() == set(MEASURED) - {"ece", "auc"} == row.spreads.keys()
    values = json.loads(json.dumps(row.to_dict()))
    assert values["ece"] is None and StudyRow.from_dict(values) == row
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table([row]).splitlines()]
    shown = dict(zip(cells[0], cells[2], strict=True))
    assert shown["ECE"] == shown["AUC"] == "–" and shown["accuracy"].endswith("± 0.000")


def test_files_of_another_run_are_noticed(runs, parts, tmp_path):
    """Files that were copied alone gave the scores of another run."""
    run = shutil.copytree(runs[0] / "plain/seed1", tmp_path / "run")
    with np.load(run / "predictions.npz") as kept:
        arrays = dict(kept)
    np.savez(run / "predictions.npz", **arrays | {"logits": np.eye(3)[arrays["labels"]]})
    with pytest.raises(RunError, match=r"predictions\.npz is of another run: its accuracy is 1\.0000"):
        row_of(run)
    shutil.copy(runs[0] / "plain/seed2/model.keras", run)
    with pytest.raises(RunError, match=r"model\.keras is not the network that this run trained: copy the run again"):
        probabilities_of(run, parts.validation)


@pytest.mark.parametrize("record", [
    {"settings": {"seed": 1, "epochs": 1}},
    {"settings": {"seed": 1, "epochs": 1, "network": "simple"}, "metrics": {"ece": 0.1}},
])  # fmt: skip
def test_a_record_that_lacks_something_names_it(runs, tmp_path, record):
    run = shutil.copytree(runs[0] / "plain/seed1", tmp_path / "run")
    write_json(run / "run.json", json.loads((run / "run.json").read_text()) | record)
    with pytest.raises(RunError, match=r"run\.json has no '(settings\.network|metrics\.coarse_accuracy)'"):
        row_of(run)


def test_rows_equal_what_sklearn_computes(runs):
    """An independent implementation checks the scores of the table."""
    metrics = pytest.importorskip("sklearn.metrics")
    out, rows, _, _, _ = runs
    (row,) = rows
    assert (row.name, row.seeds) == ("plain", [1, 2])
    expected = {"accuracy": [], "f1": [], "recall": [], "auc": []}
    for seed in (1, 2):
        with np.load(out / f"plain/seed{seed}/predictions.npz") as kept:
            labels, probabilities = kept["labels"], softmax(kept["logits"].astype(float))
        predicted = probabilities.argmax(axis=1)
        expected["accuracy"].append(metrics.accuracy_score(labels, predicted))
        expected["f1"].append(metrics.f1_score(labels, predicted, average="macro"))
        expected["recall"].append(metrics.recall_score(labels, predicted, average="macro"))
        expected["auc"].append(metrics.roc_auc_score(labels, probabilities, multi_class="ovr"))
    for key, values in expected.items():
        assert row.means[key] == pytest.approx(np.mean(values), abs=1e-6)
        assert row.spreads[key] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2), abs=1e-6)
    network = keras.saving.load_model(out / "plain/seed1/model.keras", compile=False)
    assert row.parameters == network.count_params() and row.macs > 0


def test_recipes_are_compared_on_one_split(runs, parts):
    """Scores on other splits are not comparable, and could use the test part."""
    out, _, rows, _, _ = runs
    assert [row.name for row in rows] == ["plain", "full"] and rows[1].spreads["f1"] is None
    for run in (out / "plain/seed1", out / "full/seed1"):
        record = read_record(run)
        assert record.data["split"] | {"train": 0, "validation": 0} == {**parts.record, "train": 0, "validation": 0}
        with np.load(run / "predictions.npz") as kept:
            assert set(kept["ids"]) == set(parts.validation.ids)
            assert not set(kept["ids"]) & {*parts.train.ids, *parts.test.ids}
        assert record.data["hash"] == parts.train.hash  # the test part is not in it


def test_table_is_sorted_by_macro_f1(runs):
    """The order is by score, not by the order of training; every row has all columns."""
    out, _, rows, _, _ = runs
    assert json.loads((out / "table.json").read_text()) == [row.to_dict() for row in rows]
    assert (out / "table.md").read_text() == table(rows)
    assert (out / "table.png").stat().st_size > 1000
    means, spreads = dict.fromkeys(MEASURED, 0.5), dict.fromkeys(MEASURED)
    rows = [StudyRow("worse", [1], means | {"accuracy": 0.25, "f1": 0.2}, spreads, 20, 1234, 2_500_000),
            StudyRow("better", [1], means | {"accuracy": 0.75, "f1": 0.7}, spreads | {"f1": 0.0123}, 20, 1234, 2_500_000)]  # fmt: skip
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(rows).splitlines()]
    assert [row[0] for row in cells[2:]] == ["better", "worse"]
    assert all(len(row) == len(cells[0]) for row in cells)
    best = dict(zip(cells[0], cells[2], strict=True))
    assert (best["accuracy"], best["macro F1"], best["parameters"]) == ("0.750", "0.700 ± 0.012", "1,234")
    assert best["million MACs"] == "2.5"


def test_unfinished_run_has_no_row(tmp_path):
    """An unfinished run has no predictions yet."""
    write_json(tmp_path / "run.json", {"task": "classify", "settings": {}, "data": {}})
    with pytest.raises(RunError, match="not finished"):
        row_of(tmp_path)


def test_probabilities_use_the_temperature_of_the_run(runs, parts):
    """Otherwise an ensemble would average uncalibrated probabilities."""
    run = runs[0] / "plain/seed1"
    found = probabilities_of(run, parts.validation)
    with np.load(run / "predictions.npz") as kept:
        temperature = read_record(run).model["decode"]["temperature"]
        assert found == pytest.approx(softmax(kept["logits"], temperature), abs=1e-5)
    # A change of the inputs reaches the network.
    changed = probabilities_of(run, parts.validation, lambda images: 255 - images)
    assert np.abs(changed - found).max() > 1e-3


def test_data_set_without_classes_is_rejected(tmp_path):
    """Images with a coarse group only can be trained on, but not measured."""
    data = write_two_sources(tmp_path)
    shutil.rmtree(data / "efigi")
    lines = (data / "gz/index.csv").read_text().splitlines()
    (data / "gz/index.csv").write_text("\n".join(line for line in lines if "g10_p" in line or ",-1," in line))
    with pytest.raises(DataError, match="0 validation images have a class"):
        train(data, tmp_path / "run", replace(PLAIN, unnamed=True, balance="root"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("votes", [False, True])
def test_votes_are_read_if_the_recipe_wants_them(tmp_path, monkeypatch, votes):
    def load(data, margin, keep_boxy, *, unnamed, votes):
        raise StopIteration(votes)

    monkeypatch.setattr("galaxy_edge.training.study.runs.load_dataset", load)
    with pytest.raises(StopIteration) as stopped:
        train(tmp_path, tmp_path / "run", replace(RECIPES["nano"], votes=votes))
    assert stopped.value.value is votes
