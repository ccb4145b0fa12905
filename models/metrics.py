"""What an evaluation of a network gives, as records.

Every number is a plain value, or None where it is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class ClassificationMetrics:
    """Metrics of a classifier over labelled images.

    Attributes:
        accuracy: share of images with the right class, 0..1.
        macro_f1: mean F1 over the classes that occur in the truth.
        coarse_accuracy: share of images with the right coarse group.
        recall: class -> 0..1, None for a class without images.
        confusion: C x C counts, rows are the truth; empty where it is not recorded.
        ece: expected calibration error, 0..1.
        images: their number.
    """

    accuracy: float | None
    macro_f1: float | None
    coarse_accuracy: float | None
    recall: Mapping[str, float | None]
    confusion: Sequence[Sequence[int]]
    ece: float | None
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: value for name, value in vars(self).items() if name != "confusion" or value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(**{"confusion": (), **_known(cls, values)})


@dataclass(frozen=True)
class OperatingCounts:
    """Numbers of what a detector's operating threshold is measured on.

    Attributes:
        frames, boxes: number of frames and of true boxes.
        detections: number of detections at the threshold that count.
        negatives: number of frames without galaxies.
    """

    frames: int
    boxes: int
    detections: int
    negatives: int


@dataclass(frozen=True)
class DetectionMetrics:
    """Metrics of a detector over frames; see `detection_metrics.detection_metrics`.

    Attributes:
        map50, map: average precision at IoU 0.5, and over IoU 0.5:0.05:0.95.
        ar1, ar10: average recall of the best 1 and 10 detections of a frame.
        precision, recall: at a threshold of the score and IoU 0.5.
        fp_per_frame: mean number of detections in frames without galaxies, at the threshold.
        frames, boxes: number of frames and of true boxes.
        operating: what was measured at the threshold; None where none applies or it is not recorded.
    """

    map50: float | None
    map: float | None
    ar1: float | None
    ar10: float | None
    precision: float | None
    recall: float | None
    fp_per_frame: float | None
    frames: int
    boxes: int
    operating: OperatingCounts | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {name: value for name, value in vars(self).items() if name != "operating" or value is not None}
        return values if self.operating is None else values | {"operating": dict(vars(self.operating))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        known = _known(cls, values)
        if "operating" in known:
            known["operating"] = OperatingCounts(**known["operating"])
        return cls(**known)


def _known(cls: type[ClassificationMetrics] | type[DetectionMetrics], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a record's fields.

    Other values belong to a record that contains it.
    """
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}
