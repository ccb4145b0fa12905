"""Read the folded weights of a MobileNetV2, and load them into a network."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..normalisation import set_statistics
from .architecture import INPUT_OFFSET, INPUT_SCALE
from .folded import Folded, WeightsError

_STEM = re.compile(r"(.*mobilenetv2/(?:conv2d_0_0|conv))/", re.IGNORECASE)
_BLOCK = re.compile(r"(.*mobilenetv2/expanded_conv(?:_(\d+))?/(expand|depthwise|project))/", re.IGNORECASE)
_TOP = re.compile(r"(.*mobilenetv2/(?:conv2d_18_1|conv_1))/", re.IGNORECASE)
_PARTS = ("expand", "depthwise", "project")


def folded_mobilenet(path: Path) -> list[Folded]:
    """Read the convolutions of a folded MobileNetV2 in the order of the network.

    Args:
        path: npz of constant tensors in TFLite layout (conv OHWI, depthwise 1HWC), named as slim, the object detection
            tools or Keras name them: ``.../expanded_conv_3/project/...``. Other tensors are ignored.

    Raises:
        WeightsError: the file is missing or not an npz file, or a convolution has no kernel or no bias.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise WeightsError(f"{path} is not an npz file, or is truncated")
    found: dict[tuple[int, int], dict[int, tuple[str, np.ndarray]]] = {}
    try:
        with np.load(path) as tensors:
            for key in tensors.files:
                if match := _BLOCK.match(key):
                    position = (int(match[2] or 0), _PARTS.index(match[3].lower()))
                elif match := _STEM.match(key):
                    position = (-1, 0)
                elif match := _TOP.match(key):
                    position = (10_000, 0)
                else:
                    continue
                found.setdefault(position, {})[tensors[key].ndim] = (match[1], tensors[key].astype(np.float32))
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} cannot be read as npz: {error}") from None
    if not found:
        raise WeightsError(f"{path} holds no MobileNetV2 with folded normalisation")
    result = []
    for _, pair in sorted(found.items()):
        if set(pair) != {1, 4}:
            name, missing = next(iter(pair.values()))[0], "bias" if 4 in pair else "kernel"
            raise WeightsError(f"{path}: '{name}' has no {missing}")
        name, kernel = pair[4]
        result.append(Folded(name, kernel.transpose(1, 2, 3, 0), pair[1][1]))  # OHWI -> HWIO, and 1HWC -> HWC1
    return result


def set_folded(path: Path, folded: Folded, layer: Any, normalised: bool) -> None:
    """Set a convolution's kernel and, unless `normalised`, its bias.

    If `normalised`, the normalisation layer after the convolution takes the bias.

    Raises:
        WeightsError: the kernel's shape is not the layer's.
    """
    shape = tuple(layer.weights[0].shape)
    if folded.kernel.shape != shape:
        raise WeightsError(f"{path}: '{folded.name}' has shape {folded.kernel.shape}, the network needs {shape}")
    layer.set_weights([folded.kernel] if normalised else [folded.kernel, folded.bias])


# Long because half of it describes its arguments and errors.
def load_backbone(backbone: Any, path: Path, images: np.ndarray) -> int:
    """Load a folded MobileNetV2 into the backbone of a detector's network.

    Args:
        backbone: the network's ``backbone``; all blocks are loaded but the last 1x1 convolution, which no level uses.
        path: see `folded_mobilenet`; or the run folder of a classifier, see `run_weights.folded_from_run`.
        images: (B, size, size, 3) uint8, some tens of training inputs, to measure the normalisation statistics.

    Returns:
        The number of convolutions loaded.

    Raises:
        WeightsError: the file or a tensor is missing, or a tensor has another shape.
    """
    if path.is_dir():
        from .run_weights import folded_from_run

        read = folded_from_run(path)
    else:
        read = folded_mobilenet(path)
    remaining = iter(read)
    loaded = 0

    def load(layer: Any, norm: Any, inputs: Any) -> Any:
        nonlocal loaded
        folded = next(remaining, None)
        if folded is None:
            raise WeightsError(f"{path} ends after '{read[-1].name}': the network has more blocks")
        set_folded(path, folded, layer, normalised=True)
        outputs = layer(inputs)
        set_statistics(norm, outputs, folded.bias)
        loaded += 1
        return norm(outputs, training=False)

    x = images.astype(np.float32) * INPUT_SCALE + INPUT_OFFSET
    for block in backbone.layers:
        kind = type(block).__name__
        if kind == "Conv2DBNBlock" and not loaded:
            x = block._activation_layer(load(block._conv0, block._norm0, x))
        elif kind == "InvertedBottleneckBlock":
            shortcut = x
            if block._expand_ratio > 1:
                x = block._activation_layer(load(block._conv0, block._norm0, x))
            x = block._depthwise_activation_layer(load(block._conv1, block._norm1, x))
            x = load(block._conv2, block._norm2, x)
            if block._in_filters == block._out_filters and block._strides == 1:
                x = x + shortcut
    return loaded
