"""Draw docs/demo.webp and docs/demo.jpg: fields that the product simulated, searched and named by itself.

``make pictures`` runs it; it needs the extra ``sky``, astrometry.net and its index files of Tycho-2.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from galaxy_edge import Detections, Frame, RunConfig, Session
from galaxy_edge.runtime.recording.annotate import annotate

DOCS = Path(__file__).resolve().parent
WIDTH, HEIGHT = 800, 600
STILL_MS, BLEND_MS, BLENDS = 1800, 90, 4


class Field(NamedTuple):
    """A field: what a telescope points at, and how it is shown."""

    target: str
    telescope: str
    caption: str
    frames: int = 8


FIELDS = (
    Field("M 81", "nina-asi533mc", "M 81 group, 250 mm refractor"),
    Field("M 84", "nina-asi533mm", "Markarian's Chain, 250 mm refractor, mono"),
    Field("M 65", "seestar-s50", "Leo Triplet, Seestar S50"),
    Field("M 51", "seestar-s30", "M 51, Seestar S30"),
)


def search(field: Field, folder: Path) -> tuple[Frame, Detections, Session]:
    """Simulate a field, run the product over it, and return the last frame with what was found."""
    command = ["simulate", "--target", field.target, "--telescope", field.telescope, "--frames", str(field.frames)]
    subprocess.run([sys.executable, "-m", "galaxy_edge", "--quiet", *command, "--out", str(folder)], check=True)
    last: list[tuple[Frame, Detections]] = []
    session = Session(RunConfig(source=str(folder), out=None, stack=field.frames))
    session.run(lambda frame, detections, record, stats: last.append((frame, detections)))
    frame, detections = last[-1]
    return frame, detections, session


def view(pixels: np.ndarray, boxes: np.ndarray) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of a 4:3 part of an image around boxes."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = (*boxes[:, :2].min(0), *boxes[:, 2:].max(0)) if len(boxes) else (0, 0, width, height)
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    wide = min(width, height * WIDTH / HEIGHT, max(1.25 * (x1 - x0), 1.25 * (y1 - y0) * WIDTH / HEIGHT, 360))
    high = wide * HEIGHT / WIDTH
    left = round(min(max(0, middle_x - wide / 2), width - wide))
    top = round(min(max(0, middle_y - high / 2), height - high))
    return left, top, left + int(wide), top + int(high)


def draw(field: Field, folder: Path) -> np.ndarray:
    """Return the annotated picture of a field, (HEIGHT, WIDTH, 3) uint8 RGB."""
    frame, found, session = search(field, folder)
    left, top, right, bottom = view(frame.pixels, found.boxes)
    part = frame.pixels[top:bottom, left:right]
    scale = WIDTH / part.shape[1]
    image = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    moved = (found.boxes - np.array([left, top, left, top], np.float32)) * scale
    image = annotate(image, replace(found, boxes=moved), session.classifier.classes, session.classifier.abstain_below)
    print(f"{field.caption}: {len(found)} found, {sum(map(bool, found.names or ()))} of them catalogued")
    bar = image[-34:].astype(np.float32) * 0.35
    image[-34:] = bar.astype(np.uint8)
    cv2.putText(
        image, field.caption, (12, HEIGHT - 11), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (235, 235, 235), 1, cv2.LINE_AA
    )
    return image


def main() -> None:
    """Write both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        stills = [draw(field, Path(folder) / str(number)) for number, field in enumerate(FIELDS)]
    pictures, times = [], []
    for still, following in zip(stills, [*stills[1:], stills[0]], strict=True):
        shares = [number / (BLENDS + 1) for number in range(BLENDS + 1)]
        pictures += [Image.fromarray(cv2.addWeighted(still, 1 - share, following, share, 0)) for share in shares]
        times += [STILL_MS] + [BLEND_MS] * BLENDS
    pictures[0].save(DOCS / "demo.webp", save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=80)
    sheet = np.vstack([np.hstack(stills[:2]), np.hstack(stills[2:])])
    Image.fromarray(sheet).resize((WIDTH * 3 // 2, HEIGHT * 3 // 2)).save(DOCS / "demo.jpg", quality=85)


if __name__ == "__main__":
    main()
