"""Read labelled galaxies from HDF5, one folder per class, or labelled sets.

Galaxy10 SDSS (``Galaxy10.h5``) and Galaxy10 DECaLS (``Galaxy10_DECals.h5``) are read as their authors publish them:
HDF5 with the datasets ``images`` and ``ans``; https://astronn.readthedocs.io/en/latest/galaxy10.html. Labelled sets
are read by `formats.read_set`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ...models.images.decoder import SUFFIXES, decode_image
from ...models.labels import CLASSES, COARSE, EXCLUDED_LABEL, GALAXY10, coarse_group
from ..data.catalogues import class_votes, detect_layout
from ..data.crops import CREDITS
from ..data.errors import DataError
from ..data.sample import Sample
from ..formats.read_set import read_set
from .attributes import read_attributes
from .dataset import ELONGATED, GalaxyDataset, ImageReader

logger = logging.getLogger(__name__)

DECALS = (
    "disturbed",
    "merging",
    "round_smooth",
    "in_between_round_smooth",
    "cigar_shaped_smooth",
    "barred_spiral",
    "unbarred_tight_spiral",
    "unbarred_loose_spiral",
    "edge_on_without_bulge",
    "edge_on_with_bulge",
)
"""Classes of Galaxy10 DECaLS, in the order of its labels."""

MIN_DECALS_SIDE = 128
"""Galaxy10 DECaLS has images of 256 pixels, Galaxy10 SDSS of 69."""

RELEASES = {
    21785: ("Galaxy10 SDSS", "969a6b1cefcc36e09fffa86febd2f699a4aa19b837ba0427f01b0bc6ded458af"),
    17736: ("Galaxy10 DECaLS", "19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571"),
}
"""Number of images of a release -> its name and the SHA-256 of its file, as its authors publish them."""


def load_dataset(
    path: Path, margin: float = 0.3, keep_boxy: bool = False, unnamed: bool = False, votes: bool = False
) -> GalaxyDataset:
    """Load labelled galaxies.

    Args:
        path: a Galaxy10 HDF5 file, a folder with one folder of images per class, or a folder of labelled sets.
        margin: see `GalaxyDataset`.
        keep_boxy: keep class 5 of Galaxy10 SDSS (17 images), which is excluded by default as in the report.
        unnamed: also take images of labelled sets without a class: those with a coarse group, or without any label.
        votes: also read the shares of votes of labelled sets.

    Raises:
        DataError: the path is none of these, is damaged, or has labels out of range.
    """
    if path.is_file():
        return _read_hdf5(path, margin, keep_boxy)
    if not path.is_dir():
        raise DataError(
            f"--data {path} does not exist, or is not a file or folder: name a folder of data sets, or a Galaxy10 file"
        )
    folders = [folder for folder in sorted(path.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    if not any(detect_layout(folder) for folder in (path, *folders)):
        images = {folder: _image_files(folder) for folder in folders}
        if any(images.values()):
            return _read_folders(path, images, margin)
        if files := sorted((*path.glob("*.h5"), *path.glob("*.hdf5"))):
            raise DataError(f"{path} is a folder: name the Galaxy10 file in it, --data {files[0]}")
    return _read_sets(path, margin, unnamed, votes)


def _read_hdf5(path: Path, margin: float, keep_boxy: bool) -> GalaxyDataset:
    """Read a Galaxy10 file, of SDSS or DECaLS by the size of its images."""
    pixels, labels = _read_galaxy10_arrays(path)
    _check_release(path, len(labels))
    classes: tuple[str, ...]
    if pixels.shape[1] >= MIN_DECALS_SIDE:
        name, classes = "galaxy10_decals", DECALS
    else:
        name, classes = "galaxy10_sdss", GALAXY10 if keep_boxy else CLASSES
        if not keep_boxy:
            kept = labels != EXCLUDED_LABEL
            pixels, labels = pixels[kept], labels[kept]
            labels = labels - (labels > EXCLUDED_LABEL)
    return GalaxyDataset(
        classes,
        labels.astype(int),
        tuple(coarse_group(classes[label]) for label in labels),
        tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels),
        (name,) * len(labels),
        tuple(_array_reader(image) for image in pixels),
        margin,
        ("Galaxy10: Leung & Bovy 2019; Galaxy Zoo",),
    )


def _read_galaxy10_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read and check the images and labels of a Galaxy10 file.

    Returns (N, side, side, 3) uint8 and (N,) in 0..9.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            missing = [name for name in ("images", "ans") if name not in file]
            if missing:
                raise DataError(f"{path} has no dataset {' and '.join(missing)}: it is not a Galaxy10 file")
            if not all(isinstance(file[name], h5py.Dataset) for name in ("images", "ans")):
                raise DataError(f"{path}: 'images' or 'ans' is a group, not a dataset: it is not a Galaxy10 file")
            images, labels = file["images"], np.asarray(file["ans"]).ravel()
            if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
                raise DataError(f"{path}: images are {images.shape} {images.dtype}, not (N, side, side, 3) uint8")
            if labels.shape != images.shape[:1]:
                raise DataError(f"{path}: {len(images)} images, but {len(labels)} labels")
            if not np.issubdtype(labels.dtype, np.integer):
                raise DataError(f"{path}: the labels in 'ans' are {labels.dtype}, not whole numbers")
            if not len(labels):
                raise DataError(f"{path} holds no images")
            if labels.min() < 0 or labels.max() > 9:
                raise DataError(f"{path}: labels run from {labels.min()} to {labels.max()}, not within 0..9")
            return np.asarray(images[:]), labels
    except OSError as error:
        raise DataError(f"{path} is not a complete HDF5 file: {error}; download it again") from None


def _array_reader(image: np.ndarray) -> ImageReader:
    return lambda: (image, None)


def _check_release(path: Path, count: int) -> None:
    """Check that a Galaxy10 file is the published one, by its SHA-256.

    A file whose number of images is not that of a release is not checked.
    """
    if count not in RELEASES:
        return
    name, published = RELEASES[count]
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != published:
        raise DataError(
            f"{path} is not {name} as published: its SHA-256 is {found[:12]}..., not {published[:12]}...; "
            "download it again"
        )


def _image_files(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted.

    Broken links, folders and pipes with the name of an image are left out, with a warning.
    """
    named = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if others := [path.name for path in named if not path.is_file()]:
        logger.warning(
            "%d images of %s are left out, since they are broken links, folders or pipes: %s, for example",
            len(others), folder, others[0],
        )  # fmt: skip
    return [path for path in named if path.is_file()]


