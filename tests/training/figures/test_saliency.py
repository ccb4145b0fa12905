"""Heat maps, inner pictures and filter patterns against networks small enough to be worked out by hand, and sheets."""

import json

import cv2
import numpy as np
import pytest
from scipy.signal import correlate2d

keras = pytest.importorskip("keras")

from galaxy_edge.training.classifier.keras_utils import multiply_adds
from galaxy_edge.training.figures.saliency import ExplainError, activations, filter_patterns, grad_cam
from galaxy_edge.training.figures.saliency_sheets import (
    activation_sheet,
    explain_model,
    filter_sheet,
    heat_sheet,
    load_model,
)
from helpers.networks import classifier_network

layers = keras.layers
SIZE = 16


def by_hand(rng, pool=True):
    """Rescaling, one linear convolution (3 filters of 3x3), global average, four classes."""
    kernel, weights = rng.normal(size=(3, 3, 3, 3)), rng.normal(size=(3, 4))
    picture = keras.Input((SIZE, SIZE, 3))
    x = layers.Rescaling(1 / 255)(picture)
    x = layers.Conv2D(3, 3, padding="same", use_bias=False, name="filters")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(picture, layers.Dense(4, use_bias=False, name="logits")(x))
    model.set_weights([kernel, weights])
    return model, kernel, weights


def naive_convolution(image, kernel):
    """Correlate by scipy, channel by channel, with the zeros about the picture that "same" means."""
    return np.stack(
        [
            sum(correlate2d(image[..., c] / 255, kernel[:, :, c, f], "same") for c in range(image.shape[2]))
            for f in range(kernel.shape[3])
        ],
        axis=2,
    )


def pictures(count, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_grad_cam_is_cam_where_that_is_defined():
    # Behind a global average the gradient is the dense weight over h*w, so the map is the class activation map of
    # Zhou et al. 2016, whose scale the division by the maximum takes away.
    model, kernel, weights = by_hand(np.random.default_rng(1))
    images = pictures(40)  # more than one batch
    heat, classes = grad_cam(model, images)
    inner = np.stack([naive_convolution(image, kernel) for image in images])
    np.testing.assert_array_equal(classes, np.argmax(inner.mean(axis=(1, 2)) @ weights, axis=1))
    cam = np.maximum(np.einsum("nhwf,fn->nhw", inner, weights[:, classes]), 0)
    np.testing.assert_allclose(heat, cam / cam.max(axis=(1, 2), keepdims=True), atol=1e-4)
    assert heat.dtype == np.float32


def test_grad_cam_of_a_given_class_and_of_none():
    model, kernel, _ = by_hand(np.random.default_rng(1))
    model.set_weights([np.abs(kernel), np.array([[1.0, -1, 0, 0], [1, -1, 0, 0], [1, -1, 0, 0]])])
    images = pictures(3)
    heat, classes = grad_cam(model, images, np.array([0, 1, 0]))
    assert classes.tolist() == [0, 1, 0]
    assert heat[0].max() == heat[2].max() == 1
    # All evidence is against class 1: an empty map, not a division by zero.
    assert not heat[1].any()


def test_grad_cam_points_at_the_light_through_a_smaller_map():
    # The map has a quarter of the picture's side, so this also sees a map that is transposed or wrongly resized.
    picture = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 4, 4, kernel_initializer="ones")(picture)
    model = keras.Model(picture, layers.Dense(2, kernel_initializer="ones")(layers.GlobalAveragePooling2D()(x)))
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 4:8, 20:24] = 200
    heat, _ = grad_cam(model, image)
    row, column = np.unravel_index(heat[0].argmax(), heat[0].shape)
    assert 4 <= row < 8 and 20 <= column < 24
    assert heat[0, 16:].max() == 0 and heat[0, :, :12].max() == 0


def nested(flat):
    """The network of `flat`, its convolutions in a functional model within a sequential one within another."""
    inner = keras.Model(flat.layers[0].output, flat.get_layer("filters").output, name="base")
    picture = keras.Input((SIZE, SIZE, 3))
    middle = keras.Sequential([keras.Input((SIZE, SIZE, 3)), inner, layers.MaxPooling2D(2)], name="middle")
    x = layers.Flatten()(middle(picture))
    return keras.Model(picture, layers.Dense(4, name="logits")(x))


