"""Read an exported classifier's float32 TFLite file back into the trainable network that it was made of.

The export folded every normalisation into the convolution before it. Each gets the statistics of our own images and
the scale and shift that undo them, so that inference gives the same logits as the file, and training, which normalises
by the batch, starts from nearly the same function.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UserError

if TYPE_CHECKING:
    import keras


class ExportedWeightsError(UserError):
    """A file that does not fit the network; the message says where."""

    exit_code = 2


def load_exported(network: keras.Model, path: Path, images: np.ndarray) -> None:
    """Load a float32 TFLite file of a network of `small_network.build`.

    Args:
        network: of the same description, with random weights.
        path: the file, e.g. ``fp32.tflite`` of a bundle.
        images: (B, size, size, 3) uint8, some hundreds of training inputs, for the statistics.

    Raises:
        ExportedWeightsError: the file is of another network.
    """
    import tensorflow as tf
    from keras import layers

    weights = iter(read_weights(path))
    values = tf.constant(images, tf.float32)
    by_tensor = {id(network.inputs[0]): values}
    scale = np.float32(1)
    try:
        for layer in network.layers:
            inputs = layer.input
            if isinstance(layer, layers.InputLayer):
                by_tensor[id(layer.output)] = values
                continue
            arguments = [by_tensor[id(tensor)] for tensor in (inputs if isinstance(inputs, list) else [inputs])]
            if isinstance(layer, layers.Rescaling):
                scale = np.float32(layer.scale)  # it was folded into the first convolution
            elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
                kernel, bias = next(weights)
                layer.set_weights([(kernel / scale).reshape(layer.kernel.shape)])
                scale = np.float32(1)
            elif isinstance(layer, layers.Dense):
                layer.set_weights(list(next(weights)))
            elif isinstance(layer, layers.BatchNormalization):
                mean, variance = (part.numpy() for part in tf.nn.moments(arguments[0], axes=[0, 1, 2]))
                layer.set_weights([np.sqrt(variance + layer.epsilon), bias + mean, mean, variance])
            result = layer(arguments[0] if len(arguments) == 1 else arguments, training=False)
            by_tensor[id(layer.output)] = result
    except (StopIteration, ValueError) as error:
        raise ExportedWeightsError(f"{path} is not of this network: {error or 'it has fewer layers'}") from None
    if next(weights, None) is not None:
        raise ExportedWeightsError(f"{path} is not of this network: it has more layers")


def read_weights(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read kernels, with Keras' axes, and biases of all convolutions and dense layers, in order of the graph."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph, kinds = model.Subgraphs(0), schema.BuiltinOperator
    axes = {kinds.CONV_2D: (1, 2, 3, 0), kinds.DEPTHWISE_CONV_2D: (1, 2, 3, 0), kinds.FULLY_CONNECTED: (1, 0)}

    def values(number: int) -> np.ndarray:
        tensor = graph.Tensors(number)
        stored = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(stored, np.float32).reshape(tensor.ShapeAsNumpy())

    found = []
    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        kind = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if kind in axes:
            _, kernel, bias = operator.InputsAsNumpy()[:3]
            found.append((values(kernel).transpose(axes[kind]), values(bias)))
    return found
