"""Soft targets of teachers.

Means over orientations and runs, limited by the label, from the same split only.
"""

from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from ai_edge_litert.interpreter import Interpreter
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.labels import CLASSES, coarse_group
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.models.release import shipped_folder
from galaxy_edge.training.classifier.dataset import GalaxyDataset
from galaxy_edge.training.classifier.distillation import (
    SOFTENING_FACTOR,
    Teacher,
    average_soft_targets,
    load_teacher,
    orientations,
)
from galaxy_edge.training.classifier.partition import DatasetSplit
from galaxy_edge.training.classifier.recipe import RECIPES
from galaxy_edge.training.run import RunError, RunFolder
from galaxy_edge.training.study.runs import fit_parts

SPLIT = {"seed": 1, "hash": "a" * 64}


def make_dataset(labels, coarse=(), size=32):
    rng = np.random.default_rng(len(labels))
    labels = np.array([*labels, *(-1 for _ in coarse)])
    images = rng.integers(0, 256, (len(labels), size, size, 3), np.uint8)
    groups = [coarse_group(CLASSES[label]) for label in labels if label >= 0] + list(coarse)
    return GalaxyDataset(CLASSES, labels, tuple(groups), tuple(image.tobytes().hex()[:16] for image in images),
                      ("noise",) * len(labels), tuple(lambda image=image: (image, None) for image in images), 0.3)  # fmt: skip


def write_teacher(folder, seed, temperature=1.3, split=SPLIT, classes=CLASSES, finished=True, size=32):
    """Write a finished run whose network is one matrix on the pixels; return it.

    Its probabilities can be computed by hand.
    """
    matrix = np.random.default_rng(seed).normal(0, 0.02, (size * size * 3, 9)).astype(np.float32)
    pixels = keras.Input((size, size, 3))
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, keras.layers.Dense(9, name="logits", use_bias=False)(flat))
    model.layers[-1].set_weights([matrix])
    run = RunFolder(folder, "classify", {"seed": seed}, {"hash": "0", "split": split}, resume=False)
    model.save(folder / "model.keras")
    if finished:
        run.finish({"input": {"width": size, "height": size}, "decode": {"temperature": temperature},
                    "classes": list(classes)}, {})  # fmt: skip
    return matrix


def load(*folders):
    return [load_teacher(folder) for folder in folders]


def softmax(images, matrix, temperature):
    logits = (images.reshape(len(images), -1) / 255.0) @ matrix.astype(float) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def reference_prediction(images, matrix, temperature):
    """Average over the eight orientations, each written out pixel by pixel index."""
    total = np.zeros((len(images), 9))
    last = images.shape[1] - 1
    rows, columns = np.mgrid[: last + 1, : last + 1]
    ways = [(r, c) for a, b in ((rows, columns), (columns, rows)) for r in (a, last - a) for c in (b, last - b)]
    for picked in ways:
        total += softmax(images[:, picked[0], picked[1]], matrix, temperature)
    return total / 8


def test_orientations_are_the_eight_of_a_square():
    pixels = np.arange(2 * 3 * 3 * 3).reshape(2, 3, 3, 3)
    ways = orientations(pixels)
    assert len({way.tobytes() for way in map(np.ascontiguousarray, ways)}) == 8
    for way in ways:
        assert way.shape == pixels.shape  # which image and which channel is which stays
        assert np.array_equal(np.sort(way, axis=None), np.sort(pixels, axis=None))
        assert np.array_equal(way[0] % 3, pixels[0] % 3) and way[0].max() == 26


def test_prediction_is_the_mean_over_orientations(tmp_path):
    galaxies = make_dataset(range(9))
    matrix = write_teacher(tmp_path / "run", 1)
    images = galaxies.images(32)
    prediction = load_teacher(tmp_path / "run").predict
    assert prediction(images) == pytest.approx(reference_prediction(images, matrix, 1.3), abs=1e-5)
    # Turning the images changes nothing.
    assert prediction(orientations(images)[5]) == pytest.approx(prediction(images), abs=1e-6)


