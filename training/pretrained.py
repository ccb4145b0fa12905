"""Put the weights of a folded MobileNetV2 (one whose BatchNorm went into its convolutions) into a trainable one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .ssd import INPUT_OFFSET, INPUT_SCALE


class WeightsError(UserError):
    """Pretrained weights that are missing or do not fit the network; the message says which."""


def _load(layer: Any, norm: Any, inputs: Any, kernel: np.ndarray, bias: np.ndarray) -> Any:
    """Give a convolution and its normalisation the folded weights; return what the pair then puts out."""
    import tensorflow as tf

    layer.set_weights([kernel])
    outputs = layer(inputs)
    mean, variance = (value.numpy() for value in tf.nn.moments(outputs, axes=[0, 1, 2]))
    # With the statistics of our own pictures, inference gives conv + bias, as the folded network does, and training,
    # which normalises by the batch, begins at nearly the same place.
    norm.set_weights([np.sqrt(variance + norm.epsilon), bias + mean, mean, variance])
    return norm(outputs, training=False)


def load_backbone(backbone: Any, path: Path, images: np.ndarray) -> int:
    """Load a folded MobileNetV2 into the backbone of `ssd.build_network`.

    Args:
        backbone: its ``backbone``; every block is loaded but the last 1x1 convolution, which no level uses.
        path: npz of constant tensors in TFLite layout (conv OHWI, depthwise 1HWC), named as slim names them:
            ``MobilenetV2/expanded_conv_3/project/Conv2D_Fold`` and ``.../add_fold``.
        images: (B, size, size, 3) uint8, some tens of training inputs, for the statistics.

    Returns:
        how many convolutions were loaded.

    Raises:
        WeightsError: the file is missing, or a tensor is, or has another shape.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights")
    tensors = dict(np.load(path))

    def take(name: str, layer: Any) -> tuple[np.ndarray, np.ndarray]:
        last = name.rsplit("/", 1)[-1]
        kernel_name = f"{name}/depthwise_Fold" if last == "depthwise" else f"{name}/Conv2D_Fold"
        bias_name = f"{name}/add_fold" if last == "project" else f"{name}/BatchNorm_Fold/bias"
        missing = [wanted for wanted in (kernel_name, bias_name) if wanted not in tensors]
        if missing:
            raise WeightsError(f"{path} has no tensor '{missing[0]}'")
        kernel = tensors[kernel_name].astype(np.float32)
        kernel = kernel.transpose(1, 2, 3, 0)  # OHWI -> HWIO, and 1HWC -> HWC1
        shape = tuple(layer.weights[0].shape)
        if kernel.shape != shape:
            raise WeightsError(f"{path}: '{kernel_name}' has shape {kernel.shape}, the network needs {shape}")
        return kernel, tensors[bias_name].astype(np.float32)

    x = images.astype(np.float32) * INPUT_SCALE + INPUT_OFFSET
    loaded, index = 0, -1
    for block in backbone.layers:
        kind = type(block).__name__
        if kind == "Conv2DBNBlock" and index < 0:
            x = block._activation_layer(_load(block._conv0, block._norm0, x, *take("MobilenetV2/Conv", block._conv0)))
            loaded, index = loaded + 1, 0
        elif kind == "InvertedBottleneckBlock":
            name = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
            whole = x
            if block._expand_ratio > 1:
                x = _load(block._conv0, block._norm0, x, *take(f"{name}/expand", block._conv0))
                x, loaded = block._activation_layer(x), loaded + 1
            x = _load(block._conv1, block._norm1, x, *take(f"{name}/depthwise", block._conv1))
            x = block._depthwise_activation_layer(x)
            x = _load(block._conv2, block._norm2, x, *take(f"{name}/project", block._conv2))
            if block._in_filters == block._out_filters and block._strides == 1:
                x = x + whole
            loaded, index = loaded + 2, index + 1
    return loaded