def test_models_within_models_are_read_as_the_flat_one():
    flat, _, _ = by_hand(np.random.default_rng(1))
    model = nested(flat)
    image = pictures(1)[0]
    np.testing.assert_allclose(activations(model, image)["filters"], activations(flat, image)["filters"], atol=1e-5)
    assert list(activations(model, image)) == ["filters", model.get_layer("middle").layers[-1].name]
    # Through the pool the gradient of a logit is the dense weight where a place was the largest of its four, so the
    # map is worked out by a loop; and it is read before the pool, at the picture's own size.
    heat, (named,) = grad_cam(model, image[None])
    inner = activations(flat, image)["filters"]
    weights = model.get_layer("logits").get_weights()[0][:, named].reshape(8, 8, 3)
    slope = np.zeros_like(inner)
    for row, column, channel in np.ndindex(8, 8, 3):
        block = inner[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        y, x = np.unravel_index(block.argmax(), (2, 2))
        slope[2 * row + y, 2 * column + x, channel] = weights[row, column, channel]
    cam = np.maximum(inner @ slope.mean(axis=(0, 1)), 0)
    np.testing.assert_allclose(heat[0], cam / cam.max(), atol=1e-4)


def test_explaining_leaves_the_network_as_it_was():
    model = classifier_network(32, 0.34, 9)
    image = pictures(1, 32)
    before, cost = model(image.astype(np.float32)).numpy(), multiply_adds(model)
    grad_cam(model, image)
    activations(model, image[0])
    np.testing.assert_array_equal(model(image.astype(np.float32)).numpy(), before)
    assert multiply_adds(model) == cost and type(model.layers[2]).__name__ == "Conv2D"


def test_activations_are_the_convolution_and_its_pool():
    rng = np.random.default_rng(2)
    kernel = rng.normal(size=(3, 3, 3, 5))
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(5, 3, padding="same", name="conv"),
            layers.ReLU(),
            layers.MaxPooling2D(2, name="pool"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    bias = rng.normal(size=5)
    model.get_layer("conv").set_weights([kernel, bias])
    image = pictures(1)[0]
    found = activations(model, image)
    assert list(found) == ["conv", "pool"]
    wanted = naive_convolution(image, kernel) + bias
    np.testing.assert_allclose(found["conv"], wanted, atol=1e-4)
    blocks = np.maximum(wanted, 0).reshape(8, 2, 8, 2, 5).max(axis=(1, 3))
    np.testing.assert_allclose(found["pool"], blocks, atol=1e-4)


def test_a_layer_used_twice_is_named_twice():
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    picture = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(picture, layers.Dense(2)(layers.GlobalAveragePooling2D()(shared(shared(picture)))))
    found = activations(model, pictures(1)[0])
    assert list(found) == ["shared", "shared#2"]
    assert not np.allclose(found["shared"], found["shared#2"])


def test_pattern_of_a_known_filter_is_what_it_detects():
    # A grating and a colour, each with a ReLU: a linear answer averaged over the picture would see nothing but its
    # mean level, and could not tell a grating from a flat field.
    x = np.arange(7) - 3
    grating = np.repeat(np.cos(np.pi * x / 3)[None, :, None] * np.ones((7, 1, 1)), 3, axis=2)
    grating -= grating.mean()
    colour = np.ones((7, 7, 1)) * [1.0, -0.5, -0.5]
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Rescaling(1 / 255, offset=-0.5),
            layers.Conv2D(2, 7, use_bias=False, name="conv", activation=keras.ops.relu),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    model.get_layer("conv").set_weights([np.stack([grating, colour], axis=3)])
    stripes, red = filter_patterns(model, "conv", [0, 1], seed=3, steps=60).astype(float)
    assert red[4:20, 4:20, 0].mean() > 200 and red[4:20, 4:20, 1:].mean() < 60
    # The grating repeats every 6 pixels across and not at all down: so does the power of the pattern.
    inner = stripes[3:21, 3:21].mean(axis=2)
    power = np.abs(np.fft.fft2(inner - inner.mean())) ** 2
    assert np.unravel_index(power[:, :9].argmax(), (18, 9)) == (0, 3)
    answers = [
        np.max([(inner[r : r + 7, c : c + 7] * kernel).sum() for r in range(12) for c in range(12)])
        for kernel in (grating[..., 0], grating[..., 0].T)
    ]
    assert answers[0] > 5 * answers[1]


def test_a_pattern_is_its_own_and_repeatable():
    model = classifier_network(32, 0.34, 9)
    name = next(layer.name for layer in model.layers if isinstance(layer, layers.Conv2D))
    several = filter_patterns(model, name, [0, 2], seed=1, steps=4)
    assert several.shape == (2, 32, 32, 3) and several.dtype == np.uint8
    np.testing.assert_array_equal(several[1:], filter_patterns(model, name, [2], seed=1, steps=4))
    assert not np.array_equal(several[1], filter_patterns(model, name, [2], seed=2, steps=4)[0])


def no_convolution():
    return keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4)]
    )


