"""Load an exported classifier's float32 TFLite weights into its Keras network.

The export folded every normalisation into the convolution before it. Each normalisation gets the statistics of our own
images and the scale and shift that cancel them, so that inference gives the same logits as the file, and training,
which normalises by the batch, starts from nearly the same function.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UserError
from ..normalisation import set_statistics

if TYPE_CHECKING:
    import keras


SHARES = (0.0, 0.2, 0.35, 0.5, 0.65, 1.0)
"""Shares of the initial weights that are tried; 1 restores the initial network."""
TOLERANCE = 0.005
"""Maximum difference from the highest accuracy on validation images."""


class ExportedWeightsError(UserError):
    """A file that does not fit the network; the message says where."""

    exit_code = 2


Weights = list[tuple[np.ndarray, np.ndarray]]
"""Kernel, with Keras' axes, and bias of every convolution and dense layer, normalisations folded into them."""


def load_exported(network: keras.Model, path: Path, images: np.ndarray) -> None:
    """Load a float32 TFLite file of a network of `small_network.build`.

    Args:
        network: of the same description, with random weights.
        path: the file, e.g. ``fp32.tflite`` of a bundle.
        images: (B, size, size, 3) uint8, some hundreds of training inputs, for the statistics.

    Raises:
        ExportedWeightsError: the file is of another network.
    """
    try:
        set_folded(network, read_weights(path), images)
    except (StopIteration, ValueError) as error:
        raise ExportedWeightsError(f"{path} is not of this network: {error or 'it has fewer layers'}") from None


def blend(network: keras.Model, weights: Weights, start: Weights, share: float, images: np.ndarray) -> None:
    """Set a network to a weighted mean of its initial and trained weights.

    The initial weights have the weight `share` (Wortsman et al. 2022, CVPR).

    Networks between the two keep the strengths of the first and most of what the second learned.

    Args:
        weights: its own, see `folded_weights`. images: as in `load_exported`.
    """
    mixed = [
        tuple(np.float32(1 - share) * own + np.float32(share) * first for own, first in zip(*layers, strict=True))
        for layers in zip(weights, start, strict=True)
    ]
    set_folded(network, mixed, images)  # type: ignore[arg-type]  # pairs stay pairs


def choose_share(
    network: keras.Model,
    start: Weights,
    inputs: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray],
    views: tuple[np.ndarray, np.ndarray],
) -> dict[str, Any]:
    """Choose the share of initial weights to blend in, and apply it.

    The best has the highest accuracy on imitations of other telescopes among the shares at which the accuracy on the
    validation images is within `TOLERANCE` of the highest.

    Args:
        inputs: as in `load_exported`.
        validation, views: images (N, size, size, 3) uint8 and their labels (N,).

    Returns:
        The share, and both accuracies at every share, for the run's record.
    """
    from .validation import compile_forward

    own, forward = folded_weights(network), compile_forward(network)
    rows = []
    for share in SHARES:
        blend(network, own, start, share, inputs)
        known, other = (float(np.mean(forward(x).argmax(axis=1) == y)) for x, y in (validation, views))
        rows.append({"share": share, "validation": known, "views": other})
    highest = max(row["validation"] for row in rows)
    best = max((row for row in rows if row["validation"] >= highest - TOLERANCE), key=lambda row: row["views"])
    blend(network, own, start, best["share"], inputs)
    return {"share": best["share"], "shares": rows}


def folded_weights(network: keras.Model) -> Weights:
    """Return the weights of a small network, normalisations folded into them."""
    from keras import layers

    found: Weights = []
    scale = np.float32(1)
    for layer in network.layers:
        if isinstance(layer, layers.Rescaling):
            scale = np.float32(layer.scale)
        elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            kernel = layer.get_weights()[0] * scale
            scale = np.float32(1)
        elif isinstance(layer, layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            factor = gamma / np.sqrt(variance + layer.epsilon)
            shape = (-1, 1) if kernel.shape[3] == 1 else (-1,)  # of a depthwise kernel, channels are the third axis
            found.append((kernel * factor.reshape(shape), beta - mean * factor))
        elif isinstance(layer, layers.Dense):
            kernel, bias = layer.get_weights()
            found.append((kernel, bias))
    return found


def set_folded(network: keras.Model, weights: Weights, images: np.ndarray) -> None:
    """Load folded weights into a network that has normalisation layers.

    Every normalisation gets the statistics of its inputs, and the scale and shift that cancel them.

    Raises:
        ValueError, StopIteration: the weights are of another network.
    """
    import tensorflow as tf
    from keras import layers

    left = iter(weights)
    values = tf.constant(images, tf.float32)
    by_tensor = {}
    scale = np.float32(1)
    for layer in network.layers:
        if isinstance(layer, layers.InputLayer):
            by_tensor[id(layer.output)] = values
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        arguments = [by_tensor[id(tensor)] for tensor in inputs]
        if isinstance(layer, layers.Rescaling):
            scale = np.float32(layer.scale)  # it was folded into the first convolution
        elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            kernel, bias = next(left)
            layer.set_weights([(kernel / scale).reshape(layer.kernel.shape)])
            scale = np.float32(1)
        elif isinstance(layer, layers.Dense):
            layer.set_weights(list(next(left)))
        elif isinstance(layer, layers.BatchNormalization):
            set_statistics(layer, arguments[0], bias)
        result = layer(arguments[0] if len(arguments) == 1 else arguments, training=False)
        by_tensor[id(layer.output)] = result
    if next(left, None) is not None:
        raise ValueError("it has more layers")


def read_weights(path: Path) -> Weights:
    """Read the weights of a float32 TFLite file, in order of its graph."""
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
