"""Networks of the search space.

The built network has the described layers and the computed cost.
"""

import dataclasses
import json

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.classifier.keras_utils import multiply_adds, save_network
from galaxy_edge.training.classifier.small_network import (
    KINDS,
    POOLINGS,
    NetworkError,
    SmallNetwork,
    Stage,
    build,
    cost,
)
from galaxy_edge.training.search.classifier_space import SPACE, from_choice
from helpers.networks import classifier_network
from helpers.tflite import float_tensors, to_tflite

PLAIN = Stage(32, 1, 3, "plain")
PRESENT = SmallNetwork(
    69, 16, 5, 2, (PLAIN, Stage(64, 2, 3, "mixed"), Stage(128, 1, 3, "separable")), "average", 0, 0.2
)
"""`classifier_network(69, 1.33, 9)` in the words of the space."""

EVERY_PART = SmallNetwork(48, 8, 3, 1, (Stage(24, 1, 5, "separable"),), "both", 32, 0.0)

SHORT = SmallNetwork(96, 16, 5, 2, (Stage(48, 0, 3, "plain"), Stage(64, 1, 5, "mixed")), "average", 0, 0.2)


def any_network(seed):
    rng = np.random.default_rng(seed)
    return from_choice({name: values[rng.integers(len(values))] for name, values in SPACE.items()})


def layers_of(model):
    """The kind of each layer, and the shapes of its weights and output."""
    return [
        (type(layer).__name__, [tuple(w.shape) for w in layer.weights], tuple(layer.output.shape))
        for layer in model.layers
    ]


def test_present_network_is_in_the_space():
    # A search that could not find what it is to replace could only look worse than it by accident.
    choice = dict(
        size=69, stem_channels=16, stem_kernel=5, stem_stride=2, pooling="average", dense=0, dropout_percent=20
    )
    for number, stage in enumerate(PRESENT.stages, 1):
        choice |= {f"stage{number}_{name}": value for name, value in dataclasses.asdict(stage).items()}
    assert choice.keys() == SPACE.keys() and all(value in SPACE[name] for name, value in choice.items())
    assert from_choice(choice) == PRESENT
    assert layers_of(build(PRESENT, 9)) == layers_of(classifier_network(69, 1.33, 9))


@pytest.mark.parametrize("seed", range(4))
def test_cost_is_what_keras_counts(seed):
    spec = any_network(seed)
    model = build(spec, 9)
    assert cost(spec, 9)[:2] == (multiply_adds(model), model.count_params())
    assert model.input_shape == (None, spec.size, spec.size, 3) and model.output_shape == (None, 9)
    assert model.layers[-1].name == "logits"


@pytest.mark.parametrize("spec", [SHORT, EVERY_PART], ids=["short", "every part"])
def test_int8_bytes_are_those_of_the_converter(spec, tmp_path):
    # The budget of a device is in the file's bytes, and converting takes many seconds: the estimate must do.
    save_network(build(spec, 9), tmp_path / "saved", spec.size)
    images = np.random.default_rng(0).integers(0, 256, (2, spec.size, spec.size, 3), np.uint8)
    content = to_tflite(tmp_path / "saved", images)
    assert float_tensors(content) == []
    assert cost(spec, 9).int8_bytes == pytest.approx(len(content), rel=0.05)


def test_network_gives_finite_logits_and_loads_again(tmp_path):
    # A run keeps its network as a Keras file; maxima next to averages and a dense layer must survive it.
    model = build(EVERY_PART, len(CLASSES))
    images = np.random.default_rng(1).integers(0, 256, (4, 48, 48, 3)).astype(np.float32)
    logits = model(images, training=False).numpy()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.isfinite(logits).all() and logits.std() > 0
    np.testing.assert_allclose(again(images, training=False).numpy(), logits, atol=1e-6)


def test_residual_block_adds_its_input():
    # With the last convolution of a block at zero the block passes its (positive) input on unchanged.
    deep = build(dataclasses.replace(EVERY_PART, stages=(Stage(24, 1, 3, "plain"),)), 9)
    plain = build(dataclasses.replace(EVERY_PART, stages=(Stage(24, 0, 3, "plain"),)), 9)
    weights = iter(plain.get_weights())
    inside = {layer.name for layer in deep.layers[8:10]}
    assert [type(layer).__name__ for layer in deep.layers[8:12]] == ["Conv2D", "BatchNormalization", "ReLU", "Add"]
    for layer in deep.layers:
        if layer.name not in inside:
            layer.set_weights([next(weights) for _ in layer.weights])
    deep.layers[8].set_weights([np.zeros(deep.layers[8].kernel.shape)])
    images = np.random.default_rng(2).integers(0, 256, (2, 48, 48, 3)).astype(np.float32)
    np.testing.assert_allclose(deep(images, training=False), plain(images, training=False), atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_description_survives_json(seed):
    spec = any_network(seed)
    assert SmallNetwork.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_space_reaches_all_its_ends():
    # Every end of every choice must be a network that can be described: a trial must not die of its description.
    for end in (0, -1):
        spec = from_choice({name: values[end] for name, values in SPACE.items()})
        assert spec.pooling == POOLINGS[end] and spec.stages[0].kind == KINDS[end]
        assert cost(spec, 9).macs > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 97}, "size is 97"),
        ({"size": 64.0}, "size is 64.0"),
        ({"stem_stride": 3}, "stem_stride is 3"),
        ({"stages": []}, "number of stages is 0"),
        ({"stages": 3}, "stages is 3"),
        ({"stages": [7]}, "stage 1 is 7"),
        ({"stages": [{**dataclasses.asdict(PLAIN), "kernel": 4}]}, "stage kernel is 4"),
        ({"stages": [{**dataclasses.asdict(PLAIN), "expansion": 6}]}, "stage 1 has unknown keys: expansion"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"dense": True}, "dense is True"),
        ({"dropout": 0.9}, "dropout is 0.9"),
        ({"dropout": "0.2"}, "dropout is '0.2'"),
        ({"droput": 0.1, "alpha": 1}, "unknown keys: alpha, droput"),
    ],
)
def test_bad_description_is_named(change, words):
    with pytest.raises(NetworkError, match=words):
        SmallNetwork.from_dict({**PRESENT.to_dict(), **change})


def test_missing_key_is_named():
    with pytest.raises(NetworkError, match="the network has no dense"):
        SmallNetwork.from_dict({name: value for name, value in PRESENT.to_dict().items() if name != "dense"})
