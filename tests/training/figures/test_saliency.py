"""Saliency of networks that are small enough to be computed by hand.

Heat maps, activations and filter patterns are tested.
"""

import numpy as np
import pytest
from scipy.signal import correlate2d

keras = pytest.importorskip("keras")

from galaxy_edge.training.classifier.keras_utils import multiply_adds
from galaxy_edge.training.figures.saliency import ExplainError, activations, filter_patterns, grad_cam
from helpers.hand_made_network import SIZE, hand_made_network, random_images
from helpers.networks import classifier_network

layers = keras.layers


def naive_convolution(image, kernel):
    """Correlate with scipy, channel by channel, with zeros around the image."""
    return np.stack(
        [
            sum(correlate2d(image[..., c] / 255, kernel[:, :, c, f], "same") for c in range(image.shape[2]))
            for f in range(kernel.shape[3])
        ],
        axis=2,
    )


def test_grad_cam_equals_cam_behind_a_global_average():
    """There the map is the class activation map of Zhou et al. 2016.

    The gradient is the dense weight over h*w.

    Its scale is removed by the division by the maximum.
    """
    model, kernel, weights = hand_made_network(np.random.default_rng(1))
    images = random_images(40)  # more than one batch
    heat, classes = grad_cam(model, images)
    inner = np.stack([naive_convolution(image, kernel) for image in images])
    np.testing.assert_array_equal(classes, np.argmax(inner.mean(axis=(1, 2)) @ weights, axis=1))
    cam = np.maximum(np.einsum("nhwf,fn->nhw", inner, weights[:, classes]), 0)
    np.testing.assert_allclose(heat, cam / cam.max(axis=(1, 2), keepdims=True), atol=1e-4)
    assert heat.dtype == np.float32


def test_grad_cam_of_a_given_class_and_without_evidence():
    """A class without evidence has an empty map, and causes no division by zero."""
    model, kernel, _ = hand_made_network(np.random.default_rng(1))
    model.set_weights([np.abs(kernel), np.array([[1.0, -1, 0, 0], [1, -1, 0, 0], [1, -1, 0, 0]])])
    images = random_images(3)
    heat, classes = grad_cam(model, images, np.array([0, 1, 0]))
    assert classes.tolist() == [0, 1, 0]
    assert heat[0].max() == heat[2].max() == 1
    # All evidence is against class 1.
    assert not heat[1].any()


def test_grad_cam_is_hot_where_the_light_is():
    """The map has a quarter of the image's side, so a transposed map fails here too.

    So does one that is resized wrongly.
    """
    image_input = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 4, 4, kernel_initializer="ones")(image_input)
    model = keras.Model(image_input, layers.Dense(2, kernel_initializer="ones")(layers.GlobalAveragePooling2D()(x)))
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 4:8, 20:24] = 200
    heat, _ = grad_cam(model, image)
    row, column = np.unravel_index(heat[0].argmax(), heat[0].shape)
    assert 4 <= row < 8 and 20 <= column < 24
    assert heat[0, 16:].max() == 0 and heat[0, :, :12].max() == 0


def nested(flat):
    """Return `flat` with its convolution three models deep.

    It is in a functional model in a sequential model in another model.
    """
    inner = keras.Model(flat.layers[0].output, flat.get_layer("filters").output, name="base")
    image_input = keras.Input((SIZE, SIZE, 3))
    middle = keras.Sequential([keras.Input((SIZE, SIZE, 3)), inner, layers.MaxPooling2D(2)], name="middle")
    x = layers.Flatten()(middle(image_input))
    return keras.Model(image_input, layers.Dense(4, name="logits")(x))


