"""Draw a contact sheet of a labelled set: some of its images with their boxes."""

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
"""RGB of the classes, in their order; repeated if there are more classes."""
DASH_LENGTH = 4


def choose_images(labels: AnnotatedDataset, count: int, seed: int) -> list[ImageAnnotation]:
    """Choose `count` images of a set at random, sorted by name."""
    chosen = np.random.default_rng(seed).permutation(len(labels.images))[:count]
    return [labels.images[index] for index in sorted(chosen.tolist())]


def draw_sheet(
    images: Sequence[ImageAnnotation], classes: Sequence[str], progress: Progress = no_progress
) -> np.ndarray:
    """Draw images with their boxes in a grid.

    The colour of a box is its class, a dashed box is difficult.

    For an image that is missing or broken, the error is written instead.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    tiles = []
    for done, image in enumerate(images):
        progress(done, len(images))
        tiles.append(_draw_annotation(image, classes))
    return arrange_grid(tiles, classes)


def arrange_grid(tiles: Sequence[np.ndarray], classes: Sequence[str]) -> np.ndarray:
    """Arrange tiles of equal size in a grid below a legend of the classes.

    The result is (H, W, 3) uint8 RGB.
    """
    columns = max(1, int(np.ceil(np.sqrt(len(tiles)))))
    filled = [*tiles, *[np.full_like(tiles[0], BACKGROUND)] * (-len(tiles) % columns)]
    rows = [np.hstack(filled[start : start + columns]) for start in range(0, len(filled), columns)]
    grid = np.vstack([_draw_legend(rows[0].shape[1], classes), *rows])
    return np.pad(grid, ((0, GAP), (0, GAP), (0, 0)), constant_values=BACKGROUND[0])


def draw_tile(
    image: np.ndarray, boxes: np.ndarray, colours: Sequence[int], dashed: Sequence[bool], text: str
) -> np.ndarray:
    """Draw boxes on an image and write a line of text below it.

    Args:
        image: (H, W, 3) uint8 RGB of any size; boxes: (N, 4) in its pixels.
        colours, dashed: (N) index of each box's class, and whether the box is difficult.
    """
    fitted, scale = letterbox(image, SIDE, SIDE, BACKGROUND[0])
    for box, colour, is_dashed in zip(boxes, colours, dashed, strict=True):
        x0, y0, x1, y1 = (box * np.array([*scale, *scale])).clip(-SIDE, 2 * SIDE).round().astype(int).tolist()
        _rectangle(fitted, x0, y0, x1, y1, COLOURS[colour % len(COLOURS)], is_dashed)
    caption = np.full((CAPTION, SIDE, 3), BACKGROUND, np.uint8)
    _draw_text(caption, text, 0, 14, DIFFICULT_COLOUR, 0.38)
    return np.pad(np.vstack([fitted, caption]), ((0, GAP), (GAP, 0), (0, 0)), constant_values=BACKGROUND[0])


def _draw_annotation(annotation: ImageAnnotation, classes: Sequence[str]) -> np.ndarray:
    """Draw the tile of an image, or of the error if it cannot be loaded."""
    count = (
        "empty" if not len(annotation.boxes) else f"{len(annotation.boxes)} box" + "es" * (len(annotation.boxes) > 1)
    )
    try:
        image, error_text = load_image(annotation), ""
    except (BrokenImageError, DataError) as error:
        image, error_text = np.zeros((annotation.height, annotation.width, 3), np.uint8), str(error)
    developed = image.shape[1] / annotation.width, image.shape[0] / annotation.height  # below 1 of a Bayer mosaic
    tile = draw_tile(
        image,
        annotation.boxes * np.array([*developed, *developed]),
        [classes.index(name) for name in annotation.classes],
        annotation.difficult.tolist(),
        f"{count}  {annotation.file}",
    )
    for line, text in enumerate(textwrap.wrap(error_text, 40)[:6]):
        _draw_text(tile, text, 2 * GAP, 20 + 18 * line, TEXT_COLOUR, 0.38)
    return tile


def _rectangle(
    image: np.ndarray, x0: int, y0: int, x1: int, y1: int, colour: tuple[int, int, int], dashed: bool
) -> None:
    drawn = image.copy()
    cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 1)
    rows, columns = np.arange(image.shape[0])[:, None], np.arange(image.shape[1])
    is_drawn = (rows + columns) // DASH_LENGTH % 2 == 0 if dashed else np.ones(image.shape[:2], bool)
    image[is_drawn] = drawn[is_drawn]


def _draw_legend(width: int, classes: Sequence[str]) -> np.ndarray:
    header = np.full((HEADER_HEIGHT, width, 3), BACKGROUND, np.uint8)
    x = GAP
    for index, name in enumerate(classes):
        x = _draw_text(header, name, x, 20, COLOURS[index % len(COLOURS)], 0.45) + 16
    _draw_text(header, "dashed: difficult", x, 20, DIFFICULT_COLOUR, 0.45)
    return header


def _draw_text(image: np.ndarray, text: str, x: int, y: int, colour: tuple[int, int, int], scale: float) -> int:
    """Draw a line of text, and return the x at which it ends.

    Letters that OpenCV lacks become ``?``.
    """
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(image, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return x + int(cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])


def write_sheet(path: Path, image: np.ndarray) -> None:
    """Write a sheet as PNG.

    An existing one is replaced only when the new one is complete.

    Raises:
        WriteError: it cannot be written.
    """
    with staged_output(path, replace=True) as temporary:
        write_bytes(temporary, encode_image(image))
