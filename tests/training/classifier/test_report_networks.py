"""The report's networks: published costs, layers and computed outputs."""

import itertools

import numpy as np
import pytest
from scipy.signal import correlate2d

tf = pytest.importorskip("tensorflow")

import keras
from galaxy_edge.export.tflite.convert import input_is_raw
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.classifier.balancing import class_weights
from galaxy_edge.training.classifier.keras_utils import multiply_adds, save_network
from galaxy_edge.training.classifier.recipe import RECIPES, SCRATCH
from galaxy_edge.training.classifier.report_networks import BUILDERS, L1, L2, optimised, regularised, simple
from helpers.tflite import float_tensors, to_tflite

SWITCHES = ("dropout", "l1l2", "batch_norm")


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def shake(model, seed=0):
    """Give every layer of a network different weights, biases and statistics."""
    rng = np.random.default_rng([seed, 5])
    for weight in model.weights:
        spread = 1.0 / np.sqrt(np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 4.0)
        values = rng.normal(0.0, spread, weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.name else values)


def test_scratch_costs_what_the_report_prints():
    network = BUILDERS["scratch"](69, len(CLASSES))
    assert network.count_params() == 230_377
    assert round(multiply_adds(network) / 1e6, 1) == 17.6


def test_the_reconstruction_costs_what_the_report_prints():
    network = optimised(69, len(CLASSES))
    assert network.count_params() == 392_137
    assert multiply_adds(network) == pytest.approx(225e6, rel=0.02)
    first = network.layers[2]
    assert (first.kernel_size, first.filters, first.output.shape[1:3]) == ((5, 5), 128, (69, 69))


def test_every_combination_of_the_study_has_a_builder():
    combinations = {"+".join(chosen) for count in (1, 2, 3) for chosen in itertools.combinations(SWITCHES, count)}
    assert set(BUILDERS) == combinations | {"simple", "bigger", "scratch", "optimised"}


@pytest.mark.parametrize("name", ["bigger", *(name for name in BUILDERS if set(name.split("+")) <= set(SWITCHES))])
def test_a_builder_has_the_regularisation_it_is_named_for_and_no_other(name):
    network = BUILDERS[name](32, 4)
    asked = name.split("+")
    # Normalisation and penalty occur five times each, in four blocks and the dense layer; dropout occurs once.
    assert kinds(network).count("Dropout") == (1 if "dropout" in asked else 0)
    assert kinds(network).count("BatchNormalization") == (5 if "batch_norm" in asked else 0)
    assert len(network.losses) == (5 if "l1l2" in asked else 0)
    # Regularisation must not change the network that is regularised.
    kernels = [tuple(weight.shape) for weight in network.weights if weight.name == "kernel"]
    assert kernels == [(3, 3, 3, 16), (3, 3, 16, 32), (3, 3, 32, 64), (3, 3, 64, 128), (512, 64), (64, 4)]


def test_blocks_are_in_the_order_of_the_report():
    # The report normalises behind the ReLU; our own network before it, and that changes what int8 costs.
    block = ["Conv2D", "ReLU", "BatchNormalization", "MaxPooling2D"]
    assert kinds(BUILDERS["scratch"](69, 9)) == [
        "InputLayer",
        "Rescaling",
        *4 * block,
        "Flatten",
        "Dropout",
        "Dense",
        "ReLU",
        "BatchNormalization",
        "Dense",
    ]
    assert kinds(simple(69, 9)) == [
        "InputLayer",
        "Rescaling",
        *2 * ["Conv2D", "ReLU", "MaxPooling2D"],
        "Flatten",
        "Dense",
        "ReLU",
        "Dense",
    ]


def test_scratch_is_the_network_with_dropout_and_batch_normalisation():
    # Parameter counts cannot show it: it was once built without dropout.
    scratch, named = (BUILDERS[name](69, 9) for name in ("scratch", "dropout+batch_norm"))
    assert kinds(scratch) == kinds(named)
    (dropout,) = (layer for layer in scratch.layers if type(layer).__name__ == "Dropout")
    assert dropout.rate == 0.5
    index = scratch.layers.index(dropout)
    assert [type(layer).__name__ for layer in scratch.layers[index - 1 : index + 2]] == ["Flatten", "Dropout", "Dense"]


def test_recipes_of_the_report_are_partially_rebalanced_with_weights():
    # The strategy that the report chose (section 2.3); "partial" includes the weights.
    for name in ("scratch", "optimised", "vgg_features", "vgg_block5", *SCRATCH):
        assert RECIPES[name].balance == "partial", name
    assert np.ptp(class_weights(np.repeat(np.arange(3), (10, 20, 90)), "partial", 3)) > 0


