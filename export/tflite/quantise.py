"""Quantise a float TFLite network to full int8, with Google's AI Edge Quantizer.

It succeeds the quantiser in TensorFlow's converter and takes any float TFLite file. Weights are quantised per output
channel, activations per tensor. Unsupported operators that only select or clip values (e.g. RELU6, REDUCE_MAX) are
converted to int8 here: on integers they compute the same as on real numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from ...extras import extra_command
from ..errors import ExportError
from .calibration_ranges import Ranges, suppress_interpreter_notes
from .editor import remove_float_around_selections, set_interface
from .reader import read_tflite

INPUTS, OUTPUTS = ("uint8", "int8"), ("int8", "uint8")


def quantise(
    content: bytes, ranges: Ranges, input_type: str = "uint8", output_type: str = "int8", wide: Collection[str] = ()
) -> bytes:
    """Quantise a float TFLite network to int8.

    Args:
        content: the float file; ranges: those of its tensors, from `measure_ranges`.
        input_type, output_type: ``uint8`` or ``int8``; int8 input is the level - 128.
        wide: names of output tensors whose operators get 16-bit instead of 8-bit activations.

    Raises:
        ExportError: the quantizer is not installed, or reports an error.
    """
    try:
        from ai_edge_quantizer import quantizer, recipe_manager
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName
    except ImportError:
        raise ExportError(f"int8 needs the AI Edge Quantizer: {extra_command('export')}") from None
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for name in wide:
        recipe.add_static_config(
            f"{re.escape(name)};?$", TFLOperationName.ALL_SUPPORTED, activation_num_bits=16, weight_num_bits=8
        )
    graph = read_tflite(content).graph
    if any(op.custom for op in graph.ops):  # the outputs of a custom operator are not quantised
        recipe.add_quantization_config(".*", TFLOperationName.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
    statistics = {}
    for tensor in graph.tensors:
        if tensor.name in ranges:
            shape = (1,) * len(tensor.shape)
            low, high = ranges[tensor.name]
            statistics[tensor.name] = {
                "min": np.full(shape, low, np.float32),
                "max": np.full(shape, high, np.float32),
                "num_samples": np.array(1),
            }
    try:
        with suppress_interpreter_notes():
            result = quantizer.Quantizer(bytearray(content), recipe.get_quantization_recipe()).quantize(
                statistics, enable_progress_bar=False, enable_progress_report=False
            )
    except (ValueError, RuntimeError, KeyError, IndexError, NotImplementedError) as error:
        raise ExportError(f"the network cannot be quantised: {error}") from error
    return set_interface(remove_float_around_selections(bytes(result.quantized_model)), input_type, output_type)
