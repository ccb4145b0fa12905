"""Compose sheets of saliency maps, activations and filter patterns.

Arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import cv2
import numpy as np

WIDTH = 1900
"""Maximum width of a sheet in pixels."""
MAX_LAYERS, MAX_CHANNELS = 12, 16
"""Maximum number of layers on a sheet of activations, and of channels per layer."""

Item = TypeVar("Item")

GROUND, INK, FAINT = 24, (235, 235, 235), (165, 165, 165)
GAP = 8


def heat_sheet(
    images: np.ndarray,
    heat: np.ndarray,
    probabilities: np.ndarray,
    shown: np.ndarray,
    names: Sequence[str],
    classes: Sequence[str],
    truth: Sequence[str | None] | None = None,
) -> np.ndarray:
    """Compose image, heat over image and text for each of N images.

    Args:
        images: (N, S, S, 3) uint8 RGB.
        heat: (N, S, S) 0..1, as returned by `saliency.grad_cam`.
        probabilities: (N, C) 0..1.
        shown: (N,) the class of each heat map.
        names: N titles of the images.
        classes: C class names.
        truth: the true class name of each image, None where unknown.

    Returns:
        (height, width, 3) uint8 RGB, at most `WIDTH` wide.
    """
    side, words = 168, 264
    cells = []
    for index, image in enumerate(images):
        best = int(shown[index])
        known = truth[index] if truth is not None else None
        text = _blank(side, words)
        _write(text, names[index], 0, FAINT)
        _write(text, classes[best], 1)
        _write(text, f"{probabilities[index, best]:.1%}", 2)
        if known is not None:
            right = known == classes[best]
            # Blue and orange, which colour-blind readers can distinguish, in addition to the words.
            word, ink = ("right", (120, 190, 255)) if right else ("wrong", (255, 170, 60))
            _write(text, f"truth: {known} ({word})", 3, ink)
        others = [rank for rank in np.argsort(-probabilities[index], kind="stable") if rank != best][:2]
        for line, other in enumerate(others, 4):
            _write(text, f"{classes[other]} {probabilities[index, other]:.1%}", line, FAINT)
        cells.append(_row([_enlarge(image, side), _enlarge(overlay(image, heat[index]), side), text]))
    columns = min(len(cells), max(1, (WIDTH - GAP) // (cells[0].shape[1] + GAP)))
    cells += [np.full_like(cells[0], GROUND)] * (-len(cells) % columns)
    return _frame(_column([_row(cells[at : at + columns]) for at in range(0, len(cells), columns)]))


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend heat (H, W) 0..1 over an image (H, W, 3) uint8.

    The hotter a pixel is, the more of the image is covered there.
    """
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = (0.15 + 0.5 * heat)[..., None]
    return np.asarray(np.rint(image * (1 - share) + cv2.cvtColor(colours, cv2.COLOR_BGR2RGB) * share).astype(np.uint8))


def activation_sheet(image: np.ndarray, maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compose a row of channels for each layer, below the image.

    At most `MAX_LAYERS` are shown, evenly from first to last, and of each the `MAX_CHANNELS` with the largest standard
    deviation, in their order. Each channel is stretched between its own minimum and maximum.

    Args:
        image: (S, S, 3) uint8 RGB.
        maps: layer name -> (h, w, c), as returned by `saliency.activations`.
    """
    side = 108
    rows = [_enlarge(image, 2 * side)]
    for name in evenly(list(maps), MAX_LAYERS):
        found = maps[name]
        height, width, channels = found.shape
        kept = np.sort(np.argsort(-found.std(axis=(0, 1)), kind="stable")[:MAX_CHANNELS])
        note = f", {len(kept)} most varied shown" if len(kept) < channels else ""
        rows.append(
            _titled(
                f"{name}   {height} x {width}, {channels} channels{note}",
                [_labelled(_enlarge(_grey(found[..., channel]), side), str(channel)) for channel in kept],
            )
        )
    return _frame(_column(rows))


def filter_sheet(patterns: Mapping[str, tuple[Sequence[int], np.ndarray]]) -> np.ndarray:
    """Compose a row of filter patterns for each layer.

    Args:
        patterns: layer name -> filter indices (n,), and their patterns (n, S, S, 3) uint8 RGB.
    """
    side = 144
    return _frame(
        _column(
            [
                _titled(
                    name,
                    [_labelled(_enlarge(image, side), str(index)) for index, image in zip(filters, shown, strict=True)],
                )
                for name, (filters, shown) in patterns.items()
            ]
        )
    )


def evenly(items: Sequence[Item], maximum: int) -> list[Item]:
    """Select at most `maximum` items, evenly from first to last."""
    indices = np.unique(np.linspace(0, len(items) - 1, min(maximum, len(items))).round().astype(int))
    return [items[index] for index in indices]


def _grey(levels: np.ndarray) -> np.ndarray:
    """Stretch levels (h, w) to a grey image (h, w, 3) uint8.

    It is black if they are constant.
    """
    low, high = float(levels.min()), float(levels.max())
    stretched = np.zeros(levels.shape) if high <= low else (levels - low) * (255 / (high - low))
    return np.repeat(stretched.astype(np.uint8)[..., None], 3, axis=2)


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    # Nearest neighbour: smoothing would show detail that the network does not have.
    shrunk = image.shape[0] > side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrunk else cv2.INTER_NEAREST)


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GROUND, np.uint8)


def _write(image: np.ndarray, text: str, line: int, ink: tuple[int, int, int] = INK) -> None:
    """Write a line of text, cut to the image's width.

    Characters outside ASCII become question marks.
    """
    plain = text.encode("ascii", "replace").decode()
    while plain and cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)[0][0] > image.shape[1]:
        plain = plain[:-1]
    cv2.putText(image, plain, (0, 16 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)


def _labelled(image: np.ndarray, text: str) -> np.ndarray:
    label = _blank(20, image.shape[1])
    _write(label, text, 0, FAINT)
    return np.vstack([image, label])


def _titled(title: str, images: Sequence[np.ndarray]) -> np.ndarray:
    heading = _blank(22, WIDTH - 2 * GAP)
    _write(heading, title, 0)
    return _column([heading, _row(images)])


def _row(images: Sequence[np.ndarray]) -> np.ndarray:
    gap = _blank(images[0].shape[0], GAP)
    return np.hstack([part for image in images for part in (image, gap)][:-1])


def _column(images: Sequence[np.ndarray]) -> np.ndarray:
    width = max(image.shape[1] for image in images)
    return np.vstack(
        [np.pad(image, ((0, GAP), (0, width - image.shape[1]), (0, 0)), constant_values=GROUND) for image in images]
    )


def _frame(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((GAP, 0), (GAP, GAP), (0, 0)), constant_values=GROUND)
