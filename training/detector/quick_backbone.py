"""A MobileNet with plain early convolutions, for when memory limits the speed.

MobileNetV2's first blocks apply wide depthwise layers at a half and a quarter of the input's side: few multiply-adds,
but so much memory traffic that at small widths they dominate an int8 inference. Here the first convolution has stride
4, plain convolutions halve the side (as in the fused blocks of MobileNet-EdgeTPU, Xiong et al. 2020,
arXiv:2004.14525), and inverted bottlenecks (Sandler et al. 2018, arXiv:1801.04381) follow at low resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAME = "GalaxyEdgeQuick"

_CHANNELS = (48, 80, 144)
"""Of each stage, after its convolution of stride 2."""

STEM = 32


def _blocks(counts: Sequence[int], expansions: Sequence[float]) -> list[tuple[Any, ...]]:
    """Return the backbone's blocks, as rows of the library's table of networks."""
    rows: list[tuple[Any, ...]] = [("convbn", 4, 4, STEM, None, True)]
    for channels, expansion, count in zip(_CHANNELS, expansions, counts, strict=True):
        rows.append(("convbn", 3, 2, channels, None, not count))
        rows += [
            ("invertedbottleneck", 3, 1, channels, float(expansion), number == count - 1) for number in range(count)
        ]
    # The last layer of classifiers; the pyramid does not use it.
    rows.append(("convbn", 1, 1, 1280, None, False))
    return rows


def quick_backbone(specs: Any, width: float, counts: Sequence[int], expansions: Sequence[float], **norm: Any) -> Any:
    """Build the backbone with random weights.

    Args:
        specs: a `tf_keras.layers.InputSpec` of (None, size, size, 3), size a multiple of 32.
        width: factor of the number of channels.
        counts: number of inverted bottlenecks in the stages of stride 8, 16 and 32.
        expansions: of these blocks, their inner channels divided by their outer ones.
        norm: norm_momentum and use_sync_bn of `official.vision`'s MobileNet.

    Returns:
        an `official.vision` MobileNet whose levels 2 to 5 have strides 4 to 32.
    """
    from official.vision.modeling.backbones import mobilenet

    schema = ["block_fn", "kernel_size", "strides", "filters", "expand_ratio", "is_output"]
    # The library looks its networks up in this table by name.
    rows = _blocks(counts, expansions)
    mobilenet.SUPPORTED_SPECS_MAP[NAME] = {"spec_name": NAME, "block_spec_schema": schema, "block_specs": rows}
    return mobilenet.MobileNet(NAME, width, specs, divisible_by=8, **norm)
