"""The record of a frame, one JSON object.

Its schema is ``runtime/events/frame.schema.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.naming import display_name, sure_group
from ..frame import Detections, Frame
from ..system.utc_time import utc_text

if TYPE_CHECKING:
    from ...sky.position import SkyPosition


@dataclass(frozen=True)
class DetectionRecord:
    """One detection in a frame's record.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the source frame.
        score: of the detector, 0..1.
        name: the best class.
        probability: of the best class.
        sure: whether the class is more than a guess; None if the classifier has no such threshold.
        probabilities: by class name.
        sky: where it is on the sky, and which catalogued object it is; None where nothing is known.
    """

    box: list[float]
    score: float
    name: str
    probability: float
    sure: bool | None
    probabilities: dict[str, float]
    sky: SkyPosition | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sure: dict[str, Any] = {} if self.sure is None else {"sure": self.sure}
        if self.sure is False and (group := sure_group(self.probabilities)):
            sure["group"] = group
        return {
            "box": self.box,
            "score": self.score,
            "class": self.name,
            "probability": self.probability,
            **sure,
            "probabilities": self.probabilities,
            **({} if self.sky is None else {"sky": self.sky.to_dict()}),
        }


@dataclass(frozen=True)
class FrameRecord:
    """The results of a frame.

    Attributes:
        frame: number of the frame.
        source: name of the source.
        time: UTC, ISO 8601.
        width, height: of the source frame in pixels.
        detections: best score first.
        ms: milliseconds by stage; the last stages are added after the record was made.
        stacked: number of frames that were averaged.
        stretch: how more than 8 bits were reduced to 8, see `models.images.stretch`; None if they were not.
        reused: whether the detections are those of an earlier frame, see `imaging.change_gate`.
        lost: numbers of events, images and log lines that the run has lost so far; empty if none.
        clock_step: seconds by which the clock was set since the frame before: times of earlier frames are of before.
    """

    frame: int
    source: str
    time: str
    width: int
    height: int
    detections: list[DetectionRecord] = field(default_factory=list)
    ms: dict[str, float] = field(default_factory=dict)
    stacked: int = 1
    stretch: dict[str, Any] | None = None
    reused: bool = False
    lost: dict[str, int] = field(default_factory=dict)
    clock_step: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; those from ``stacked`` on only where they apply."""
        values: dict[str, Any] = {
            "frame": self.frame,
            "source": self.source,
            "time": self.time,
            "width": self.width,
            "height": self.height,
            "detections": [detection.to_dict() for detection in self.detections],
            "ms": self.ms,
        }
        if self.stacked > 1:
            values["stacked"] = self.stacked
        if self.stretch is not None:
            values["stretch"] = self.stretch
        if self.reused:
            values["reused"] = True
        if self.lost:
            values["lost"] = self.lost
        if self.clock_step:
            values["clock_step"] = round(self.clock_step, 3)
        return values


def display_label(probabilities: np.ndarray, classes: tuple[str, ...], abstain: float | None) -> str:
    """Return a galaxy's name for display: class, coarse group, or `UNCERTAIN`.

    See `models.naming`.

    Args:
        probabilities: (C,).
        classes: names in the order of the probabilities.
        abstain: probability below which a class is a guess, if the classifier has such a threshold.
    """
    best = int(np.argmax(probabilities))
    sure = None if abstain is None else bool(probabilities[best] >= abstain)
    return display_name(classes[best], dict(zip(classes, map(float, probabilities), strict=True)), sure)


def frame_record(
    frame: Frame,
    detections: Detections,
    classes: tuple[str, ...],
    ms: dict[str, float],
    abstain: float | None = None,
    reused: bool = False,
    sky: Sequence[SkyPosition] = (),
) -> FrameRecord:
    """Make the record of a frame.

    Args:
        frame: the frame.
        detections: with class probabilities.
        classes: names in the order of the probabilities.
        ms: milliseconds by stage; kept by reference.
        abstain: probability below which a class is a guess, if the classifier has such a threshold.
        reused: whether the detections are those of an earlier frame.
        sky: position of each detection on the sky; empty where nothing is known.
    """
    width, height = frame.source_size
    boxes = frame.source_boxes(detections.boxes)
    return FrameRecord(
        frame=frame.number,
        source=frame.source,
        time=utc_text(frame.time),
        width=width,
        height=height,
        detections=[
            _detection(boxes[index], detections, index, classes, abstain, sky[index] if sky else None)
            for index in range(len(detections))
        ],
        ms=ms,
        stacked=frame.stacked,
        stretch=frame.stretch,
        reused=reused,
    )


def _detection(
    box: np.ndarray,
    detections: Detections,
    index: int,
    classes: tuple[str, ...],
    abstain: float | None,
    sky: SkyPosition | None,
) -> DetectionRecord:
    assert detections.probabilities is not None
    probabilities = detections.probabilities[index]
    best = int(np.argmax(probabilities))
    return DetectionRecord(
        box=[round(float(value), 2) for value in box],
        score=round(float(detections.scores[index]), 4),
        name=classes[best],
        probability=round(float(probabilities[best]), 4),
        sure=None if abstain is None else bool(probabilities[best] >= abstain),
        probabilities={name: round(float(value), 4) for name, value in zip(classes, probabilities, strict=True)},
        sky=sky,
    )
