"""Make frames of decoded images, and log each remark on their reading once."""

from __future__ import annotations

import datetime
import logging

import numpy as np

from ...models.images.decoder import DecodedImage
from ...models.images.development import Development, develop_image
from ...models.images.frame_type import CalibrationFrameError
from ..frame import Frame
from ..system.address import printable_name

logger = logging.getLogger(__name__)


class ReadingLog:
    """A log of remarks on a source's images, each once.

    Calibration frames, which are skipped, are counted.

    Attributes:
        skipped: number of calibration frames.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._logged: set[str] = set()
        self._cameras: set[tuple[str, tuple[int, ...]]] = set()
        self._camera_before: tuple[str, tuple[int, ...]] | None = None

    def remarks(self, name: str, image: DecodedImage) -> None:
        """Log the new remarks on an image, and a camera other than before."""
        if image.header and image.raw is not None:
            camera = printable_name(str(image.header.get("INSTRUME", "")).strip()[:40]) or "unnamed", image.raw.shape
            if self._camera_before and camera not in self._cameras:
                before = _camera_text(*self._camera_before)
                logger.warning(
                    "%s is from another camera, %s, than the frames before, %s; each frame is read separately, "
                    "and a stack is started again",
                    name, _camera_text(*camera), before,
                )  # fmt: skip
            self._cameras.add(camera)
            self._camera_before = camera
        for remark in image.remarks:
            if remark not in self._logged:
                self._logged.add(remark)
                logger.warning("%s: %s", name, remark)

    def calibration_frame(self, error: CalibrationFrameError) -> None:
        """Count and log a calibration frame that is skipped."""
        self.skipped += 1
        logger.warning("skipped %s", error)


def _camera_text(name: str, shape: tuple[int, ...]) -> str:
    return f"{name} ({shape[1]} x {shape[0]}{', colour' if len(shape) == 3 else ''})"


def image_frame(image: DecodedImage, time: datetime.datetime, name: str, number: int) -> Frame:
    """Make a frame of a decoded image.

    Args:
        time: used where the image does not give its own.
        name, number: of the frame.
    """
    return Frame(
        image.pixels,
        image.time or time,
        name,
        number,
        image.stretch,
        image.header,
        image.raw,
        binning=image.binning,
        cfa=image.cfa,
        planes=image.planes,
        source_shape=_shape(image.raw),
    )


def developed_frame(
    values: np.ndarray,
    cfa: str | None,
    development: Development | None,
    time: datetime.datetime,
    name: str,
    number: int,
) -> Frame:
    """Develop values of more than 8 bits, and make a frame of them.

    They are (H, W), mono or mosaic, or (H, W, 3) RGB.
    """
    image = develop_image(values, cfa, development)
    return Frame(
        image.pixels,
        time,
        name,
        number,
        image.stretch,
        raw=image.raw,
        binning=image.binning,
        cfa=cfa,
        planes=image.planes,
        source_shape=_shape(image.raw),
    )


def _shape(raw: np.ndarray | None) -> tuple[int, int] | None:
    return None if raw is None else (int(raw.shape[0]), int(raw.shape[1]))
