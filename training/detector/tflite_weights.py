"""Load the weights of an exported detector to continue its training.

The export folded every normalisation into the convolution before it. As in `pretrained_weights.load_backbone`, each
gets the statistics of our own images and the scale and shift that undo them, so that inference gives the same results
as the file, and training, which normalises by the batch, starts from nearly the same function.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ..mobilenet.folded import WeightsError
from ..normalisation import set_statistics
from . import networks as ssd

_PART = re.compile(r"(?:fpn|retina_net_head)/(\w+?)/separable_conv2d(?:_\d+)?/depthwise")

ADDED_LEVEL_SCALE = 0.1
"""Factor of the features of a pyramid level that is added.

Their scores begin low, near the head's bias, which is that of the background. With features of the usual size half of
them were over 0.3, and the first epoch's loss was four times as large.
"""


def load_exported(model: Any, path: Path, images: np.ndarray) -> None:
    """Load the float32 TFLite file of an exported detector into its network.

    The network is of `networks.build_network`, with MobileNet blocks and an FPN. Pyramid levels above those of the file
    start as copies of its last one, with small features. Levels above the network's last one are left out, and so are
    blocks that the file has more than the network at the end of a stage. Of a wider inverted bottleneck, the channels
    with the largest weights are taken.

    Args:
        model: with random weights, of the same settings but for size of the input, anchors, levels, and fewer or
            narrower blocks.
        path: the file, e.g. ``fp32.tflite`` of a bundle.
        images: (B, size, size, 3) uint8, some tens of training inputs, for the statistics.

    Raises:
        WeightsError: the file is of another network.
    """
    import tf_keras

    backbone, parts, norms = _read(path)
    layers = [layer for layer in model.submodules if isinstance(layer, tf_keras.layers.SeparableConv2D)]
    named = {layer.name: layer for layer in layers}
    try:
        _drop_last_levels(parts, named)
        added = _copy_last_level(parts, norms, named)
        affine = _set_backbone(model, backbone)
        for name, (depthwise, pointwise, bias) in parts.items():
            named[name].set_weights([depthwise.transpose(1, 2, 3, 0), pointwise.transpose(1, 2, 3, 0), bias])
        for layer in ssd.batch_norms(model):
            level = layer.name.removeprefix("norm_")
            if layer.name.startswith("norm_") and id(layer) not in affine:
                scale, shift = norms.get(layer.name) or _unfolded(named, level)
                weight = ADDED_LEVEL_SCALE if level in added else 1.0
                affine[id(layer)] = (weight * scale, weight * shift)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path} is not of this network: {error}") from None
    _settle(model, affine, images)


def _read(path: Path) -> tuple[list[tuple[np.ndarray, np.ndarray]], dict[str, Any], dict[str, Any]]:
    """Read a TFLite file's weights: backbone, pyramid and head, normalisations.

    Returns the kernels and biases of the backbone in order, the weights of pyramid and head by name, and the scale and
    shift of each normalisation that was not folded.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph, kinds = model.Subgraphs(0), schema.BuiltinOperator

    def name_of(number: int) -> str:
        return str(graph.Tensors(number).Name(), "utf-8")

    def values(number: int) -> np.ndarray:
        tensor = graph.Tensors(number)
        return np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), np.float32).reshape(
            tensor.ShapeAsNumpy()
        )

    backbone: list[tuple[np.ndarray, np.ndarray]] = []
    parts: dict[str, Any] = {}
    norms: dict[str, list[np.ndarray]] = {}
    waiting: dict[int, tuple[str, np.ndarray]] = {}
    for index in range(graph.OperatorsLength()):
        op = graph.Operators(index)
        kind, inputs, output = model.OperatorCodes(op.OpcodeIndex()).BuiltinCode(), op.InputsAsNumpy(), op.Outputs(0)
        if kind == kinds.DEPTHWISE_CONV_2D and (match := _PART.search(name_of(output))):
            waiting[output] = (match[1], values(inputs[1]))
        elif kind == kinds.CONV_2D and inputs[0] in waiting:
            name, depthwise = waiting[inputs[0]]
            parts[name] = (depthwise, values(inputs[1]), values(inputs[2]))
        elif kind in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D):
            backbone.append((values(inputs[1]).transpose(1, 2, 3, 0), values(inputs[2])))
        elif kind in (kinds.MUL, kinds.ADD) and (found := re.search(r"norm_\d", name_of(output))):
            norms.setdefault(found[0], []).append(values(inputs[1]))
    return backbone, parts, {name: tuple(pair) for name, pair in norms.items()}


def _drop_last_levels(parts: dict[str, Any], named: dict[str, Any]) -> None:
    """Remove the weights of pyramid levels above the network's last one."""
    last = max((name for name in named if name.startswith("coarser_")), default="coarser_")
    for name in [name for name in parts if name.startswith("coarser_") and name > last]:
        del parts[name]


