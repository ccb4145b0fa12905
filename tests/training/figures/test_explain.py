"""Sheets of saliency maps are written whole; unsuitable models are rejected."""

import json
import logging

import cv2
import numpy as np
import pytest

pytest.importorskip("keras")

from galaxy_edge.training.figures.explain import explain_model, load_model
from galaxy_edge.training.figures.saliency import ExplainError, grad_cam
from galaxy_edge.training.figures.saliency_sheets import activation_sheet, filter_sheet, heat_sheet
from helpers.hand_made_network import SIZE, hand_made_network, random_images

LOGGER = "galaxy_edge.training.figures.explain"
NAMES = ("spiral_loose", "smooth_round", "disk_no_spiral", "edge_on_no_bulge")


def test_three_sheets_are_written(tmp_path, caplog):
    """The files are complete images, and no temporary file is left."""
    caplog.set_level(logging.INFO, LOGGER)
    model, _, _ = hand_made_network(np.random.default_rng(0))
    files = explain_model(
        model,
        random_images(5),
        [f"m{n}.png" for n in range(5)],
        NAMES,
        tmp_path / "new",
        1,
        truth=[NAMES[0], None, NAMES[1], None, None],
    )
    assert [file.name for file in files] == ["heat.png", "activations.png", "filters.png"]
    for file in files:
        sheet = cv2.imread(str(file))
        assert sheet is not None and sheet.shape[1] < 2000
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(files), "no temporary file is left"
    assert any("filters" in message for message in caplog.messages)


def test_heat_sheet_is_rgb_and_hot_where_the_heat_is():
    """Swapped channels or a mirrored map would mislead the reader."""
    image = np.full((1, SIZE, SIZE, 3), (200, 0, 0), np.uint8)
    heat = np.zeros((1, SIZE, SIZE), np.float32)
    heat[0, :, SIZE // 2 :] = 1
    sheet = heat_sheet(image, heat, np.array([[0.7, 0.1, 0.1, 0.1]]), np.array([0]), ["a"], NAMES)
    plain, blended = sheet[60, 40], [sheet[60, x] for x in (8 + 168 + 8 + 20, 8 + 168 + 8 + 150)]
    assert plain.tolist() == [200, 0, 0]
    # The hot end of the colour map is pale yellow, the cold end black.
    assert blended[0][1] < 10 and blended[1][1] > 100


def test_sheets_of_many_layers_and_images_stay_narrow():
    """A sheet must fit on a screen whatever the network and the images."""
    many = {f"layer{n}": np.random.default_rng(n).normal(size=(4, 4, 64)) for n in range(30)}
    assert activation_sheet(random_images(1)[0], many).shape[1] < 2000
    assert filter_sheet({"layer": (list(range(12)), random_images(12))}).shape[1] < 2000
    count = 13
    sheet = heat_sheet(
        random_images(count),
        np.zeros((count, SIZE, SIZE)),
        np.full((count, 4), 0.25),
        np.zeros(count, int),
        ["a name that is much too long to be written in a cell " * 3] * count,
        NAMES,
    )
    assert sheet.shape[1] < 2000


def test_flat_channel_causes_no_division_by_zero():
    """A channel behind a ReLU is often 0 everywhere."""
    with np.errstate(all="raise"):
        activation_sheet(random_images(1)[0], {"flat": np.ones((4, 4, 2))})


def test_omitted_images_are_reported(tmp_path, caplog):
    """A reader must not take the sheet for all images."""
    caplog.set_level(logging.INFO, LOGGER)
    model, _, _ = hand_made_network(np.random.default_rng(0))
    explain_model(model, random_images(61), ["x"] * 61, NAMES, tmp_path, 1)
    assert caplog.messages[0] == "showing the first 60 of 61 images"


@pytest.mark.parametrize(
    ("count", "names", "message"),
    [
        (0, NAMES, "at least one image"),
        (2, NAMES[:3], "4 outputs, but 3 class names"),
    ],
)
def test_images_and_names_that_do_not_match(tmp_path, count, names, message):
    """Nothing is written before the arguments were checked."""
    model, _, _ = hand_made_network(np.random.default_rng(0))
    with pytest.raises(ExplainError, match=message):
        explain_model(model, random_images(count), ["x"] * count, names, tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_folder_that_cannot_be_written(tmp_path):
    """The message names the file."""
    model, _, _ = hand_made_network(np.random.default_rng(0))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExplainError, match=r"heat\.png cannot be written"):
        explain_model(model, random_images(1), ["x"], NAMES, tmp_path / "file", 1)


def test_model_is_loaded_from_a_run_folder_or_a_file(tmp_path):
    """Both spellings of the argument mean the same model."""
    model, _, _ = hand_made_network(np.random.default_rng(0))
    model.save(tmp_path / "model.keras")
    image = random_images(1)
    for path in (tmp_path, tmp_path / "model.keras"):
        np.testing.assert_allclose(grad_cam(load_model(path), image)[0], grad_cam(model, image)[0], atol=1e-6)


def unreadable(kind, folder):
    """Create a file or folder that is not a readable Keras model; return its path."""
    if kind == "bundle":
        (folder / "bundle.toml").write_text("task = 'classify'")
    elif kind == "tflite":
        (folder / "model.keras").write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    elif kind == "unfinished":
        (folder / "run.json").write_text(json.dumps({"task": "classify"}))
    elif kind == "other":
        (folder / "model.h5").write_bytes(b"\x89HDF\r\n")
        return folder / "model.h5"
    elif kind == "missing":
        return folder / "nowhere"
    else:
        hand_made_network(np.random.default_rng(0))[0].save(folder / "model.keras")
        content = (folder / "model.keras").read_bytes()
        if kind == "cut":
            (folder / "model.keras").write_bytes(content[: len(content) // 2])
        else:
            # One byte of the weights is changed: the zip is complete, its content is damaged.
            at = content.index(b"model.weights.h5") + 400
            (folder / "model.keras").write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bundle", "needs the Keras model of a run"),
        ("tflite", "needs the Keras model of a run"),
        ("unfinished", "finished run"),
        ("other", r"not a \.keras file"),
        ("missing", "does not exist"),
        ("cut", "is truncated"),
        ("damaged", "cannot be read"),
    ],
)
def test_files_that_are_not_keras_models(tmp_path, kind, message):
    """The message says what to name instead, in one line."""
    with pytest.raises(ExplainError, match=message) as caught:
        load_model(unreadable(kind, tmp_path))
    assert "\n" not in str(caught.value)
