"""A contact sheet of a labelled set: some of its pictures, with their boxes drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ...models.preprocess import letterbox
from ...runtime.imaging.encoding import encode_image
from ..data.errors import DataError
from .annotation import AnnotatedDataset, ImageAnnotation, Progress, no_progress
from .images import BrokenImageError, load_image
from .writing import staged_output, write_bytes

SIDE, CAPTION, GAP, HEADER_HEIGHT = 300, 20, 6, 30
BACKGROUND, TEXT_COLOUR, DIFFICULT_COLOUR = (24, 24, 24), (235, 235, 235), (165, 165, 165)
COLOURS = ((120, 200, 255), (255, 190, 90), (255, 130, 200), (150, 255, 150), (220, 200, 120), (190, 160, 255))
"""RGB of the classes, in their order; with more classes they come again."""
DASH_LENGTH = 4


def choose_images(labels: AnnotatedDataset, count: int, seed: int) -> list[ImageAnnotation]:
    """Draw some pictures of a set, in the order of their names."""
    drawn = np.random.default_rng(seed).permutation(len(labels.images))[:count]
    return [labels.images[place] for place in sorted(drawn.tolist())]


def draw_sheet(
    pictures: Sequence[ImageAnnotation], classes: Sequence[str], progress: Progress = no_progress
) -> np.ndarray:
    """Compose pictures in a grid: a box's colour is its class, a dashed box is difficult.

    In the place of a picture that is missing or broken stands what is wrong with it.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    tiles = []
    for done, one in enumerate(pictures):
        progress(done, len(pictures))
        tiles.append(_draw_annotation(one, classes))
    return arrange_grid(tiles, classes)


def arrange_grid(tiles: Sequence[np.ndarray], classes: Sequence[str]) -> np.ndarray:
    """Set tiles of one size side by side, under a line with the classes in their colours: (H, W, 3) uint8 RGB."""
    columns = max(1, int(np.ceil(np.sqrt(len(tiles)))))
    filled = [*tiles, *[np.full_like(tiles[0], BACKGROUND)] * (-len(tiles) % columns)]
    rows = [np.hstack(filled[start : start + columns]) for start in range(0, len(filled), columns)]
    whole = np.vstack([_draw_legend(rows[0].shape[1], classes), *rows])
    return np.pad(whole, ((0, GAP), (0, GAP), (0, 0)), constant_values=BACKGROUND[0])


def draw_tile(
    picture: np.ndarray, boxes: np.ndarray, colours: Sequence[int], dashed: Sequence[bool], text: str
) -> np.ndarray:
    """Draw boxes on a picture and write a line below it.

    Args:
        picture: (H, W, 3) uint8 RGB of any size; boxes: (N, 4) in its pixels.
        colours, dashed: (N) place of each box's class, and whether it counts neither for nor against.
    """
    fitted, scale = letterbox(picture, SIDE, SIDE, BACKGROUND[0])
    for box, colour, broken in zip(boxes, colours, dashed, strict=True):
        x0, y0, x1, y1 = (box * np.array([*scale, *scale])).clip(-SIDE, 2 * SIDE).round().astype(int).tolist()
        _rectangle(fitted, x0, y0, x1, y1, COLOURS[colour % len(COLOURS)], broken)
    caption = np.full((CAPTION, SIDE, 3), BACKGROUND, np.uint8)
    _draw_text(caption, text, 0, 14, DIFFICULT_COLOUR, 0.38)
    return np.pad(np.vstack([fitted, caption]), ((0, GAP), (GAP, 0), (0, 0)), constant_values=BACKGROUND[0])


def _draw_annotation(one: ImageAnnotation, classes: Sequence[str]) -> np.ndarray:
    count = "empty" if not len(one.boxes) else f"{len(one.boxes)} box" + "es" * (len(one.boxes) > 1)
    try:
        picture, wrong = load_image(one), ""
    except (BrokenImageError, DataError) as error:
        picture, wrong = np.zeros((one.height, one.width, 3), np.uint8), str(error)
    drawn = draw_tile(
        picture,
        one.boxes,
        [classes.index(name) for name in one.classes],
        one.difficult.tolist(),
        f"{count}  {one.file}",
    )
    for line, text in enumerate(textwrap.wrap(wrong, 40)[:6]):
        _draw_text(drawn, text, 2 * GAP, 20 + 18 * line, TEXT_COLOUR, 0.38)
    return drawn


def _rectangle(
    picture: np.ndarray, x0: int, y0: int, x1: int, y1: int, colour: tuple[int, int, int], dashed: bool
) -> None:
    drawn = picture.copy()
    cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 1)
    rows, columns = np.arange(picture.shape[0])[:, None], np.arange(picture.shape[1])
    kept = (rows + columns) // DASH_LENGTH % 2 == 0 if dashed else np.ones(picture.shape[:2], bool)
    picture[kept] = drawn[kept]


def _draw_legend(width: int, classes: Sequence[str]) -> np.ndarray:
    head = np.full((HEADER_HEIGHT, width, 3), BACKGROUND, np.uint8)
    at = GAP
    for place, name in enumerate(classes):
        at = _draw_text(head, name, at, 20, COLOURS[place % len(COLOURS)], 0.45) + 16
    _draw_text(head, "dashed: difficult", at, 20, DIFFICULT_COLOUR, 0.45)
    return head


def _draw_text(picture: np.ndarray, text: str, x: int, y: int, ink: tuple[int, int, int], scale: float) -> int:
    """Write a line, with ``?`` for letters that OpenCV does not have; tell where it ends."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(picture, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return x + int(cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def write_sheet(path: Path, picture: np.ndarray) -> None:
    """Write a sheet as PNG; an older one in its place goes when the new one is whole.

    Raises:
        WriteError: the disk refuses.
    """
    with staged_output(path, replace=True) as place:
        write_bytes(place, encode_image(picture))
