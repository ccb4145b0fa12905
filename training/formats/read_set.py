"""Read a data-set folder, a catalogue or labels in any format, as samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...models.raw.stretch import Stretch
from ..data.catalogues import CATALOGUES, LABELLED, detect_layout, find_set_folders, read_catalogue
from ..data.errors import DataError
from ..data.sample import Sample
from .registry import detect
from .samples import read_samples


def read_set(folder: Path, skip_invalid: bool = False, stretch: Stretch | None = None) -> list[Sample]:
    """Read a data set.

    Args:
        folder: a data-set folder in a layout of `data.catalogues` or in a label format, or a folder of such folders,
            whose samples are read together.
        skip_invalid: leave invalid labels that a user made out, with a warning, instead of raising. The tables of
            catalogues are not checked.
        stretch: how images of more than 8 bits are stretched; None: the standard stretch, as in training.

    Raises:
        DataError: the folder does not exist, holds no set in a known layout, or a table lacks a column.
    """
    set_folders = find_set_folders(folder)
    samples = []
    for path in set_folders:
        samples += read_samples(path, skip_invalid) if detect_layout(path) == LABELLED else read_catalogue(path)
    if set_folders != [folder]:
        others = [path for path in sorted(folder.iterdir()) if path.is_dir() and path not in set_folders]
        for path in others if set_folders else [folder]:
            if detect(path) is not None:
                samples.extend(read_samples(path, skip_invalid))
    if not samples:
        raise DataError(f"{folder} holds no data set in a known layout ({', '.join(CATALOGUES)}) or label format")
    return samples if stretch is None else [replace(sample, stretch=stretch) for sample in samples]
