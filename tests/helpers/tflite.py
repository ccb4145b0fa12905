"""TFLite files made and inspected the short way."""

from galaxy_edge.export.tflite.calibration_ranges import measure_ranges
from galaxy_edge.export.tflite.convert import convert_saved_model
from galaxy_edge.export.tflite.quantise import quantise
from galaxy_edge.export.tflite.reader import FLOAT_DTYPES, read_tflite


def to_tflite(saved_model, calibration):
    """Convert a SavedModel to int8, or to float32 without calibration images.

    Calibration images are (n, H, W, 3) uint8.
    """
    content = convert_saved_model(saved_model)
    return content if calibration is None else quantise(content, measure_ranges(content, calibration, "mse"))


def float_tensors(content):
    """Return the names of all float tensors of a file; an int8 network has none."""
    return [
        tensor.name for graph in read_tflite(content).graphs for tensor in graph.tensors if tensor.dtype in FLOAT_DTYPES
    ]
