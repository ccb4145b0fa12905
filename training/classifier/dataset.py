"""Labelled galaxies behind one interface, whatever file or folder they come from.

Galaxy10 SDSS (``Galaxy10.h5``) and Galaxy10 DECaLS (``Galaxy10_DECals.h5``) as their authors publish them (HDF5 with
the datasets ``images`` and ``ans``; https://astronn.readthedocs.io/en/latest/galaxy10.html), a folder with a folder
of pictures per class, or the labelled sets that `data.read_set` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ImageError
from ...models.images.decoder import SUFFIXES, decode_image
from ...models.labels import CLASSES, COARSE, EXCLUDED_LABEL, GALAXY10, coarse_group
from ..data.crops import CREDITS, network_input
from ..data.sample import DataError, Sample, data_hash, read_set, set_name
from .attributes import read_attributes
from .augmentation import Canvas, prepare

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
"""Classes of Galaxy10 DECaLS, by its label."""

RELEASES = {
    21785: ("Galaxy10 SDSS", "969a6b1cefcc36e09fffa86febd2f699a4aa19b837ba0427f01b0bc6ded458af"),
    17736: ("Galaxy10 DECaLS", "19aefc477c41bb7f77ff07599a6b82a038dc042f889a111b0d4d98bb755c1571"),
}
"""Number of pictures of a release -> its name and the SHA-256 of its file, as its authors publish them."""

Reader = Callable[[], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class GalaxyDataset:
    """Labelled galaxies.

    Attributes:
        classes: names of the classes, in label order.
        labels: (N,) int, index into `classes`, -1 where at most the coarse group is known.
        groups: N coarse groups, "" where unknown.
        ids: N hashes (hex) of the pictures' content.
        sources: N names of the sets that the pictures come from.
        readers: N functions that give the picture, (H, W, 3) uint8 RGB, and its galaxy's box (4,) or None.
        margin: share of a box's longer side added in all, as in `models.preprocess.crop`.
        credits: whom to name.
        attributes: (N, A) float32 in 0..1, NaN where nothing was said, see `attributes`; None where nothing is known.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    groups: tuple[str, ...]
    ids: tuple[str, ...]
    sources: tuple[str, ...]
    readers: tuple[Reader, ...]
    margin: float
    credits: tuple[str, ...] = ()
    attributes: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray | Sequence[int]) -> GalaxyDataset:
        """Keep some of the pictures, in the order of `indices` (n,)."""
        indices = np.asarray(indices, int)
        groups, ids, sources, readers = (
            tuple(values[index] for index in indices) for values in (self.groups, self.ids, self.sources, self.readers)
        )
        attributes = None if self.attributes is None else self.attributes[indices]
        return replace(
            self,
            labels=self.labels[indices],
            groups=groups,
            ids=ids,
            sources=sources,
            readers=readers,  # type: ignore[arg-type]
            attributes=attributes,
        )

    @property
    def labelled(self) -> np.ndarray:
        """Indices (n,) of the pictures with a class."""
        return np.flatnonzero(self.labels >= 0)

    @property
    def grouped(self) -> np.ndarray:
        """Indices (n,) of the pictures with a class or at least a coarse group."""
        return np.flatnonzero((self.labels >= 0) | (np.array(self.groups, str) != ""))

    @property
    def informative(self) -> np.ndarray:
        """Indices (n,) of the pictures of which anything is known: a class, a coarse group, an attribute."""
        if self.attributes is None:
            return self.grouped
        return np.union1d(self.grouped, np.flatnonzero(np.isfinite(self.attributes).any(axis=1)))

    def images(self, size: int) -> np.ndarray:
        """Give what a network of `size` pixels sees of each, cut as the runtime cuts: (N, size, size, 3) uint8."""
        cut = [
            network_input(image, np.zeros((0, 4)) if box is None else box[None], self.margin, size)
            for image, box in (read() for read in self.readers)
        ]
        return np.stack(cut) if cut else np.zeros((0, size, size, 3), np.uint8)

    def canvases(self) -> list[Canvas]:
        """Keep of each what augmentation needs."""
        return [prepare(image, box, self.margin) for image, box in (read() for read in self.readers)]

    @property
    def hash(self) -> str:
        """Hash of the pictures and labels, whatever their order (SHA-256, hex)."""
        return data_hash(
            f"{one}:{label}:{group}"
            for one, label, group in zip(self.ids, self.labels.tolist(), self.groups, strict=True)
        )

    def targets(self) -> np.ndarray:
        """Mark the classes that each label allows: (N, C) float32 of 0 and 1; of a group, or all, without one."""
        groups = np.array([coarse_group(name) for name in self.classes])
        allowed = np.array([(groups == group) | (not group) for group in self.groups], bool)
        allowed = allowed.reshape(len(self), len(groups))
        known = self.labels >= 0
        allowed[known] = np.eye(len(self.classes), dtype=bool)[self.labels[known]]
        return allowed.astype(np.float32)


def load_dataset(path: Path, margin: float = 0.3, keep_boxy: bool = False, unnamed: bool = False) -> GalaxyDataset:
    """Load labelled galaxies.

    Args:
        path: a Galaxy10 HDF5 file, a folder with one folder of pictures per class, or a folder of labelled sets.
        margin: see `GalaxyDataset`.
        keep_boxy: keep class 5 of Galaxy10 SDSS (17 pictures), which is dropped by default as in the report.
        unnamed: also take pictures of labelled sets of which no class is known, but a coarse group, or nothing.

    Raises:
        DataError: what is there is none of these, is damaged, or has labels out of range.
    """
    if path.is_file():
        return _read_hdf5(path, margin, keep_boxy)
    if not path.is_dir():
        raise DataError(f"{path} does not exist")
    places = [place for place in sorted(path.iterdir()) if place.is_dir()]
    if not any(set_name(place) for place in (path, *places)):
        if any(_pictures_in(place) for place in places):
            return _read_folders(path, margin)
        if files := sorted((*path.glob("*.h5"), *path.glob("*.hdf5"))):
            raise DataError(f"{path} is a folder: name the Galaxy10 file in it, --data {files[0]}")
    return _read_sets(path, margin, unnamed)


