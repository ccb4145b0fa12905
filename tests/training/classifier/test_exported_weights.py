"""An exported classifier is read back into the network that it was made of."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.load import load_engine
from galaxy_edge.training.classifier.exported_weights import (
    SHARES,
    ExportedWeightsError,
    blend,
    choose_share,
    folded_weights,
    load_exported,
    read_weights,
)
from galaxy_edge.training.classifier.fit import fit
from galaxy_edge.training.classifier.recipe import RECIPES, SMALL, Recipe, build
from galaxy_edge.training.classifier.validation import predict
from helpers.drawn_galaxies import TRAIN, VALIDATION


@pytest.fixture(scope="module")
def shipped():
    """The shipped classifier."""
    return Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify")


def test_logits_are_those_of_the_file(shipped):
    """Normalisation that the export folded away is restored without a change."""
    images = shipped.golden()["inputs"]
    network = build(Recipe(), 9)
    rng = np.random.default_rng(1)
    load_exported(network, shipped.path / "fp32.tflite", rng.integers(0, 255, (64, 69, 69, 3), dtype=np.uint8))
    engine = load_engine(shipped, "fp32")
    expected = np.stack([engine(image[None])["logits"].dequantize() for image in images]).reshape(len(images), 9)
    assert predict(network, images) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "stages", [SMALL["stages"][:2], [*SMALL["stages"][:2], {"width": 64, "depth": 1, "kernel": 3, "kind": "separable"}]]
)
def test_file_of_another_network_is_refused(shipped, stages):
    """Fewer layers, or layers of another width."""
    network = build(Recipe(spec=SMALL | {"stages": stages}), 9)
    with pytest.raises(ExportedWeightsError, match="is not of this network"):
        load_exported(network, shipped.path / "fp32.tflite", np.zeros((8, 69, 69, 3), np.uint8))


def test_blended_networks_lie_between_the_two(shipped):
    """A share of 1 restores the start, 0 the network's own weights.

    The best on validation is kept.
    """
    images = np.random.default_rng(2).integers(0, 255, (32, 69, 69, 3), dtype=np.uint8)
    start = read_weights(shipped.path / "fp32.tflite")
    network = build(Recipe(), 9)
    own, first = folded_weights(network), predict(network, images)
    blend(network, own, start, 1.0, images)
    logits = predict(network, images)
    for ours, other in zip(folded_weights(network), start, strict=True):
        assert ours[0] == pytest.approx(other[0], abs=1e-4) and ours[1] == pytest.approx(other[1], abs=1e-4)
    blend(network, own, start, 0.0, images)
    assert predict(network, images) == pytest.approx(first, abs=1e-3)
    labels = logits.argmax(axis=1)
    chosen = choose_share(network, start, images, (images, labels), (images, labels))
    assert chosen["share"] == 1 and chosen["shares"][-1]["views"] == 1
    assert predict(network, images) == pytest.approx(logits, abs=1e-3)


@pytest.mark.slow
def test_training_continues_from_an_exported_network(shipped, tmp_path):
    """The record has its origin, the share of weights kept, and the domain's limits."""
    recipe = replace(RECIPES["telescopes"], epochs=1, batch=16)
    record = fit(recipe, TRAIN, VALIDATION, tmp_path / "run", start=shipped.path / "fp32.tflite")
    assert len(record.settings["start"]) == 64
    assert record.metrics["blended"]["share"] in SHARES
    assert set(record.model["decode"]["domain"]) == {"min_side", "max_outside", "max_burnt", "min_energy"}
    assert 0 <= record.metrics["sure"]["views"]["precision"] <= 1