def test_nested_models_are_read_like_a_flat_one():
    """Pretrained bases are models within a model; their layers must be found too."""
    flat, _, _ = hand_made_network(np.random.default_rng(1))
    model = nested(flat)
    image = random_images(1)[0]
    np.testing.assert_allclose(activations(model, image)["filters"], activations(flat, image)["filters"], atol=1e-5)
    assert list(activations(model, image)) == ["filters", model.get_layer("middle").layers[-1].name]
    # Through the pooling, the gradient of a logit is the dense weight where a pixel is the largest of its four, so the
    # map is computed by a loop; it is read before the pooling, at the size of the image.
    heat, (predicted,) = grad_cam(model, image[None])
    inner = activations(flat, image)["filters"]
    weights = model.get_layer("logits").get_weights()[0][:, predicted].reshape(8, 8, 3)
    slope = np.zeros_like(inner)
    for row, column, channel in np.ndindex(8, 8, 3):
        block = inner[2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        y, x = np.unravel_index(block.argmax(), (2, 2))
        slope[2 * row + y, 2 * column + x, channel] = weights[row, column, channel]
    cam = np.maximum(inner @ slope.mean(axis=(0, 1)), 0)
    np.testing.assert_allclose(heat[0], cam / cam.max(), atol=1e-4)


def test_network_is_not_changed():
    """The same model may be evaluated or saved afterwards."""
    model = classifier_network(32, 0.34, 9)
    image = random_images(1, 32)
    before, cost = model(image.astype(np.float32)).numpy(), multiply_adds(model)
    grad_cam(model, image)
    activations(model, image[0])
    np.testing.assert_array_equal(model(image.astype(np.float32)).numpy(), before)
    assert multiply_adds(model) == cost and type(model.layers[2]).__name__ == "Conv2D"


def test_activations_are_those_of_convolution_and_pooling():
    """The sheet shows these arrays as the network's own."""
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
    image = random_images(1)[0]
    found = activations(model, image)
    assert list(found) == ["conv", "pool"]
    expected = naive_convolution(image, kernel) + bias
    np.testing.assert_allclose(found["conv"], expected, atol=1e-4)
    blocks = np.maximum(expected, 0).reshape(8, 2, 8, 2, 5).max(axis=(1, 3))
    np.testing.assert_allclose(found["pool"], blocks, atol=1e-4)


def test_layer_used_twice_has_two_names():
    """With one name, its second output would replace the first."""
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    image_input = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(image_input, layers.Dense(2)(layers.GlobalAveragePooling2D()(shared(shared(image_input)))))
    found = activations(model, random_images(1)[0])
    assert list(found) == ["shared", "shared#2"]
    assert not np.allclose(found["shared"], found["shared#2"])


def test_pattern_of_a_known_filter_is_what_it_detects():
    """A grating and a colour, each with a ReLU.

    A linear response averaged over the image would depend on the mean level only, and could not distinguish a grating
    from a flat field.
    """
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
    responses = [
        np.max([(inner[r : r + 7, c : c + 7] * kernel).sum() for r in range(12) for c in range(12)])
        for kernel in (grating[..., 0], grating[..., 0].T)
    ]
    assert responses[0] > 5 * responses[1]


def test_pattern_is_reproducible_and_independent_of_the_others():
    """The same filter must look the same on every sheet."""
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


def one_pixel_left():
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
        (one_pixel_left, "more than one pixel"),
        (lambda: keras.Sequential([keras.Input((8,)), layers.Dense(2)]), "only a model of images"),
        (lambda: keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(2, 3)]), "only a classifier"),
        (subclassed, "not a graph of layers"),
    ],
)
def test_networks_that_cannot_be_explained(make, message):
    """The message says what is wrong with the network."""
    with pytest.raises(ExplainError, match=message):
        grad_cam(make(), random_images(1))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (random_images(2, SIZE + 1), r"\(2, 17, 17, 3\).*16 x 16 x 3"),
        (random_images(2)[0], "shape"),
        (random_images(2) / 255.0, "float64"),
    ],
)
def test_images_of_another_shape_or_type(images, message):
    """Floats in 0..1 would be accepted by the network and give a meaningless map."""
    model, _, _ = hand_made_network(np.random.default_rng(0))
    with pytest.raises(ExplainError, match=message):
        grad_cam(model, images)


@pytest.mark.parametrize("index", [np.array([0, 4]), np.array([0]), np.array([-1, 0]), np.array([0.0, 1.0])])
def test_invalid_class_indices(index):
    """A negative index would silently count from the end."""
    model, _, _ = hand_made_network(np.random.default_rng(0))
    with pytest.raises(ExplainError, match=r"0\.\.3 for each of the 2"):
        grad_cam(model, random_images(2), index)


def test_unknown_layer_and_filter():
    """The message lists the layers and filters of the network."""
    model, _, _ = hand_made_network(np.random.default_rng(0))
    with pytest.raises(ExplainError, match="'other'; it has filters"):
        filter_patterns(model, "other", [0], 0)
    with pytest.raises(ExplainError, match=r"0\.\.2; requested: \[3\]"):
        filter_patterns(model, "filters", [0, 3], 0)
