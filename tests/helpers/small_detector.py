"""Settings and backbone of a detector small enough to be trained in a test."""

import pytest
from galaxy_edge.training.detector.settings import DetectorSettings

SMALL = DetectorSettings(
    size=64, width=0.25, fpn_filters=16, head_convs=1, max_level=5, batch=4, epochs=2, images_per_epoch=12, threads=1
)

_BLOCKS = [
    ("convbn", 3, 2, 32, None, False),
    ("invertedbottleneck", 3, 2, 24, 2.0, True),
    ("invertedbottleneck", 3, 2, 32, 2.0, True),
    ("invertedbottleneck", 3, 2, 96, 2.0, True),
    ("invertedbottleneck", 3, 2, 320, 2.0, True),
    ("convbn", 1, 1, 1280, None, False),
]


def shorten_mobilenet(patch: pytest.MonkeyPatch) -> None:
    """Give MobileNetV2 one block per level, so that its graph is traced faster.

    Channels and strides of the levels 2 to 5, and the last layer that no level uses, remain.
    """
    from official.vision.modeling.backbones import mobilenet

    # The library looks its networks up in this table by name.
    table = mobilenet.SUPPORTED_SPECS_MAP
    patch.setitem(table, "MobileNetV2", table["MobileNetV2"] | {"block_specs": _BLOCKS})
