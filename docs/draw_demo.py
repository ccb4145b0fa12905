"""Draw docs/demo.webp: four simulated fields, searched and named by the product.

``make pictures`` runs it; it needs the extra ``sky``, astrometry.net and its index files of Tycho-2. Each field is
shown whole, with all that was missed. ``python docs/draw_demo.py FOLDER`` keeps the simulated frames in a folder, and
uses those that are there.
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
from astropy.table import Table
from galaxy_edge import Detections, Frame, RunConfig, Session
from galaxy_edge.models.naming import plain_name
from galaxy_edge.runtime.events.frame_record import display_label
from galaxy_edge.runtime.recording.annotate import annotate
from PIL import Image

PICTURE = Path(__file__).resolve().parent / "demo.webp"
SIDE, PANEL = 640, 320
FRAMES = 8
SKY_MS, FOUND_MS, BLEND_MS, BLENDS = 1200, 2800, 80, 2
BACKGROUND, BRIGHT, DIM, GREEN = (13, 17, 23), (235, 235, 235), (150, 160, 170), (150, 255, 150)
LISTED, ROW, CROP = 6, 68, 58
"""Maximum number of finds in the list next to a field, the height of each, and the side of its crop."""


class Field(NamedTuple):
    """A field: what a telescope points at, and its title."""

    target: str
    telescope: str
    title: str
    optics: str


FIELDS = (
    Field("M 81", "nina-asi533mc", "M 81 and M 82", "250 mm refractor, ASI533MC"),
    Field("M 65", "seestar-s50", "Leo Triplet", "Seestar S50"),
    Field("M 84", "nina-asi533mc", "Markarian's Chain", "250 mm refractor, ASI533MC"),
    Field("M 94", "seestar-s30", "M 94", "Seestar S30"),
)


def search(field: Field, folder: Path) -> tuple[Frame, Detections, Session]:
    """Simulate a field, and return its last frame with what was found."""
    if not (folder / "truth.ecsv").exists():
        command = ["simulate", "--target", field.target, "--telescope", field.telescope, "--frames", str(FRAMES)]
        subprocess.run([sys.executable, "-m", "galaxy_edge", "--quiet", *command, "--out", str(folder)], check=True)
    last: list[tuple[Frame, Detections]] = []
    session = Session(RunConfig(source=str(folder), out=None, stack=FRAMES))
    session.run(lambda frame, detections, record, stats: last.append((frame, detections)))
    return *last[-1], session


def catalogued(folder: Path, frame: Frame) -> dict[str, float]:
    """Return the magnitudes of the catalogued galaxies in the last frame, by name."""
    truth = Table.read(folder / "truth.ecsv")
    width, height = frame.source_size
    inside = (truth["x"] >= 0) & (truth["x"] < width) & (truth["y"] >= 0) & (truth["y"] < height)
    rows = truth[(truth["kind"] == "galaxy") & (truth["frame"] == truth["frame"].max()) & inside]
    return {str(name): float(magnitude) for name, magnitude in zip(rows["name"], rows["magnitude"], strict=True)}


def write(image: np.ndarray, text: str, top: int, size: float, colour: tuple[int, int, int], left: int = 20) -> None:
    """Write a line into the panel right of a field."""
    cv2.putText(image, text, (SIDE + left, top), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def list_finds(image: np.ndarray, frame: Frame, found: Detections, session: Session) -> None:
    """Draw the crops, names and shapes of the best finds into the panel."""
    assert found.probabilities is not None
    names = found.names or ("",) * len(found)
    finds = list(zip(found.boxes, found.probabilities, names, strict=True))[:LISTED]
    for number, (box, probabilities, name) in enumerate(finds):
        top = 130 + number * ROW
        side = int(1.3 * max(box[2:] - box[:2]))
        x, y = ((box[:2] + box[2:] - side) / 2).round().clip(0, (frame.width - side, frame.height - side)).astype(int)
        crop = frame.pixels[y : y + side, x : x + side]
        crop = cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_AREA if side > CROP else cv2.INTER_CUBIC)
        image[top : top + CROP, SIDE + 20 : SIDE + 20 + CROP] = crop
        shape = display_label(probabilities, session.classifier.classes, session.classifier.abstain_below)
        write(image, name or "not catalogued", top + 24, 0.6, GREEN if name else BRIGHT, 32 + CROP)
        write(image, plain_name(shape), top + 48, 0.45, DIM, 32 + CROP)


def draw(field: Field, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a field without and with what was found.

    Each is (SIDE, SIDE + PANEL, 3) uint8 RGB.
    """
    frame, found, session = search(field, folder)
    scale = SIDE / max(frame.width, frame.height)
    size = round(frame.width * scale), round(frame.height * scale)
    sky = np.full((SIDE, SIDE + PANEL, 3), BACKGROUND, np.uint8)
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    small = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)
    sky[top : top + size[1], left : left + size[0]] = small
    write(sky, field.title, 52, 0.85, BRIGHT)
    for number, text in enumerate((field.optics, f"simulated sky, {FRAMES} frames stacked")):
        write(sky, text, 84 + 24 * number, 0.48, DIM)

    shown = sky.copy()
    boxed = replace(found, boxes=(found.boxes * scale).astype(np.float32))
    drawn = annotate(small, boxed, session.classifier.classes, session.classifier.abstain_below)
    shown[top : top + size[1], left : left + size[0]] = drawn
    in_field = catalogued(folder, frame)
    names = [name for name in dict.fromkeys(found.names) if name in in_field]
    list_finds(shown, frame, found, session)
    lines = [f"{len(names)} of {len(in_field)} catalogued", "galaxies of the field found"]
    lines.append(f"(magnitudes {min(in_field.values()):.0f} to {max(in_field.values()):.0f})")
    if len(found) > len(names):
        lines.append(f"{len(found) - len(names)} more boxes")
    for number, text in enumerate(lines):
        write(shown, text, SIDE - 16 - 24 * (len(lines) - 1 - number), 0.55, BRIGHT if number < 2 else DIM)
    print(f"{field.title}: {', '.join(lines)}: {', '.join(names)}", flush=True)
    return sky, shown


def main() -> None:
    """Write the animated picture."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        stills = [image for field in FIELDS for image in draw(field, folder / field.target.replace(" ", ""))]
    pictures, times = [], []
    for number, still in enumerate(stills):
        following = stills[(number + 1) % len(stills)]
        shares = [step / (BLENDS + 1) for step in range(BLENDS + 1)]
        pictures += [Image.fromarray(cv2.addWeighted(still, 1 - share, following, share, 0)) for share in shares]
        times += [FOUND_MS if number % 2 else SKY_MS] + [BLEND_MS] * BLENDS
    # The first picture is also what readers see who switched animations off: it has names in it.
    pictures, times = pictures[BLENDS + 1 :] + pictures[: BLENDS + 1], times[BLENDS + 1 :] + times[: BLENDS + 1]
    pictures[0].save(
        PICTURE,
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        quality=70,
        method=6,
        minimize_size=True,
    )
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