def test_predictions_are_averaged_softened_and_restricted_to_the_group(tmp_path):
    galaxies = make_dataset([0, 3, 8], ["spiral", "edge_on", "disk_no_spiral", ""])
    matrices = [write_teacher(tmp_path / str(seed), seed, seed + 0.5) for seed in (1, 2)]
    found = average_soft_targets(load(tmp_path / "1", tmp_path / "2"), galaxies, SPLIT)
    assert found.shape == (7, 9) and found.dtype == np.float32
    assert found.sum(axis=1) == pytest.approx(np.ones(7), abs=1e-5)
    images = galaxies.images(32)
    mean = np.mean([reference_prediction(images, matrix, SOFTENING_FACTOR * t) for matrix, t in zip(matrices, (1.5, 2.5), strict=True)],
                   axis=0)  # fmt: skip
    # Where the class is known, a teacher may still doubt it: that is what there is to learn.
    assert found[:3] == pytest.approx(mean[:3], abs=1e-5)
    assert found[6] == pytest.approx(mean[6], abs=1e-5)  # nothing is known of it: the teacher alone speaks
    for row, group in ((3, "spiral"), (4, "edge_on"), (5, "disk_no_spiral")):
        allowed = np.array([coarse_group(name) == group for name in CLASSES])
        assert (found[row][~allowed] == 0).all()
        assert found[row][allowed] == pytest.approx(mean[row][allowed] / mean[row][allowed].sum(), abs=1e-5)


def test_a_teacher_is_not_restricted_where_votes_are_divided(tmp_path):
    write_teacher(tmp_path / "1", 1)
    galaxies = make_dataset([0], ["edge_on", "edge_on"])
    votes = np.zeros((3, 9), np.float32)
    votes[1, CLASSES.index("smooth_cigar")] = votes[1, CLASSES.index("edge_on_no_bulge")] = 0.5
    found = average_soft_targets(load(tmp_path / "1"), replace(galaxies, votes=votes), SPLIT)
    assert (found[1] > 0).all() and (found[2] > 0).sum() == 2


def test_progress_names_the_teacher(tmp_path):
    for name in ("one", "two"):
        write_teacher(tmp_path / name, 1)
    messages: list[dict] = []
    average_soft_targets(load(tmp_path / "one", tmp_path / "two"), make_dataset([0, 1]), SPLIT, messages.append)
    assert [(message["epoch"], message["epochs"], message["label"]) for message in messages] == [
        (1, 2, "predictions of one"),
        (2, 2, "predictions of two"),
    ]


def test_teacher_sure_of_another_group_gives_no_preference_within_the_group(tmp_path):
    # All of its probability may lie elsewhere: nothing divided by nothing must not come out.
    matrix = write_teacher(tmp_path / "run", 1, temperature=1e-4)
    galaxies = make_dataset([], ["spiral", "edge_on", "smooth"])
    found = average_soft_targets(load(tmp_path / "run"), galaxies, SPLIT)
    assert np.isfinite(found).all() and found.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert (found[galaxies.targets() == 0] == 0).all()
    assert matrix.any()


@pytest.mark.parametrize(("changes", "message"), [
    ({"split": {"seed": 2, "hash": "b" * 64}}, "another split"),
    ({"split": {}}, "another split"),
    ({"finished": False}, "not finished"),
    ({"classes": CLASSES[::-1]}, "other classes"),
])  # fmt: skip
def test_unsuitable_teachers_are_refused(tmp_path, changes, message):
    write_teacher(tmp_path / "good", 1)
    write_teacher(tmp_path / "bad", 2, **changes)
    with pytest.raises(RunError, match=message):
        average_soft_targets(load(tmp_path / "good", tmp_path / "bad"), make_dataset([0, 1]), SPLIT)
    with pytest.raises(RunError, match="not a run folder"):
        load_teacher(tmp_path / "nothing")


