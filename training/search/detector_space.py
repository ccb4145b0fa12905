"""The search space of detectors (SSD MobileNetV2 FPNLite), and their cost.

The cost is computed from the layers that `networks.build_network` creates, without building them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ..cost import Cost
from ..detector.settings import DetectorSettings
from ..mobilenet.architecture import BLOCKS, scale_channels
from .space import Space

SPACE: dict[str, Sequence[Any]] = {
    "size": range(192, 321, 32),
    "width_percent": range(20, 71, 5),
    "fpn_filters": range(24, 97, 8),
    "head_convs": range(1, 5),
    "scales_per_octave": range(1, 4),
    "min_level": (3, 4),
}
START: dict[str, Any] = {
    "size": 256,
    "width_percent": 50,
    "fpn_filters": 64,
    "head_convs": 2,
    "scales_per_octave": 2,
    "min_level": 3,
}

ENDS, TOP_LEVEL = {2: 24, 3: 32, 4: 96, 5: 320}, 5
"""Channels of the last block at each level of the backbone, and the highest of these levels."""

INT8_BYTES_A_CHANNEL, INT8_BYTES_AN_OPERATION, INT8_BYTES_A_FILE = 16, 420, 46_000
"""Bytes of an int8 TFLite file in addition to its weights, fitted to converted networks; tests check some."""


@dataclass(frozen=True)
class DetectorDesign:
    """A detector of the space; for the values see `DetectorSettings`."""

    size: int
    width: float
    fpn_filters: int
    head_convs: int
    scales_per_octave: int
    min_level: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, which are arguments of `DetectorSettings`."""
        return asdict(self)


class _Convolution(NamedTuple):
    """A convolution.

    Attributes:
        kernel: side of the kernel.
        before: input channels.
        channels: output channels.
        side: side of the output.
        depthwise: whether it has one kernel per channel.
        normalisation: parameters per channel of the normalisation behind it.
    """

    kernel: int
    before: int
    channels: int
    side: int
    depthwise: bool = False
    normalisation: int = 4

    @property
    def weights(self) -> int:
        return self.kernel**2 * (1 if self.depthwise else self.before) * self.channels


def _backbone(design: DetectorDesign) -> Iterator[_Convolution]:
    """Yield the convolutions of the MobileNetV2 backbone."""
    side, before = -(-design.size // 2), scale_channels(32, design.width)
    yield _Convolution(3, 3, before, side)
    for expansion, full, blocks, first in BLOCKS:
        channels = scale_channels(full, design.width)
        for number in range(blocks):
            wide = expansion * before
            if expansion > 1:
                yield _Convolution(1, before, wide, side)
            side = -(-side // (first if number == 0 else 1))
            yield _Convolution(3, wide, wide, side, depthwise=True)
            yield _Convolution(1, wide, channels, side)
            before = channels


def _separable(before: int, channels: int, side: int, normalisation: int = 4) -> Iterator[_Convolution]:
    yield _Convolution(3, before, before, side, depthwise=True, normalisation=0)
    yield _Convolution(1, before, channels, side, normalisation=normalisation)


def _pyramid(design: DetectorDesign, sides: dict[int, int]) -> Iterator[_Convolution]:
    filters = design.fpn_filters
    for level in range(design.min_level, TOP_LEVEL + 1):
        yield from _separable(scale_channels(ENDS[level], design.width), filters, sides[level])
        yield from _separable(filters, filters, sides[level])
    for level in range(TOP_LEVEL + 1, max(sides) + 1):
        yield from _separable(filters, filters, sides[level])


def _head(design: DetectorDesign, sides: dict[int, int], aspects: int) -> Iterator[_Convolution]:
    filters, anchors = design.fpn_filters, design.scales_per_octave * aspects
    for side in sides.values():
        for outputs in (anchors, 4 * anchors):
            for _ in range(design.head_convs):
                yield from _separable(filters, filters, side)
            yield from _separable(filters, outputs, side, normalisation=0)


def cost(design: DetectorDesign, classes: int = 1) -> Cost:
    """Return the cost of a detector.

    The size of its int8 file is an estimate with an error of at most a tenth.

    The levels share the kernels of the head, but each has its own normalisation. When it is folded into the kernels,
    the file contains a copy of them for every level.
    """
    settings = DetectorSettings(**design.to_dict())
    sides = {level: -(-design.size // 2**level) for level in range(design.min_level, settings.max_level + 1)}
    body = [*_backbone(design), *_pyramid(design, sides)]
    head = list(_head(design, sides, len(settings.aspect_ratios)))
    layers = body + head
    macs = sum(layer.weights * layer.side**2 for layer in layers)
    shared = head[: len(head) // len(sides)]
    parameters = sum(layer.weights for layer in body + shared)
    parameters += sum(layer.normalisation * layer.channels for layer in layers)
    size = sum(layer.weights + INT8_BYTES_A_CHANNEL * layer.channels + INT8_BYTES_AN_OPERATION for layer in layers)
    return Cost(macs, parameters, size + INT8_BYTES_A_FILE)


def design_of(choice: Mapping[str, Any]) -> DetectorDesign:
    """Return the detector of a choice, i.e. of one value for every name in `SPACE`."""
    plain = {name: value for name, value in choice.items() if name != "width_percent"}
    return DetectorDesign(width=choice["width_percent"] / 100, **plain)


DETECTORS = Space(
    SPACE,
    START,
    design_of,
    cost,
    ("map50", "mAP@0.5"),
    ("input", "width", "pyramid", "head", "scales", "first level"),
    lambda net: (
        str(net["size"]),
        f"{net['width']:g}",
        str(net["fpn_filters"]),
        f"{net['head_convs']} convolutions",
        str(net["scales_per_octave"]),
        str(net["min_level"]),
    ),
    "galaxy-edge train detector --network {picked} --out RUN_DIR",
)
"""The space of detectors."""
