"""Full int8 from a float TFLite network and its ranges, by Google's AI Edge Quantizer.

It is the successor of the quantiser in TensorFlow's converter, and takes any float TFLite file. Weights are quantised
for each output channel, activations as a whole. Operators that it does not know, but that only choose among values
(RELU6, REDUCE_MAX and such), are turned to int8 here: they compute the same on integers as on reals.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np

from ...runtime.system.native_output import suppress_native_stderr
from ..errors import ExportError
from .calibration_ranges import Ranges
from .editor import remove_float_around_selections, set_interface
from .reader import read_tflite

INPUTS, OUTPUTS = ("uint8", "int8"), ("int8", "uint8")


def quantise(
    content: bytes, ranges: Ranges, input_type: str = "uint8", output_type: str = "int8", wide: Collection[str] = ()
) -> bytes:
    """Quantise a float TFLite network to int8.

    Args:
        content: the float file; ranges: of its tensors, from `ranges.measure_ranges`.
        input_type, output_type: ``uint8`` or ``int8``; int8 input is the level - 128.
        wide: names of output tensors of operators whose activations take 16 bits instead of 8.

    Raises:
        ExportError: the quantizer is not installed, or cannot do it.
    """
    try:
        from ai_edge_quantizer import quantizer, recipe_manager
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName
    except ImportError:
        raise ExportError("int8 needs the AI Edge Quantizer: pip install 'galaxy-edge[export]'") from None
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
    for name in wide:
        recipe.add_static_config(
            f"{re.escape(name)};?$", TFLOperationName.ALL_SUPPORTED, activation_num_bits=16, weight_num_bits=8
        )
    graph = read_tflite(content).graph
    if any(op.custom for op in graph.ops):  # what an operator of other people gives stays as it gives it
        recipe.add_quantization_config(".*", TFLOperationName.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
    found = {}
    for tensor in graph.tensors:
        if tensor.name in ranges:
            shape = (1,) * len(tensor.shape)
            low, high = ranges[tensor.name]
            found[tensor.name] = {
                "min": np.full(shape, low, np.float32),
                "max": np.full(shape, high, np.float32),
                "num_samples": np.array(1),
            }
    try:
        with suppress_native_stderr():
            result = quantizer.Quantizer(bytearray(content), recipe.get_quantization_recipe()).quantize(
                found, enable_progress_bar=False, enable_progress_report=False
            )
    except (ValueError, RuntimeError, KeyError, IndexError, NotImplementedError) as problem:
        raise ExportError(f"the network cannot be quantised: {problem}") from problem
    return set_interface(remove_float_around_selections(bytes(result.quantized_model)), input_type, output_type)