def _copy_last_level(parts: dict[str, Any], norms: dict[str, Any], named: dict[str, Any]) -> set[str]:
    """Add the weights of pyramid levels that the file lacks; return these."""
    own, known = (sorted(name for name in names if name.startswith("coarser_")) for names in (named, parts))
    added = {name.removeprefix("coarser_") for name in own if known and name > known[-1]}
    last = known[-1].removeprefix("coarser_") if known else ""
    for level in added:
        parts[f"coarser_{level}"] = parts[f"coarser_{last}"]
        if f"norm_{last}" in norms:
            norms[f"norm_{level}"] = norms[f"norm_{last}"]
    return added


def _set_backbone(model: Any, backbone: list[tuple[np.ndarray, np.ndarray]]) -> dict[int, Any]:
    """Set the backbone's kernels; return what its normalisations must apply.

    The result is id of a normalisation -> scale and shift.
    """
    affine = {}
    # The last convolution feeds no level, so that files lack it.
    layers = [(block, _convolutions(block)) for block in model.backbone.layers]
    *layers, _ = [(block, pairs) for block, pairs in layers if pairs]
    remaining = list(backbone)
    for block, pairs in layers:
        if type(block).__name__ == "Conv2DBNBlock":  # begins a stage
            remaining = _without_residual_blocks(remaining)
        if len(remaining) < len(pairs):
            raise ValueError("it has fewer convolutions than the network")
        fitting = _narrowed(remaining[: len(pairs)], pairs[0][0].get_weights()[0].shape[3])
        for (layer, norm), (kernel, bias) in zip(pairs, fitting, strict=True):
            layer.set_weights([kernel])
            affine[id(norm)] = (np.ones_like(bias), bias)
        remaining = remaining[len(pairs) :]
    if _without_residual_blocks(remaining):
        raise ValueError("it has more convolutions than the network")
    return affine


def _convolutions(block: Any) -> list[tuple[Any, Any]]:
    """Return a block's convolutions, each with the normalisation after it."""
    kind = type(block).__name__
    if kind == "Conv2DBNBlock":
        return [(block._conv0, block._norm0)]
    if kind == "InvertedBottleneckBlock":
        pairs = [(block._conv1, block._norm1), (block._conv2, block._norm2)]
        return [(block._conv0, block._norm0), *pairs] if block._expand_ratio > 1 else pairs
    return []


def _narrowed(convolutions: list[tuple[np.ndarray, np.ndarray]], width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Reduce an inverted bottleneck to its `width` channels of largest weights.

    Other convolutions are returned as they are.
    """
    if len(convolutions) != 3 or convolutions[0][0].shape[3] <= width:
        return convolutions
    (expand, first), (depthwise, second), (project, last) = convolutions
    sizes = [np.linalg.norm(expand[0, 0], axis=0), np.linalg.norm(depthwise, axis=(0, 1))[:, 0]]
    kept = np.sort(np.argsort(-np.prod([*sizes, np.linalg.norm(project[0, 0], axis=1)], axis=0))[:width])
    return [(expand[..., kept], first[kept]), (depthwise[:, :, kept], second[kept]), (project[:, :, kept], last)]


def _without_residual_blocks(convolutions: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Leave out the inverted bottlenecks that convolutions begin with.

    Their results are added to their inputs, so that a network without them is nearly the same.
    """
    while len(convolutions) >= 3:
        (expand, _), _, (project, _) = convolutions[:3]
        if expand.shape[:2] != (1, 1) or project.shape[:2] != (1, 1) or expand.shape[2] != project.shape[3]:
            break
        convolutions = convolutions[3:]
    return convolutions


def _unfolded(named: dict[str, Any], level: str) -> tuple[np.ndarray, np.ndarray]:
    """Move a pyramid convolution's bias to the normalisation that was folded into it."""
    layer = named.get(f"post_hoc_{level}") or named[f"coarser_{level}"]
    depthwise, pointwise, bias = layer.get_weights()
    layer.set_weights([depthwise, pointwise, np.zeros_like(bias)])
    return np.ones_like(bias), bias


def _settle(model: Any, affine: dict[int, Any], images: np.ndarray) -> None:
    """Set the statistics of every normalisation to those of its inputs.

    Gamma and beta are set such that inference applies the scale and shift of `affine`.
    """
    import tensorflow as tf
    import tf_keras

    kind, plain = tf_keras.layers.BatchNormalization, tf_keras.layers.BatchNormalization.call

    def settle(layer: Any, inputs: Any, *_: Any, **__: Any) -> Any:
        if id(layer) not in affine:
            return plain(layer, inputs, training=False)
        scale, shift = affine[id(layer)]
        set_statistics(layer, inputs, shift, scale)
        return inputs * scale + shift

    kind.call = settle
    try:
        ssd.raw_outputs(model, tf.constant(images, tf.float32), training=False)
    finally:
        kind.call = plain
