"""An exported classifier is read back into the network that it was made of."""

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the train extra")
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.training.classifier.exported_weights import ExportedWeightsError, load_exported
from galaxy_edge.training.classifier.recipe import SMALL, Recipe, build
from galaxy_edge.training.classifier.validation import predict


@pytest.fixture(scope="module")
def shipped():
    """The shipped classifier."""
    return Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify")


def test_logits_are_those_of_the_file(shipped):
    """Normalisation that the export folded away is restored without a change."""
    golden = shipped.golden()
    images = golden["inputs"] if "inputs" in golden else next(v for v in golden.values() if v.ndim == 4)
    network = build(Recipe(), 9)
    rng = np.random.default_rng(1)
    load_exported(network, shipped.path / "fp32.tflite", rng.integers(0, 255, (64, 69, 69, 3), dtype=np.uint8))
    from galaxy_edge.runtime.inference.load import load_engine

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
