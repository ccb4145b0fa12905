"""The output contract: one JSON object a frame. Its schema is ``runtime/frame.schema.json``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..frame import Detections, Frame
from ..system.utc_time import utc_text

UNCERTAIN = "galaxy, class uncertain"


def display_label(probabilities: np.ndarray, classes: tuple[str, ...], abstain: float | None) -> str:
    """Name a galaxy for people: its best class, or that none is sure.

    Args:
        probabilities: (C,).
        abstain: probability below which a name is a guess, if the classifier has such a threshold.
    """
    best = int(np.argmax(probabilities))
    return classes[best] if abstain is None or probabilities[best] >= abstain else UNCERTAIN


def frame_record(
    frame: Frame, named: Detections, classes: tuple[str, ...], ms: dict[str, float], abstain: float | None = None
) -> dict[str, Any]:
    """Describe a frame and what was found in it.

    Args:
        named: detections with class probabilities.
        classes: names in the order of the probabilities.
        ms: milliseconds by stage.
        abstain: probability below which a name is a guess, if the classifier has such a threshold.

    Returns:
        Plain values for JSON: frame, source, time (UTC), width, height, detections, ms; ``stretch`` where a picture of
        more than 8 bits was stretched; ``stacked`` where it is the mean of several frames. Boxes are x0, y0, x1, y1 in
        pixels of the source frame, best score first.
    """
    record: dict[str, Any] = {
        "frame": frame.number,
        "source": frame.source,
        "time": utc_text(frame.time),
        "width": frame.width,
        "height": frame.height,
        "detections": [_detection(named, index, classes, abstain) for index in range(len(named))],
        "ms": ms,
    }
    if frame.stacked > 1:
        record["stacked"] = frame.stacked
    if frame.stretch is not None:
        record["stretch"] = frame.stretch
    return record


def _detection(named: Detections, index: int, classes: tuple[str, ...], abstain: float | None) -> dict[str, Any]:
    assert named.probabilities is not None
    probabilities = named.probabilities[index]
    best = int(np.argmax(probabilities))
    sure = {} if abstain is None else {"sure": bool(probabilities[best] >= abstain)}
    return {
        "box": [round(float(value), 2) for value in named.boxes[index]],
        "score": round(float(named.scores[index]), 4),
        "class": classes[best],
        "probability": round(float(probabilities[best]), 4),
        **sure,
        "probabilities": {name: round(float(value), 4) for name, value in zip(classes, probabilities, strict=True)},
    }