def no_place_left():
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(2, SIZE), layers.Flatten(), layers.Dense(4)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        return self.dense(keras.ops.mean(x, axis=(1, 2)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_convolution, "no convolution"),
        (no_place_left, "more than one place"),
        (lambda: keras.Sequential([keras.Input((8,)), layers.Dense(2)]), "one of pictures"),
        (lambda: keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(2, 3)]), "only a classifier"),
        (subclassed, "not a graph of layers"),
    ],
)
def test_networks_that_cannot_be_explained(make, message):
    with pytest.raises(ExplainError, match=message):
        grad_cam(make(), pictures(1))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (pictures(2, SIZE + 1), r"\(2, 17, 17, 3\).*16 x 16 x 3"),
        (pictures(2)[0], "shape"),
        (pictures(2) / 255.0, "float64"),
    ],
)
def test_pictures_that_do_not_fit(images, message):
    model, _, _ = by_hand(np.random.default_rng(0))
    with pytest.raises(ExplainError, match=message):
        grad_cam(model, images)


@pytest.mark.parametrize("index", [np.array([0, 4]), np.array([0]), np.array([-1, 0]), np.array([0.0, 1.0])])
def test_classes_that_do_not_fit(index):
    model, _, _ = by_hand(np.random.default_rng(0))
    with pytest.raises(ExplainError, match=r"0\.\.3 for each of the 2"):
        grad_cam(model, pictures(2), index)


def test_unknown_layer_and_filter_name_what_there_is():
    model, _, _ = by_hand(np.random.default_rng(0))
    with pytest.raises(ExplainError, match="'other'; it has filters"):
        filter_patterns(model, "other", [0], 0)
    with pytest.raises(ExplainError, match=r"0\.\.2; asked for \[3\]"):
        filter_patterns(model, "filters", [0, 3], 0)


NAMES = ("spiral_loose", "smooth_round", "disk_no_spiral", "edge_on_no_bulge")


def test_three_sheets_are_written_whole(tmp_path):
    model, _, _ = by_hand(np.random.default_rng(0))
    told = []
    files = explain_model(
        model,
        pictures(5),
        [f"m{n}.png" for n in range(5)],
        NAMES,
        tmp_path / "new",
        1,
        told.append,
        truth=[NAMES[0], None, NAMES[1], None, None],
    )
    assert [file.name for file in files] == ["heat.png", "activations.png", "filters.png"]
    for file in files:
        sheet = cv2.imread(str(file))
        assert sheet is not None and sheet.shape[1] < 2000
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(files), "no temporary file is left"
    assert any("filters" in line for line in told)