def _read_folders(path: Path, images: Mapping[Path, Sequence[Path]], margin: float) -> GalaxyDataset:
    """Read the images of the folders of `path`, one for each class."""
    empty = [folder.name for folder, files in images.items() if not files]
    empty += [link.name for link in sorted(path.iterdir()) if not (link.exists() or link.name.startswith("."))]
    if empty:
        logger.warning("broken links and folders of %s without images are not classes: %s", path, ", ".join(empty))
    names = [folder.name for folder, files in images.items() if files]
    if len(names) < 2:
        raise DataError(f"{path} has images of one class only ({names[0]}): a classifier needs at least two")
    # The nine known classes keep their order, so that a model trained on all of them has the shipped model's outputs.
    classes = tuple(sorted(names, key=lambda name: (CLASSES.index(name) if name in CLASSES else len(CLASSES), name)))
    files = [(file, classes.index(folder.name)) for folder, found in images.items() for file in found]
    labels = np.array([label for _, label in files])
    ids = tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file, _ in files)
    _warn_of_contradictions(ids, labels, [str(file) for file, _ in files])
    return GalaxyDataset(
        classes,
        labels,
        tuple(coarse_group(classes[label]) for label in labels),
        ids,
        (path.name,) * len(files),
        tuple(_file_reader(file) for file, _ in files),
        margin,
    )


def _warn_of_contradictions(ids: Sequence[str], labels: np.ndarray, names: Sequence[str]) -> None:
    """Warn of images with more than one class; labels below 0 are none."""
    first: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for index, label in enumerate(labels):
        if label >= 0 and labels[one := first.setdefault(ids[index], index)] != label:
            found.append((one, index))
    if found:
        one, other = found[0]
        logger.warning(
            "%d images are copies of one with another class: %s and %s, for example; remove the wrong one of each",
            len(found), names[one], names[other],
        )  # fmt: skip


def _file_reader(path: Path) -> ImageReader:
    def read() -> tuple[np.ndarray, None]:
        try:
            return decode_image(path.read_bytes(), path.name).pixels, None
        except ImageError as error:
            raise DataError(f"{path} cannot be decoded: {error.reason}") from None

    return read


def _read_sets(path: Path, margin: float, unnamed: bool, votes: bool) -> GalaxyDataset:
    """Read labelled sets, whose classes are the nine of Galaxy10."""
    samples = list(read_set(path))
    galaxy_sets = {sample.set for sample in samples if sample.label >= 0}
    used = [
        sample
        for sample in samples
        if sample.label >= 0 or (unnamed and _shows_one_galaxy(sample, sample.set in galaxy_sets))
    ]
    if not used:
        raise DataError(f"{path} holds no image with a class: name a folder with labelled galaxies")
    sources = tuple(sample.set for sample in used)
    labels, ids = np.array([sample.label for sample in used]), tuple(sample.digest() for sample in used)
    _warn_of_contradictions(ids, labels, [f"{sample.set}/{sample.file}" for sample in used])
    return GalaxyDataset(
        CLASSES,
        labels,
        tuple(_training_group(sample) for sample in used),
        ids,
        sources,
        tuple(_sample_reader(sample) for sample in used),
        margin,
        (*(CREDITS[name] for name in sorted(set(sources)) if name in CREDITS), "images: Sloan Digital Sky Survey"),
        np.stack([read_attributes(sample.row) for sample in used]),
        np.stack([class_votes(sample.row) for sample in used]) if votes else None,
        tuple(_first_box(sample) for sample in used),
    )


def _training_group(sample: Sample) -> str:
    """Return the coarse group to train on.

    Folders of the Kaggle challenge's edge-on galaxies hold many that Galaxy Zoo 2 calls cigar-shaped: where a folder's
    name is all that is known, both are allowed.
    """
    if sample.label >= 0:
        return coarse_group(CLASSES[sample.label])
    from_folder = sample.row.get("label_source", "").startswith("folder")
    return ELONGATED if sample.coarse == "edge_on" and from_folder else sample.coarse


def _shows_one_galaxy(sample: Sample, from_galaxy_set: bool) -> bool:
    """Return whether a sample without a class shows a single galaxy.

    The galaxy must be one that could belong to one of the nine classes.

    Without a coarse group it must be from a set of galaxies: other sets contain stars and nebulae too.
    """
    single = len(sample.boxes) == 1 or not (len(sample.boxes) or len(sample.ignore))
    return sample.coarse in COARSE or (from_galaxy_set and not sample.coarse and single)


def _sample_reader(sample: Sample) -> ImageReader:
    return lambda: (sample.load(), _first_box(sample))


def _first_box(sample: Sample) -> np.ndarray | None:
    return sample.boxes[0] if len(sample.boxes) else None
