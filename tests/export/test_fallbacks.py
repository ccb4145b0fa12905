"""Fallback conversions keep the input and output types of the network."""

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs TensorFlow (the export extra) to make a network")

from galaxy_edge.export.fallbacks import fallbacks
from galaxy_edge.export.settings import Settings
from galaxy_edge.export.tflite.reader import read_tflite
from galaxy_edge.export.variants import quantise_to_int8
from galaxy_edge.training.classifier.keras_utils import save_network
from helpers.networks import classifier_network
from helpers.tflite import to_tflite


def test_layers_of_16_bits_leave_what_goes_in_and_comes_out_as_bytes(tmp_path):
    # The last layer of this network is what it gives, as in the classifier that is shipped.
    save_network(classifier_network(48, 0.3, 9), tmp_path, 48)
    source, settings = to_tflite(tmp_path, None), Settings()
    images = np.random.default_rng(1).integers(0, 256, (16, 48, 48, 3), dtype=np.uint8)
    content = quantise_to_int8(source, settings, images)
    wide = [
        (how, read_tflite(made).graph)
        for how, made in fallbacks("tflite-int8", source, content, settings, images)
        if "int16" in how
    ]
    assert len(wide) > 1
    for how, graph in wide:
        ends = [[graph.tensors[number].dtype for number in numbers] for numbers in (graph.inputs, graph.outputs)]
        assert ends == [["uint8"], ["int8"]], how
        assert any(tensor.dtype == "int16" for tensor in graph.tensors), how
