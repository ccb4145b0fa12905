"""A MobileNet whose early stages are plain convolutions, quick where it is not arithmetic that costs.

MobileNetV2's first blocks work on half and quarter of the input's side with wide, depthwise layers: few multiply-adds,
but so much memory that at small widths they take most of an int8 inference. Here a convolution of stride 4 looks at the
picture, plain convolutions halve it (as the fused blocks of MobileNet-EdgeTPU do, Xiong et al. 2020, arXiv:2004.14525),
and inverted bottlenecks (Sandler et al. 2018, arXiv:1801.04381) follow where pictures are small.
"""

from __future__ import annotations

from typing import Any

NAME = "GalaxyEdgeQuick"

_STAGES = ((48, 2, 1), (80, 3, 3), (144, 3, 4))
"""Channels after a convolution that halves; expansion and number of the inverted bottlenecks that follow."""

STEM = 32


def _blocks() -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [("convbn", 4, 4, STEM, None, True)]
    for channels, expansion, count in _STAGES:
        rows.append(("convbn", 3, 2, channels, None, False))
        rows += [
            ("invertedbottleneck", 3, 1, channels, float(expansion), number == count - 1) for number in range(count)
        ]
    # What classifiers end in; no level of a pyramid takes it.
    rows.append(("convbn", 1, 1, 1280, None, False))
    return rows


def quick_backbone(specs: Any, width: float, **norm: Any) -> Any:
    """Build the backbone with random weights.

    Args:
        specs: a `tf_keras.layers.InputSpec` of (None, size, size, 3), size a multiple of 32.
        width: share of the channels.
        norm: of `official.vision`'s MobileNet: norm_momentum, use_sync_bn.

    Returns:
        an `official.vision` MobileNet whose levels 2 to 5 have strides 4 to 32.
    """
    from official.vision.modeling.backbones import mobilenet

    schema = ["block_fn", "kernel_size", "strides", "filters", "expand_ratio", "is_output"]
    # The library finds its networks in this table, by name.
    mobilenet.SUPPORTED_SPECS_MAP[NAME] = {"spec_name": NAME, "block_spec_schema": schema, "block_specs": _blocks()}
    return mobilenet.MobileNet(NAME, width, specs, divisible_by=8, **norm)
