"""Weights of a MobileNetV2 whose normalisation was folded into its convolutions, read in order and put to use."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...errors import UserError
from .architecture import INPUT_OFFSET, INPUT_SCALE


class WeightsError(UserError):
    """Pretrained weights that are missing or do not fit the network; the message says which."""


class Folded(NamedTuple):
    """A convolution with its normalisation folded in: `kernel` (k, k, in, out), or (k, k, in, 1) of a depthwise one."""

    name: str
    kernel: np.ndarray
    bias: np.ndarray


_STEM = re.compile(r"(.*mobilenetv2/(?:conv2d_0_0|conv))/", re.IGNORECASE)
_BLOCK = re.compile(r"(.*mobilenetv2/expanded_conv(?:_(\d+))?/(expand|depthwise|project))/", re.IGNORECASE)
_TOP = re.compile(r"(.*mobilenetv2/(?:conv2d_18_1|conv_1))/", re.IGNORECASE)
_PARTS = ("expand", "depthwise", "project")


def folded_mobilenet(path: Path) -> list[Folded]:
    """Read the convolutions of a folded MobileNetV2 in the order of the network.

    Args:
        path: npz of constant tensors in TFLite layout (conv OHWI, depthwise 1HWC), named as slim, the object detection
            tools or Keras name them: ``.../expanded_conv_3/project/...``. Tensors of other parts are passed over.

    Raises:
        WeightsError: the file is missing or none, or a convolution lacks its kernel or its bias.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights")
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} is no npz file, or is cut short")
    found: dict[tuple[int, int], dict[int, tuple[str, np.ndarray]]] = {}
    try:
        with np.load(path) as tensors:
            for key in tensors.files:
                if match := _BLOCK.match(key):
                    place = (int(match[2] or 0), _PARTS.index(match[3].lower()))
                elif match := _STEM.match(key):
                    place = (-1, 0)
                elif match := _TOP.match(key):
                    place = (10_000, 0)
                else:
                    continue
                found.setdefault(place, {})[tensors[key].ndim] = (match[1], tensors[key].astype(np.float32))
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as problem:
        raise WeightsError(f"{path} cannot be read as npz: {problem}") from None
    if not found:
        raise WeightsError(f"{path} holds no MobileNetV2 with its normalisation folded in")
    result = []
    for _, pair in sorted(found.items()):
        if set(pair) != {1, 4}:
            name, lacking = next(iter(pair.values()))[0], "bias" if 4 in pair else "kernel"
            raise WeightsError(f"{path}: '{name}' lacks its {lacking}")
        name, kernel = pair[4]
        result.append(Folded(name, kernel.transpose(1, 2, 3, 0), pair[1][1]))  # OHWI -> HWIO, and 1HWC -> HWC1
    return result


def set_folded(path: Path, folded: Folded, layer: Any, normalised: bool) -> None:
    """Give a convolution its folded kernel, and its bias unless a layer of normalisation behind it takes that.

    Raises:
        WeightsError: the kernel has another shape than the layer's.
    """
    shape = tuple(layer.weights[0].shape)
    if folded.kernel.shape != shape:
        raise WeightsError(f"{path}: '{folded.name}' has shape {folded.kernel.shape}, the network needs {shape}")
    layer.set_weights([folded.kernel] if normalised else [folded.kernel, folded.bias])


def load_backbone(backbone: Any, path: Path, images: np.ndarray) -> int:
    """Load a folded MobileNetV2 into the backbone of `ssd.build_network`.

    Args:
        backbone: its ``backbone``; every block is loaded but the last 1x1 convolution, which no level uses.
        path: see `folded_mobilenet`; or the run folder of a classifier, see `mobilenet.folded_of_run`.
        images: (B, size, size, 3) uint8, some tens of training inputs, for the statistics.

    Returns:
        how many convolutions were loaded.

    Raises:
        WeightsError: the file is missing, or a tensor is, or has another shape.
    """
    import tensorflow as tf

    if path.is_dir():
        from .run_weights import folded_from_run

        read = folded_from_run(path)
    else:
        read = folded_mobilenet(path)
    left = iter(read)
    loaded = 0

    def load(layer: Any, norm: Any, inputs: Any) -> Any:
        nonlocal loaded
        folded = next(left, None)
        if folded is None:
            raise WeightsError(f"{path} ends after '{read[-1].name}': the network has more blocks")
        set_folded(path, folded, layer, normalised=True)
        outputs = layer(inputs)
        mean, variance = (value.numpy() for value in tf.nn.moments(outputs, axes=[0, 1, 2]))
        # With the statistics of our own pictures, inference gives conv + bias, as the folded network does, and
        # training, which normalises by the batch, begins at nearly the same place.
        norm.set_weights([np.sqrt(variance + norm.epsilon), folded.bias + mean, mean, variance])
        loaded += 1
        return norm(outputs, training=False)

    x = images.astype(np.float32) * INPUT_SCALE + INPUT_OFFSET
    for block in backbone.layers:
        kind = type(block).__name__
        if kind == "Conv2DBNBlock" and not loaded:
            x = block._activation_layer(load(block._conv0, block._norm0, x))
        elif kind == "InvertedBottleneckBlock":
            whole = x
            if block._expand_ratio > 1:
                x = block._activation_layer(load(block._conv0, block._norm0, x))
            x = block._depthwise_activation_layer(load(block._conv1, block._norm1, x))
            x = load(block._conv2, block._norm2, x)
            if block._in_filters == block._out_filters and block._strides == 1:
                x = x + whole
    return loaded