def test_sheets_are_rgb_and_hot_where_the_heat_is():
    image = np.full((1, SIZE, SIZE, 3), (200, 0, 0), np.uint8)
    heat = np.zeros((1, SIZE, SIZE), np.float32)
    heat[0, :, SIZE // 2 :] = 1
    sheet = heat_sheet(image, heat, np.array([[0.7, 0.1, 0.1, 0.1]]), np.array([0]), ["a"], NAMES)
    plain, laid = sheet[60, 40], [sheet[60, x] for x in (8 + 168 + 8 + 20, 8 + 168 + 8 + 150)]
    assert plain.tolist() == [200, 0, 0]
    # The hot end of the colours is a pale yellow, the cold one black.
    assert laid[0][1] < 10 and laid[1][1] > 100


def test_sheets_stay_narrow_however_much_there_is(tmp_path):
    many = {f"layer{n}": np.random.default_rng(n).normal(size=(4, 4, 64)) for n in range(30)}
    assert activation_sheet(pictures(1)[0], many).shape[1] < 2000
    assert filter_sheet({"layer": (list(range(12)), pictures(12))}).shape[1] < 2000
    count = 13
    sheet = heat_sheet(
        pictures(count),
        np.zeros((count, SIZE, SIZE)),
        np.full((count, 4), 0.25),
        np.zeros(count, int),
        ["a name that is much too long to be written in a cell " * 3] * count,
        NAMES,
    )
    assert sheet.shape[1] < 2000


def test_a_flat_channel_is_black_and_no_division_by_zero():
    with np.errstate(all="raise"):
        activation_sheet(pictures(1)[0], {"flat": np.ones((4, 4, 2))})


def test_more_pictures_than_a_sheet_holds_are_said_to_be_left_out(tmp_path):
    model, _, _ = by_hand(np.random.default_rng(0))
    told = []
    explain_model(model, pictures(61), ["x"] * 61, NAMES, tmp_path, 1, told.append)
    assert told[0] == "showing the first 60 of 61 pictures"


@pytest.mark.parametrize(
    ("count", "names", "message"),
    [
        (0, NAMES, "at least one picture"),
        (2, NAMES[:3], "4 outputs, and 3 class names"),
    ],
)
def test_what_cannot_be_explained_is_said(tmp_path, count, names, message):
    model, _, _ = by_hand(np.random.default_rng(0))
    with pytest.raises(ExplainError, match=message):
        explain_model(model, pictures(count), ["x"] * count, names, tmp_path, 1, print)
    assert not list(tmp_path.iterdir())


def test_sheet_that_cannot_be_written_is_said(tmp_path):
    model, _, _ = by_hand(np.random.default_rng(0))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExplainError, match=r"heat\.png cannot be written"):
        explain_model(model, pictures(1), ["x"], NAMES, tmp_path / "file", 1, lambda _: None)


def test_model_is_read_from_its_run_or_its_file(tmp_path):
    model, _, _ = by_hand(np.random.default_rng(0))
    model.save(tmp_path / "model.keras")
    image = pictures(1)
    for path in (tmp_path, tmp_path / "model.keras"):
        np.testing.assert_allclose(grad_cam(load_model(path), image)[0], grad_cam(model, image)[0], atol=1e-6)


def unreadable(kind, folder):
    """Make something of a kind that is no readable Keras model; return its path."""
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
        by_hand(np.random.default_rng(0))[0].save(folder / "model.keras")
        content = (folder / "model.keras").read_bytes()
        if kind == "cut":
            (folder / "model.keras").write_bytes(content[: len(content) // 2])
        else:
            # One byte of the weights: the zip is whole, its content is not.
            place = content.index(b"model.weights.h5") + 400
            (folder / "model.keras").write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bundle", "needs the Keras model of a run"),
        ("tflite", "needs the Keras model of a run"),
        ("unfinished", "finished run"),
        ("other", r"not a \.keras file"),
        ("missing", "does not exist"),
        ("cut", "cut short"),
        ("damaged", "cannot be read"),
    ],
)
def test_what_is_no_keras_model_is_said(tmp_path, kind, message):
    with pytest.raises(ExplainError, match=message) as caught:
        load_model(unreadable(kind, tmp_path))
    assert "\n" not in str(caught.value)
