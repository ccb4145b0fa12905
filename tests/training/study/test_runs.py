"""The study: one split without twins on two sides, runs that are gone on with, comparisons counted again elsewhere."""

import hashlib
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest

keras = pytest.importorskip("keras")

from galaxy_edge.models.decode import softmax
from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.classifier.partition import split_dataset
from galaxy_edge.training.classifier.recipe import RECIPES
from galaxy_edge.training.data.sample import DataError
from galaxy_edge.training.data.splits import folds, near_duplicates
from galaxy_edge.training.run import RunError, read_record, write_json
from galaxy_edge.training.study.comparisons import compare_folds, cross_sources
from galaxy_edge.training.study.ensembles import calibrated, find_ensemble, read_ensemble
from galaxy_edge.training.study.runs import probabilities_of, row_of, run_many, table, train
from helpers.two_sources import encoded, galaxy, write_two_sources

PLAIN = replace(RECIPES["simple"], size=32, batch=32, epochs=1, views="turned")
FULL = replace(PLAIN, balance="full")
NAMES = ("edge_on_thin", "smooth_any", "spiral_any")
"""Classes of our own, each with a coarse group, so that few pictures fill every part of a split."""

COPIES = {
    "as a JPEG": lambda image: encoded(image, ".jpg", 80),
    "mirrored": lambda image: encoded(image[:, ::-1]),
    "turned, smaller": lambda image: encoded(cv2.resize(np.rot90(image), (58, 58), interpolation=cv2.INTER_AREA)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fifty pictures a class, of every fifth three copies more; and which files show the same galaxy."""
    root = tmp_path_factory.mktemp("classes")
    same = {}
    for kind, name in enumerate(NAMES):
        (root / name).mkdir()
        for number in range(50):
            image = galaxy(kind, number)
            files = {"": encoded(image)}
            if number % 5 == 0:
                files |= {key: make(image) for key, make in COPIES.items()}
            for key, content in files.items():
                suffix = ".jpg" if "JPEG" in key else ".bmp"
                (root / name / f"{number}{key}{suffix}").write_bytes(content)
                same[hashlib.sha256(content).hexdigest()] = (kind, number)
    return root, same


@pytest.fixture(scope="module")
def parts(folder):
    return split_dataset(load_dataset(folder[0]), 1)


def test_no_copy_of_a_galaxy_is_on_another_side(folder, parts):
    _, same = folder
    sides = {}
    for side in ("train", "validation", "test"):
        for one in getattr(parts, side).ids:
            sides.setdefault(same[one], set()).add(side)
    assert len(sides) == 150  # every galaxy is somewhere
    assert all(len(side) == 1 for side in sides.values())
    assert len(parts.train) + len(parts.validation) + len(parts.test) == parts.record["pictures"] == 240
    assert parts.record["groups"] == 150 and parts.record["test"] == len(parts.test)
    for side in (parts.train, parts.validation, parts.test):
        assert set(side.labels) == {0, 1, 2}


def test_the_split_hangs_on_the_seed_alone(folder, parts):
    pictures = load_dataset(folder[0], margin=0.1, unnamed=True)
    again = split_dataset(pictures.take(np.random.default_rng(1).permutation(len(pictures))), 1)
    assert again.record == parts.record
    other = split_dataset(pictures, 2)
    assert other.record["hash"] != parts.record["hash"] and set(other.test.ids) != set(parts.test.ids)


class Killed(Exception):
    """The process is gone."""


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    """A study killed in its second run, gone on with, and widened by a recipe."""
    out = tmp_path_factory.mktemp("study")
    said, told = [[], [], []], [[], [], []]

    def kill(values):
        told[0].append(values["epoch"])
        if len(told[0]) == 2:
            raise Killed

    with pytest.raises(Killed):
        run_many({"plain": PLAIN}, folder[0], out, seeds=(1, 2), say=said[0].append, report=kill)
    first = (out / "plain/seed1/model.keras").stat().st_mtime_ns
    for turn, recipes in ((1, {"plain": PLAIN}), (2, {"plain": PLAIN, "full": FULL})):
        rows = run_many(recipes, folder[0], out, seeds=(1, 2) if turn == 1 else (1,), say=said[turn].append,
                        report=lambda values, turn=turn: told[turn].append(values["epoch"]))  # fmt: skip
        if turn == 1:
            both = rows
    assert (out / "plain/seed1/model.keras").stat().st_mtime_ns == first
    return out, both, rows, said, told


def test_a_study_goes_on_with_what_is_there(runs):
    _, _, _, said, told = runs
    assert said == [["plain, seed 1", "plain, seed 2"], ["plain, seed 2"], ["full, seed 1"]]
    # The second run was killed after its only epoch, which is not trained again; the third call trains the new one.
    assert told == [[1, 1], [], [1]]


def test_one_source_cannot_be_crossed(folder, tmp_path):
    with pytest.raises(DataError, match="one source only"):
        cross_sources(PLAIN, folder[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_rows_of_other_data_or_epochs_are_not_passed_off_as_these(runs, folder, tmp_path):
    out = runs[0]
    with pytest.raises(RunError, match=r"plain/seed1 was begun with epochs=1, not 2"):
        run_many({"plain": replace(PLAIN, epochs=2)}, folder[0], out)
    with pytest.raises(RunError, match="started with balance=weights, not none"):
        run_many({"plain": replace(PLAIN, balance="none")}, folder[0], out)
    other = shutil.copytree(folder[0], tmp_path / "other")
    for file in sorted((other / NAMES[0]).iterdir())[:5]:
        file.unlink()
    with pytest.raises(RunError, match="started on other data"):
        run_many({"plain": PLAIN}, other, out)


def test_a_class_of_ones_own_is_named_in_messages(folder, tmp_path):
    few = shutil.copytree(folder[0], tmp_path / "few")
    for file in sorted((few / NAMES[0]).iterdir())[2:]:
        file.unlink()
    with pytest.raises(DataError, match=f"class '{NAMES[0]}' has 2 pictures of . different galax"):
        split_dataset(load_dataset(few), 1)
    with pytest.raises(DataError, match=f"class '{NAMES[0]}' has 2 pictures, too few"):
        compare_folds("simple", "scratch", few, tmp_path / "out", k=3)


def test_rows_are_what_sklearn_counts_in_the_predictions(runs):
    metrics = pytest.importorskip("sklearn.metrics")
    out, rows, _, _, _ = runs
    (row,) = rows
    assert (row["name"], row["seeds"]) == ("plain", [1, 2])
    counted = {"accuracy": [], "f1": [], "recall": [], "auc": []}
    for seed in (1, 2):
        with np.load(out / f"plain/seed{seed}/predictions.npz") as kept:
            labels, probabilities = kept["labels"], softmax(kept["logits"].astype(float))
        named = probabilities.argmax(axis=1)
        counted["accuracy"].append(metrics.accuracy_score(labels, named))
        counted["f1"].append(metrics.f1_score(labels, named, average="macro"))
        counted["recall"].append(metrics.recall_score(labels, named, average="macro"))
        counted["auc"].append(metrics.roc_auc_score(labels, probabilities, multi_class="ovr"))
    for key, values in counted.items():
        assert row[key] == pytest.approx(np.mean(values), abs=1e-6)
        assert row[f"{key}_sd"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2), abs=1e-6)
    network = keras.saving.load_model(out / "plain/seed1/model.keras", compile=False)
    assert row["parameters"] == network.count_params() and row["macs"] > 0


def test_recipes_are_compared_on_one_split(runs, parts):
    out, _, rows, _, _ = runs
    assert [row["name"] for row in rows] == ["plain", "full"] and rows[1]["f1_sd"] is None
    for run in (out / "plain/seed1", out / "full/seed1"):
        record = read_record(run)
        assert record.data["split"] | {"train": 0, "validation": 0} == {**parts.record, "train": 0, "validation": 0}
        with np.load(run / "predictions.npz") as kept:
            assert set(kept["ids"]) == set(parts.validation.ids)
            assert not set(kept["ids"]) & {*parts.train.ids, *parts.test.ids}
        assert record.data["hash"] == parts.train.hash  # the test part is not in it


def test_a_table_is_written_best_first(runs):
    out, _, rows, _, _ = runs
    assert json.loads((out / "table.json").read_text()) == json.loads(json.dumps(rows))
    assert (out / "table.md").read_text() == table(rows)
    assert (out / "table.png").stat().st_size > 1000
    some = dict.fromkeys(("precision", "recall", "auc", "coarse_accuracy", "ece"), 0.5)
    some |= {f"{key}_sd": None for key in (*some, "accuracy")} | {"parameters": 1234, "macs": 2_500_000}
    hand = [{"name": "worse", "accuracy": 0.25, "f1": 0.2, "f1_sd": None, **some},
            {"name": "better", "accuracy": 0.75, "f1": 0.7, "f1_sd": 0.0123, **some}]  # fmt: skip
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(hand).splitlines()]
    assert [row[0] for row in cells[2:]] == ["better", "worse"]
    assert all(len(row) == len(cells[0]) for row in cells)
    best = dict(zip(cells[0], cells[2], strict=True))
    assert (best["accuracy"], best["macro F1"], best["parameters"]) == ("0.750", "0.700 ± 0.012", "1,234")
    assert best["million MACs"] == "2.5"


def test_an_unfinished_run_has_no_row(runs, tmp_path):
    write_json(tmp_path / "run.json", {"task": "classify", "settings": {}, "data": {}})
    with pytest.raises(RunError, match="not finished"):
        row_of(tmp_path)


def test_probabilities_are_the_networks_at_its_temperature(runs, parts):
    run = runs[0] / "plain/seed1"
    found = probabilities_of(run, parts.validation)
    with np.load(run / "predictions.npz") as kept:
        temperature = read_record(run).model["decode"]["temperature"]
        assert found == pytest.approx(softmax(kept["logits"], temperature), abs=1e-5)
    # What is done to the inputs reaches the network.
    changed = probabilities_of(run, parts.validation, lambda images: 255 - images)
    assert np.abs(changed - found).max() > 1e-3


def test_an_ensemble_is_weighed_on_validation(runs, tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    out = runs[0]
    members = [out / "plain/seed1", out / "full/seed1"]
    result = find_ensemble(members, tmp_path)
    assert json.loads((tmp_path / "ensemble.json").read_text()) == json.loads(json.dumps(result))
    weights = np.array(result["weights"])
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1) and result["chosen_on"] == "validation"
    each = []
    for run in members:
        with np.load(run / "predictions.npz") as kept:
            labels = kept["labels"]
            each.append(softmax(kept["logits"].astype(float), read_record(run).model["decode"]["temperature"]))

    def f1(share):
        blended = share * each[0] + (1 - share) * each[1]
        return metrics.f1_score(labels, blended.argmax(axis=1), average="macro")

    assert result["together"]["macro_f1"] == pytest.approx(f1(weights[0]), abs=1e-6)
    # No weight of a grid of tenths is better, so neither member alone is.
    assert f1(weights[0]) >= max(f1(share) for share in np.linspace(0, 1, 11)) - 1e-9
    assert [one["macro_f1"] for one in result["alone"]] == pytest.approx([f1(1.0), f1(0.0)], abs=1e-6)
    assert read_ensemble(tmp_path / "ensemble.json", members) == (result["weights"], result["temperature"])
    # What validation reported is what anybody gets who blends by that file.
    together = calibrated(weights[0] * each[0] + weights[1] * each[1], result["temperature"])
    loss = -np.log(together[np.arange(len(labels)), labels]).mean()
    assert together.sum(axis=1) == pytest.approx(1) and result["together"]["accuracy"] == pytest.approx(
        metrics.accuracy_score(labels, together.argmax(axis=1))
    )
    assert (
        loss <= metrics.log_loss(labels, weights[0] * each[0] + weights[1] * each[1], labels=range(len(NAMES))) + 1e-6
    )


def test_ensembles_that_cannot_be_are_refused(runs, tmp_path):
    run = runs[0] / "plain/seed1"
    with pytest.raises(RunError, match="two runs or more"):
        find_ensemble([run], tmp_path / "out")
    other = shutil.copytree(run, tmp_path / "other")
    with np.load(run / "predictions.npz") as kept:
        arrays = {name: kept[name] for name in kept.files}
    np.savez(other / "predictions.npz", **{**arrays, "ids": arrays["ids"][::-1]})
    with pytest.raises(RunError, match="validated on other pictures"):
        find_ensemble([run, other], tmp_path / "out")
    np.savez(other / "predictions.npz", **arrays)
    record = read_record(run)
    write_json(other / "run.json", replace(record, model={**record.model, "classes": [*NAMES[::-1]]}).to_dict())
    with pytest.raises(RunError, match="names other classes"):
        find_ensemble([run, other], tmp_path / "out")
    # A run that was stopped has a record, but neither a model nor predictions.
    write_json(other / "run.json", replace(record, model={}).to_dict())
    (other / "predictions.npz").unlink()
    with pytest.raises(RunError, match="not finished"):
        find_ensemble([run, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_other_runs_are_refused(tmp_path):
    assert read_ensemble(None, ["a", "b", "c", "d"]) == ([0.25] * 4, 1.0)
    path = tmp_path / "ensemble.json"
    a, b, c = runs = [tmp_path / name for name in "abc"]
    for run in runs:
        run.mkdir()
        (run / "model.keras").write_text(run.name)
    networks = [hashlib.sha256(name.encode()).hexdigest() for name in "ab"]
    write_json(path, {"runs": ["a", "b"], "networks": networks, "weights": [0.4, 0.6], "temperature": 0.8})
    assert read_ensemble(path, [a, b]) == ([0.4, 0.6], 0.8)
    # A weight is its network's, in whatever order the networks are named and wherever they were moved.
    assert read_ensemble(path, [b.rename(tmp_path / "moved"), a]) == ([0.6, 0.4], 0.8)
    with pytest.raises(RunError, match="weighs a, b, not"):
        read_ensemble(path, [a, c])
    with pytest.raises(RunError, match="weighs a, b, not"):
        read_ensemble(path, [a])
    path.write_text("{}")
    with pytest.raises(RunError, match=r"no ensemble\.json"):
        read_ensemble(path, [a, c])


def test_folds_judge_each_picture_by_a_network_that_never_saw_it(folder, tmp_path, monkeypatch):
    metrics = pytest.importorskip("sklearn.metrics")
    for name, recipe in (("plain", PLAIN), ("full", FULL)):
        monkeypatch.setitem(RECIPES, name, recipe)
    said = []
    result = compare_folds("plain", "full", folder[0], tmp_path, k=2, say=said.append)
    assert len(said) == 4 and (result["recipes"], result["pairs"]) == (["plain", "full"], 2)
    pictures = load_dataset(folder[0])
    dealt = folds(list(pictures.ids), near_duplicates(pictures.images(69)), pictures.labels, 2, 1, 0)
    scores = {"plain": [], "full": []}
    for name, found in scores.items():
        for number, (_, judged) in enumerate(dealt):
            place = tmp_path / name / f"repeat0_fold{number}"
            counts = read_record(place).data["split"]
            assert counts["train"] + counts["validation"] + len(judged) == len(pictures)
            with np.load(place / "predictions.npz") as kept:
                assert not set(kept["ids"]) & {pictures.ids[index] for index in judged}
            model = keras.saving.load_model(place / "model.keras", compile=False)
            named = np.asarray(model(pictures.take(judged).images(32).astype(np.float32))).argmax(axis=1)
            found.append(metrics.f1_score(pictures.labels[judged], named, average="macro"))
    f1 = result["metrics"]["f1"]
    assert [f1["a"]["mean"], f1["b"]["mean"]] == pytest.approx([np.mean(found) for found in scores.values()], abs=1e-6)
    assert f1["difference"] == pytest.approx(np.mean(np.subtract(scores["full"], scores["plain"])), abs=1e-6)

    # What is there is read, not trained again; over repeats the reading warns of dependence.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*/model.keras")}
    again = compare_folds("plain", "full", folder[0], tmp_path, k=2, repeats=2, say=said.append)
    assert len(said) == 8 and again["pairs"] == 4 and all("repeat 2" in line for line in said[4:])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "2 repeats of 2 folds" in again["reading"] and "not independent" in again["reading"]
    assert "repeats" not in result["reading"]


def test_sources_are_crossed_over_what_they_share(tmp_path):
    data = write_two_sources(tmp_path)
    pictures = load_dataset(data, unnamed=True)
    parts = split_dataset(pictures, 1)
    # Pictures with a coarse group only teach; nothing is chosen or judged by them.
    assert sum(parts.train.labels < 0) > 0
    assert (parts.validation.labels >= 0).all() and (parts.test.labels >= 0).all()
    recipe = replace(PLAIN, balance="root")
    out, said = tmp_path / "out", []
    result = cross_sources(recipe, data, out, say=said.append)
    assert said == ["trained on efigi", "trained on gz_frames"]
    assert result["groups"] == {"efigi": ["edge_on", "smooth", "spiral"], "gz_frames": ["edge_on", "smooth"]}
    groups = np.array([coarse_group(name) for name in CLASSES])
    for trained in ("efigi", "gz_frames"):
        record = read_record(out / trained)
        assert list(record.data["sets"]) == [trained] and set(record.metrics["sets"]) == {trained}
        # By a recipe of the report only pictures with a class teach.
        own = np.array(parts.train.sources) == trained
        assert record.data["split"]["train"] == np.sum(own & (parts.train.labels >= 0))
        model = keras.saving.load_model(out / trained / "model.keras", compile=False)
        for measured in ("efigi", "gz_frames"):
            shared = {"edge_on", "smooth"} | ({"spiral"} if trained == measured == "efigi" else set())
            chosen = [index for index, (source, group) in enumerate(
                zip(parts.validation.sources, parts.validation.groups, strict=True))
                if source == measured and group in shared]  # fmt: skip
            judged = parts.validation.take(chosen)
            named = np.asarray(model(judged.images(32).astype(np.float32))).argmax(axis=1)
            expected = np.mean(groups[named] == groups[judged.labels])
            assert result["coarse_accuracy"][trained][measured] == pytest.approx(expected)
            recall, count = (result[key][trained][measured] for key in ("recall", "pictures"))
            assert sum(count.values()) == len(chosen) and set(recall) == set(judged.groups)
            assert sum(recall[group] * count[group] for group in count) == pytest.approx(expected * len(chosen))
    assert json.loads((out / "cross.json").read_text()) == json.loads(json.dumps(result))


def test_pictures_without_classes_cannot_be_studied(tmp_path):
    data = write_two_sources(tmp_path)
    shutil.rmtree(data / "efigi")
    lines = (data / "gz/index.csv").read_text().splitlines()
    (data / "gz/index.csv").write_text("\n".join(line for line in lines if "g10_p" in line or ",-1," in line))
    with pytest.raises(DataError, match="too few have a class"):
        train(data, tmp_path / "run", replace(PLAIN, unnamed=True, balance="root"))
    assert not (tmp_path / "run").exists()
