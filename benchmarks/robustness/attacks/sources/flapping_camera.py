"""A camera that repeatedly delivers five images and disappears."""

from __future__ import annotations

import logging
import math
import threading
from pathlib import Path

from .....runtime.sources.camera import stream
from ...attack import Attack, Outcome
from .http_cameras import HttpCameras


def run(count: int, _: Path) -> Outcome:
    """Read such a camera for `count` seconds."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("galaxy_edge.runtime.sources.camera")
    logger.addHandler(handler)
    cameras = HttpCameras()
    source = stream(f"{cameras.url}/short")
    over = threading.Event()
    try:
        reader = threading.Thread(target=lambda: [over.is_set() for _ in source], daemon=True)
        reader.start()
        over.wait(count)
    finally:
        logger.removeHandler(handler)
        cameras.close()
    figures: dict[str, int | float | str] = {
        "requests": cameras.requests["/short"],
        "reopened": source.reopened,
        "messages": len(messages),
    }
    most = math.log2(4 * count + 1) + 2
    held = source.reopened <= most and len(messages) <= 2 * math.log2(most) + 3
    return Outcome(figures, held)


ATTACK = Attack(
    promise="A camera that is lost repeatedly is reopened, and reported, at growing intervals.",
    method="{count} s of a camera that delivers five images and disappears",
    run=run,
    count=75,
    small_count=4,
)
