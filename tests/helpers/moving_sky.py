"""Videos of a real sky that drifts and turns, with its true motion.

They are made by ffmpeg; the truth is the position of each point of the sky.

The sky is the Hubble eXtreme Deep Field (NASA/ESA, public domain) that comes with the package.
"""

import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest

SKY = resources.files("galaxy_edge.runtime.sources") / "sky" / "hubble_xdf.jpg"
WIDTH, HEIGHT = 560, 420


class MovingSky:
    """A window of `WIDTH` x `HEIGHT` that looks at the sky.

    It turns, and the window drifts.

    Args:
        drift: (x, y) whole pixels per frame that the window moves.
        turn: degrees a frame, clockwise, that the sky turns around the middle of the image.
        start: (x, y) of the window's corner in the first frame.
    """

    def __init__(self, path, frames, drift=(0, 0), turn=0.0, start=(150, 200)):
        if shutil.which("ffmpeg") is None:
            pytest.skip("needs ffmpeg to make a video of a moving sky")
        self.path, self.frames, self.drift, self.turn, self.start = path, frames, np.array(drift), turn, np.array(start)
        x, y = (f"{at}+({step})*n" for at, step in zip(start, drift, strict=True))
        look = f"format=gbrp,rotate=a={np.deg2rad(turn)}*n:bilinear=1,crop={WIDTH}:{HEIGHT}:x='{x}':y='{y}':exact=1,format=yuvj444p"
        command = [
            "ffmpeg",
            "-loglevel",
            "error",
            "-y",
            "-loop",
            "1",
            "-i",
            SKY,
            "-frames:v",
            frames,
            "-vf",
            look,
            "-c:v",
            "mjpeg",
            "-q:v",
            "2",
            path,
        ]
        subprocess.run([str(word) for word in command], check=True, timeout=120)

    def place(self, points, frame):
        """Return the positions in the first frame of points (N, 2) of a frame."""
        import cv2

        rows, columns = cv2.imread(str(SKY)).shape[:2]
        middle = np.array([columns, rows]) / 2
        angle = np.deg2rad(self.turn * frame)
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        on_sky = np.asarray(points) + self.start + self.drift * frame
        return (on_sky - middle) @ matrix + middle - self.start


def stack_all(source, depth):
    """Stack the frames of a source, as the loop does; return the last."""
    from galaxy_edge.runtime.imaging.sky_motion import SkyMotion, grey_thumbnail
    from galaxy_edge.runtime.imaging.stacking import Stack

    stack, motion, last = Stack(depth), SkyMotion(), None
    for frame in source:
        small = grey_thumbnail(frame.pixels)
        last = stack.add(frame, small, motion.update(small, frame.width // small.shape[1]))
    return last
