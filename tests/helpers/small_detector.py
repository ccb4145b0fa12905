"""Settings of a detector small enough to be trained in a test."""

from galaxy_edge.training.detector.settings import DetectorSettings

SMALL = DetectorSettings(
    size=64, width=0.25, fpn_filters=16, head_convs=1, max_level=5, batch=4, epochs=2, images_per_epoch=12, threads=1
)