def test_exported_classifier_teaches_with_its_float_network():
    folder = shipped_folder() / "galaxy-classifier"
    teacher = load_teacher(folder)
    assert (teacher.folder, teacher.side, teacher.classes) == (folder, 69, CLASSES)
    assert teacher.split == Bundle.load(folder, "classify").manifest.data.split["hash"]
    galaxies = make_dataset(range(3), ["spiral"], size=69)
    found = average_soft_targets([teacher], galaxies, {"hash": teacher.split})
    network = Interpreter(str(folder / "fp32.tflite"))
    network.allocate_tensors()
    [inputs], [outputs] = network.get_input_details(), network.get_output_details()
    expected = np.zeros((4, 9))
    for row, image in enumerate(galaxies.images(69)):
        for view in orientations(image[None]):
            network.set_tensor(inputs["index"], view.astype(inputs["dtype"]))
            network.invoke()
            scaled = np.exp(network.get_tensor(outputs["index"])[0] / (teacher.temperature * SOFTENING_FACTOR))
            expected[row] += scaled / scaled.sum() / 8
    assert found[:3] == pytest.approx(expected[:3], abs=1e-5)
    assert found[3, :6].sum() == 0 and found[3, 6:] == pytest.approx(expected[3, 6:] / expected[3, 6:].sum(), abs=1e-5)
    with pytest.raises(RunError, match="galaxy-classifier was trained on another split"):
        average_soft_targets([teacher], galaxies, SPLIT)


def test_bundle_of_a_detector_is_no_teacher():
    with pytest.raises(BundleError, match="not 'classify'"):
        load_teacher(shipped_folder() / "galaxy-detector")


def test_student_learns_soft_targets_and_resumes_with_its_teacher_only(tmp_path):
    galaxies = make_dataset([*range(9)] * 2, ["spiral"] * 2)
    parts = DatasetSplit(galaxies, galaxies.take(range(9)), galaxies.take([]), SPLIT)
    write_teacher(tmp_path / "teacher", 1)
    recipe = replace(RECIPES["simple"], size=32, batch=18, epochs=1, views="none", balance="none")
    record = fit_parts(recipe, parts, tmp_path / "pupil", teacher=[tmp_path / "teacher"])
    assert record.settings["taught"]
    assert record.data["split"] == {**SPLIT, "train": 18, "validation": 9}  # the recipe has no use for coarse ones
    with pytest.raises(RunError, match="taught=True, not False"):
        fit_parts(recipe, parts, tmp_path / "pupil", resume=True)
    with pytest.raises(RunError, match="another split"):
        fit_parts(recipe, replace(parts, record={"hash": "c" * 64}), tmp_path / "other", teacher=[tmp_path / "teacher"])
    assert not (tmp_path / "other").exists()


def test_predictions_of_a_teacher_are_cached(tmp_path, monkeypatch):
    galaxies = make_dataset([0, 1, 2, 3])
    write_teacher(tmp_path / "one", 1)
    write_teacher(tmp_path / "two", 2)
    first = average_soft_targets(load(tmp_path / "one"), galaxies, SPLIT)
    other = average_soft_targets(load(tmp_path / "two"), galaxies, SPLIT)
    assert np.abs(first - other).max() > 0.01
    monkeypatch.setattr(Teacher, "predict", None)  # nobody is asked again
    np.testing.assert_array_equal(average_soft_targets(load(tmp_path / "one"), galaxies, SPLIT), first)
    with pytest.raises(TypeError):
        average_soft_targets(load(tmp_path / "one"), make_dataset([0, 1, 2]), SPLIT)
    corrected = replace(galaxies, boxes=(np.array([2, 2, 20, 20], np.float32), None, None, None))
    with pytest.raises(TypeError):  # the same image, but another crop of it
        average_soft_targets(load(tmp_path / "one"), corrected, SPLIT)
