"""Read the images for int8 calibration, from a folder or an .npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..models.images.decoder import SUFFIXES, decode_image
from ..models.images.development import Development
from ..models.npz import NpzError, read_npz
from ..models.preprocess import letterbox, resize
from ..models.raw.stretch import Stretch
from .errors import ExportError

MAX_UNPACKED_BYTES = 2**32
"""Maximum unpacked size of an .npz."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz.

    Raises:
        ExportError: it is damaged, or would unpack to more than 4 GB.
    """
    try:
        return read_npz(path, MAX_UNPACKED_BYTES)
    except NpzError as error:
        raise ExportError(f"{path} {error}") from None


def load_calibration_images(
    source: Path, model: dict[str, Any], task: str, samples: int | None, seed: int
) -> np.ndarray:
    """Return calibration images as network inputs.

    Args:
        source: an .npz with ``images`` (n, H, W, 3) uint8 of the network's input size, or a folder of images, which
            are preprocessed as at run time; the same number is taken from each of its subfolders.
        model: with ``input`` and ``preprocess``; task: ``classify`` or ``detect``.
        samples: maximum number of images, selected by `seed`; None uses all.

    Returns:
        (n, H, W, 3) uint8.

    Raises:
        ExportError: there are no images, they are all black, or of another size.
    """
    width, height = model["input"]["width"], model["input"]["height"]
    if source.is_dir():
        images = _read_folder(source, task, width, height, model["preprocess"], samples, seed)
    else:
        arrays = read_arrays(source)
        if "images" not in arrays:
            raise ExportError(f"{source} has no array 'images'; it has {', '.join(arrays) or 'none'}")
        images = arrays["images"]
        if images.dtype != np.uint8 or images.ndim != 4 or (len(images) and images.shape[1:] != (height, width, 3)):
            raise ExportError(
                f"images in {source} are {images.dtype} {images.shape}, not uint8 (n, {height}, {width}, 3)"
            )
        if samples is not None and len(images) > samples:
            images = images[np.sort(np.random.default_rng(seed).permutation(len(images))[:samples])]
    if len(images) == 0 or images.max() == 0:
        raise ExportError(f"{source} holds no images, or only black ones")
    return images


def _read_folder(
    folder: Path, task: str, width: int, height: int, preprocess: dict[str, Any], samples: int | None, seed: int
) -> np.ndarray:
    groups: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            groups.setdefault(path.parent, []).append(path)
    table = preprocess.get("stretch")
    development = Development(stretch=Stretch() if table is None else Stretch.from_manifest(table))
    rng = np.random.default_rng(seed)
    shuffled = [[paths[index] for index in rng.permutation(len(paths))] for _, paths in sorted(groups.items())]
    # Round-robin over the folders, so that each contributes the same number.
    longest = max(map(len, shuffled), default=0)
    ordered = [paths[turn] for turn in range(longest) for paths in shuffled if turn < len(paths)]
    images = []
    for path in ordered[:samples]:
        try:
            pixels = decode_image(path.read_bytes(), str(path), development).pixels
        except (OSError, ImageError) as error:
            raise ExportError(f"a calibration image cannot be read: {error}") from None
        fitted = (
            letterbox(pixels, width, height, preprocess["fill"])[0]
            if task == "detect"
            else resize(pixels, width, height)
        )
        images.append(fitted)
    return np.stack(images) if images else np.zeros((0, height, width, 3), np.uint8)


def pick_evenly(images: np.ndarray, count: int) -> np.ndarray:
    """Pick `count` images at even distances; images are repeated if there are fewer."""
    chosen: np.ndarray = images[np.linspace(0, len(images) - 1, count).astype(int)]
    return chosen