def test_scratch_computes_what_plain_loops_compute():
    # The slow twin knows nothing of Keras: it sees the padding, the order of the layers, the floor of odd sides.
    network = BUILDERS["scratch"](19, 3)
    shake(network)
    image = np.random.default_rng(1).integers(0, 256, (19, 19, 3)).astype(np.float32)
    values = iter([np.asarray(weight, np.float64) for weight in network.weights])

    def finish(x):
        gamma, beta, mean, variance = (next(values) for _ in range(4))
        return gamma * (np.maximum(x, 0) - mean) / np.sqrt(variance + 1e-3) + beta

    x = image.astype(np.float64) / 255
    for _ in range(4):
        kernel, bias = next(values), next(values)
        x = (
            np.stack(
                [
                    sum(correlate2d(x[..., i], kernel[..., i, o], mode="same") for i in range(kernel.shape[2]))
                    for o in range(kernel.shape[3])
                ],
                axis=-1,
            )
            + bias
        )
        x = finish(x)
        half = x.shape[0] // 2
        x = x[: 2 * half, : 2 * half].reshape(half, 2, half, 2, -1).max(axis=(1, 3))
    kernel, bias = next(values), next(values)
    x = finish(x.ravel() @ kernel + bias)
    kernel, bias = next(values), next(values)
    logits = network(image[None], training=False).numpy()[0]
    assert np.ptp(logits) > 0.1  # else any network would do
    assert logits == pytest.approx(x @ kernel + bias, abs=1e-4)
    assert next(values, None) is None


def test_the_penalty_is_that_of_the_kernels():
    network = BUILDERS["l1l2"](32, 4)
    shake(network)
    kernels = [np.asarray(w, np.float64) for w in network.weights if w.name == "kernel"][:-1]  # not the last layer's
    expected = sum(L1 * np.abs(kernel).sum() + L2 * np.square(kernel).sum() for kernel in kernels)
    assert float(sum(network.losses)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["dropout", "scratch", "optimised"])
def test_dropout_works_in_training_only(name):
    network = BUILDERS[name](32, 4)
    shake(network)
    images = np.random.default_rng(2).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    keras.utils.set_random_seed(1)
    once, again = (network(images, training=False).numpy() for _ in range(2))
    assert np.array_equal(once, again)
    # Batch normalisation differs in training too, so two training passes are compared, not training with inference.
    assert not np.allclose(network(images, training=True), network(images, training=True))


@pytest.mark.parametrize("name", ["simple", "bigger", "optimised", "dropout+l1l2+batch_norm"])
def test_a_loss_on_the_logits_reaches_every_weight(name):
    keras.utils.set_random_seed(3)
    network = BUILDERS[name](32, 4)
    images = np.random.default_rng(3).integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(8) % 4, logits))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert all(gradient is not None and float(tf.reduce_max(tf.abs(gradient))) > 0 for gradient in gradients)


def test_logits_are_named_and_not_normalised():
    for name, build in BUILDERS.items():
        network = build(32, 4)
        assert network.layers[-1].name == "logits", name
        assert network.layers[-1].activation is keras.activations.linear, name


def test_saved_network_is_loaded_unchanged(tmp_path):
    # All three regularisations, as each is one more thing that a file must keep.
    network = regularised(32, 4, dropout=True, l1l2=True, batch_norm=True)
    shake(network)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    images = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    assert np.array_equal(network(images, training=False), loaded(images, training=False))
    assert float(sum(loaded.losses)) == pytest.approx(float(sum(network.losses)))


def test_scratch_converts_to_float_and_to_full_int8(tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    network = BUILDERS["scratch"](69, len(CLASSES))
    shake(network)
    save_network(network, tmp_path / "saved_model", 69)
    images = np.random.default_rng(5).integers(0, 256, (8, 69, 69, 3)).astype(np.uint8)
    interpreter = Interpreter(model_content=to_tflite(tmp_path / "saved_model", None))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images[:1].astype(np.float32))
    interpreter.invoke()
    converted = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = network(images[:1].astype(np.float32), training=False).numpy()
    assert converted == pytest.approx(expected, abs=1e-3 * float(np.abs(expected).max()))
    int8 = to_tflite(tmp_path / "saved_model", images)
    assert input_is_raw(int8) and not float_tensors(int8)