def _read_hdf5(path: Path, margin: float, keep_boxy: bool) -> GalaxyDataset:
    import h5py

    try:
        with h5py.File(path) as file:
            missing = [name for name in ("images", "ans") if name not in file]
            if missing:
                raise DataError(f"{path} has no dataset {' and '.join(missing)}: it is no Galaxy10 file")
            if not all(isinstance(file[name], h5py.Dataset) for name in ("images", "ans")):
                raise DataError(f"{path}: 'images' or 'ans' is a group, not a dataset: it is no Galaxy10 file")
            images, labels = file["images"], np.asarray(file["ans"]).ravel()
            if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
                raise DataError(f"{path}: images are {images.shape} {images.dtype}, not (N, side, side, 3) uint8")
            if labels.shape != images.shape[:1]:
                raise DataError(f"{path}: {len(images)} images, but {len(labels)} labels")
            if not np.issubdtype(labels.dtype, np.integer):
                raise DataError(f"{path}: the labels in 'ans' are {labels.dtype}, not whole numbers")
            if not len(labels):
                raise DataError(f"{path} holds no picture")
            if labels.min() < 0 or labels.max() > 9:
                raise DataError(f"{path}: labels run from {labels.min()} to {labels.max()}, not within 0..9")
            pixels = images[:]
    except OSError as problem:
        raise DataError(f"{path} is not a whole HDF5 file: {problem}; download it again") from None
    _check_release(path, len(labels))
    classes: tuple[str, ...]
    if pixels.shape[1] >= 128:
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
        tuple(_of_array(image) for image in pixels),
        margin,
        ("Galaxy10: Leung & Bovy 2019; Galaxy Zoo",),
    )


def _of_array(image: np.ndarray) -> Reader:
    return lambda: (image, None)


def _check_release(path: Path, count: int) -> None:
    """Check that a file with as many pictures as a published release is that release, to the byte."""
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


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _read_folders(path: Path, margin: float) -> GalaxyDataset:
    folders = sorted(place for place in path.iterdir() if place.is_dir() and _pictures_in(place))
    names = [folder.name for folder in folders]
    if len(names) < 2:
        raise DataError(f"{path} has pictures of one class only ({names[0]}): nothing can be told apart")
    # Those of the nine classes keep their order, so that a model trained on them all speaks as the shipped one does.
    classes = tuple(sorted(names, key=lambda name: (CLASSES.index(name) if name in CLASSES else len(CLASSES), name)))
    files = [(file, classes.index(folder.name)) for folder in folders for file in _pictures_in(folder)]
    readers = tuple(_of_file(file) for file, _ in files)
    labels = np.array([label for _, label in files])
    return GalaxyDataset(
        classes,
        labels,
        tuple(coarse_group(classes[label]) for label in labels),
        tuple(hashlib.sha256(file.read_bytes()).hexdigest() for file, _ in files),
        (path.name,) * len(files),
        readers,
        margin,
    )


def _of_file(path: Path) -> Reader:
    def read() -> tuple[np.ndarray, None]:
        try:
            return decode_image(path.read_bytes(), path.name).pixels, None
        except ImageError as error:
            raise DataError(f"{path} cannot be decoded: {error.reason}") from None

    return read


def _read_sets(path: Path, margin: float, unnamed: bool) -> GalaxyDataset:
    samples = list(read_set(path))
    sets = {sample.set for sample in samples if sample.label >= 0}
    used = [one for one in samples if one.label >= 0 or (unnamed and _shows_one(one, one.set in sets))]
    if not used:
        raise DataError(f"{path} holds no picture with a class")
    origins = tuple(sample.set for sample in used)
    return GalaxyDataset(
        CLASSES,
        np.array([sample.label for sample in used]),
        tuple(coarse_group(CLASSES[one.label]) if one.label >= 0 else one.coarse for one in used),
        tuple(sample.digest() for sample in used),
        origins,
        tuple(_of_sample(sample) for sample in used),
        margin,
        (*(CREDITS[name] for name in sorted(set(origins)) if name in CREDITS), "images: Sloan Digital Sky Survey"),
        np.stack([read_attributes(sample.row) for sample in used]),
    )


def _shows_one(sample: Sample, of_galaxies: bool) -> bool:
    """Tell whether a picture without a class shows one galaxy, of a kind that the nine classes leave room for.

    Where not even a coarse group is known it must be of a set of galaxies: other sets show stars and nebulae too.
    """
    one = len(sample.boxes) == 1 or not len(sample.ignore)
    return sample.coarse in COARSE or (of_galaxies and not sample.coarse and one)


def _of_sample(sample: Sample) -> Reader:
    return lambda: (sample.load(), sample.boxes[0] if len(sample.boxes) else None)


def describe_dataset(pictures: GalaxyDataset) -> dict[str, Any]:
    """Describe a set for a run's record: hash, counts by source, credits."""
    names, counts = np.unique(np.array(pictures.sources), return_counts=True)
    return {
        "hash": pictures.hash,
        "sets": dict(zip(names.tolist(), counts.tolist(), strict=True)),
        "sources": list(pictures.credits),
    }
