"""Comparisons over folds and sources, compared with independent computations."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.classifier.partition import split_dataset
from galaxy_edge.training.classifier.recipe import RECIPES
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.near_duplicates import near_duplicates
from galaxy_edge.training.data.splits import k_fold_indices
from galaxy_edge.training.run import RunError, read_record
from galaxy_edge.training.study.comparisons import FoldComparison, SourceComparison, compare_folds, cross_sources
from helpers.log_records import recorded
from helpers.tiny_study import FULL, NAMES, PLAIN
from helpers.two_sources import write_two_sources


class Stopped(Exception):
    """Raised after the first epoch."""


def stop(_):
    raise Stopped


def test_single_source_cannot_be_crossed(folder, tmp_path):
    """The error comes before anything is written."""
    with pytest.raises(DataError, match="one source only"):
        cross_sources(PLAIN, folder[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("least", "message"), [
    (20, "efigi and gz_frames share no coarse group with 20 training images"),
    (1000, "efigi has no coarse group with 1000 training images"),
])  # fmt: skip
def test_sources_without_a_common_group_cannot_be_crossed(tmp_path, monkeypatch, least, message):
    """After all trainings, the mean of no images was saved as NaN."""
    data = load_dataset(write_two_sources(tmp_path), unnamed=True)
    own = {"efigi": ("smooth", "spiral"), "gz_frames": ("edge_on",)}
    apart = data.take([at for at, (source, group) in enumerate(zip(data.sources, data.groups, strict=True))
                       if group in own[source]])  # fmt: skip
    monkeypatch.setattr("galaxy_edge.training.study.comparisons.load_dataset", lambda *_, **__: apart)
    monkeypatch.setattr("galaxy_edge.training.study.comparisons.MIN_IMAGES", least)
    with pytest.raises(DataError, match=message):
        cross_sources(PLAIN, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_message_names_the_class_that_is_too_small(folder, tmp_path):
    """A user with classes of their own must know which one needs more images."""
    few = shutil.copytree(folder[0], tmp_path / "few")
    for file in sorted((few / NAMES[0]).iterdir())[2:]:
        file.unlink()
    with pytest.raises(DataError, match=f"class '{NAMES[0]}' has 2 images of (1 galaxy|2 different galaxies), and"):
        split_dataset(load_dataset(few), 1)
    with pytest.raises(DataError, match=f"class '{NAMES[0]}' has 2 images, too few"):
        compare_folds("simple", "scratch", few, tmp_path / "out", k=3)


def test_folds_are_measured_by_networks_that_were_not_trained_on_them(folder, tmp_path, monkeypatch):
    """The scores are computed again from the saved networks, with scikit-learn."""
    metrics = pytest.importorskip("sklearn.metrics")
    for name, recipe in (("plain", PLAIN), ("full", FULL), ("new", PLAIN)):
        monkeypatch.setitem(RECIPES, name, recipe)
    with recorded("galaxy_edge.training.study") as records:
        result = compare_folds("plain", "full", folder[0], tmp_path, k=2)
    assert len(records) == 4 and (result.recipes, result.pairs) == (["plain", "full"], 2)
    dataset = load_dataset(folder[0])
    partition = k_fold_indices(list(dataset.ids), near_duplicates(dataset.images(69)), dataset.labels, 2, 1, 0)
    scores = {"plain": [], "full": []}
    for name, found in scores.items():
        for number, (_, held_out) in enumerate(partition):
            run = tmp_path / name / f"repeat0_fold{number}"
            counts = read_record(run).data["split"]
            assert counts["train"] + counts["validation"] + len(held_out) == len(dataset)
            with np.load(run / "predictions.npz") as kept:
                assert not set(kept["ids"]) & {dataset.ids[index] for index in held_out}
            model = keras.saving.load_model(run / "model.keras", compile=False)
            predicted = np.asarray(model(dataset.take(held_out).images(32).astype(np.float32))).argmax(axis=1)
            found.append(metrics.f1_score(dataset.labels[held_out], predicted, average="macro"))
    f1 = result.metrics["f1"]
    assert [f1.a.mean, f1.b.mean] == pytest.approx([np.mean(found) for found in scores.values()], abs=1e-6)
    assert f1.difference == pytest.approx(np.mean(np.subtract(scores["full"], scores["plain"])), abs=1e-6)

    # Finished runs are not trained again: the first training is one of the second repeat. What is said of a comparison
    # with repeats is tested in test_significance.
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*/model.keras")}
    with recorded("galaxy_edge.training.study") as records, pytest.raises(Stopped):
        compare_folds("plain", "full", folder[0], tmp_path, k=2, repeats=2, report=stop)
    assert [record.getMessage() for record in records] == ["training plain, repeat 2, fold 1 of 2"]
    assert len(before) == 4 and {path: path.stat().st_mtime_ns for path in before} == before
    # Folds of other settings are found before anything is trained.
    for options, message in (({"k": 3}, "folds=2, not 3"), ({"k": 2, "seed": 2}, "seed=1, not 2")):
        with pytest.raises(RunError, match=message):
            compare_folds("plain", "full", folder[0], tmp_path, report=stop, **options)
    with pytest.raises(RunError, match="full was started with epochs=1, not 2"):
        compare_folds("new", "full", folder[0], tmp_path, k=2, epochs=2, report=stop)
    with pytest.raises(RunError, match="cannot be compared with itself"):
        compare_folds("full", "full", folder[0], tmp_path, k=2)
    assert result.trained == {"plain": [1, 1], "full": [1, 1]} and not (tmp_path / "new").exists()
    splits = [read_record(tmp_path / "plain" / f"repeat{number}_fold0").data["hash"] for number in (0, 1)]
    assert splits[0] != splits[1]
    assert "repeats" not in result.reading
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert FoldComparison.from_dict(saved) == result and saved["metrics"]["f1"]["a"].keys() == {"mean", "std"}


def test_sources_are_crossed_over_the_groups_that_they_share(tmp_path):
    """A group that one source does not have cannot be learnt from it."""
    data = write_two_sources(tmp_path)
    parts = split_dataset(load_dataset(data, unnamed=True), 1)
    # Images with a coarse group only are used for training, not for validation or test.
    assert sum(parts.train.labels < 0) > 0
    assert (parts.validation.labels >= 0).all() and (parts.test.labels >= 0).all()
    recipe = replace(PLAIN, balance="root")
    out = tmp_path / "out"
    with recorded("galaxy_edge.training.study") as records:
        result = cross_sources(recipe, data, out)
    assert [record.getMessage() for record in records] == ["training on efigi", "training on gz_frames"]
    assert result.groups == {"efigi": ["edge_on", "smooth", "spiral"], "gz_frames": ["edge_on", "smooth"]}
    groups = np.array([coarse_group(name) for name in CLASSES])
    for trained in ("efigi", "gz_frames"):
        record = read_record(out / trained)
        assert list(record.data["sets"]) == [trained] and set(record.metrics["sets"]) == {trained}
        # A recipe of the report uses images with a class only.
        own = np.array(parts.train.sources) == trained
        assert record.data["split"]["train"] == np.sum(own & (parts.train.labels >= 0))
        model = keras.saving.load_model(out / trained / "model.keras", compile=False)
        for measured in ("efigi", "gz_frames"):
            shared = {"edge_on", "smooth"} | ({"spiral"} if trained == measured == "efigi" else set())
            chosen = [index for index, (source, group) in enumerate(
                zip(parts.validation.sources, parts.validation.groups, strict=True))
                if source == measured and group in shared]  # fmt: skip
            shown = parts.validation.take(chosen)
            predicted = np.asarray(model(shown.images(32).astype(np.float32))).argmax(axis=1)
            expected = np.mean(groups[predicted] == groups[shown.labels])
            assert result.coarse_accuracy[trained][measured] == pytest.approx(expected)
            recall, count = (table[trained][measured] for table in (result.recall, result.images))
            assert sum(count.values()) == len(chosen) and set(recall) == set(shown.groups)
            assert sum(recall[group] * count[group] for group in count) == pytest.approx(expected * len(chosen))
    saved = json.loads((out / "cross.json").read_text())
    assert SourceComparison.from_dict(saved) == result and "pictures" in saved
