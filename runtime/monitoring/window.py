"""Show annotated frames in a window (``--show``).

Uses Tk, because headless OpenCV has no windows.
"""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from ...errors import UsageError
from ..frame import Detections, Frame
from ..recording.annotate import annotate

MAX_SIDE = 1280


class Window:
    """A window that shows frames; closing it stops the run.

    Args:
        classes: class names.
        abstain: probability below which a class is a guess, or None.

    Attributes:
        closed: whether the user closed it.

    Raises:
        UsageError: there is no display, or Python has no tkinter.
    """

    def __init__(self, classes: tuple[str, ...], abstain: float | None = None) -> None:
        if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
            raise UsageError("--show needs a display, and there is none (DISPLAY is not set)")
        try:
            import tkinter
        except ImportError:
            raise UsageError("--show needs tkinter: sudo apt install python3-tk") from None
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise UsageError(f"--show cannot open a window: {error}") from None
        self._root.title("galaxy-edge")
        self._root.protocol("WM_DELETE_WINDOW", self._close)
        self._label = tkinter.Label(self._root, background="black")
        self._label.pack()
        self._image: Any = None
        self._make_image = tkinter.PhotoImage
        self._classes = classes
        self._abstain = abstain
        self.closed = False

    def show(self, frame: Frame, detections: Detections) -> None:
        """Show a frame with boxes and class names."""
        if self.closed:
            return
        image = annotate(frame.pixels, detections, self._classes, self._abstain)
        scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
        if scale < 1.0:
            size = round(image.shape[1] * scale), round(image.shape[0] * scale)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        header = f"P6 {image.shape[1]} {image.shape[0]} 255 ".encode()
        self._image = self._make_image(data=header + np.ascontiguousarray(image).tobytes(), format="PPM")
        self._label.configure(image=self._image)
        self._root.update()

    def _close(self) -> None:
        self.closed = True
        self._root.destroy()
