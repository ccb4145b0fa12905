"""The table of label formats: detect, read and write any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.catalogues import find_set_folders
from ..data.errors import DataError
from . import coco, csv_tables, tfrecord, voc, yolo
from .annotation import AnnotatedDataset, ErrorHandler, LabelError, Progress, no_progress, raise_error
from .images import list_files
from .writing import staged_output

Reader = Callable[[Path, ErrorHandler, Progress], AnnotatedDataset]
"""Reads a file or folder of one format; calls the error handler with every label that cannot be read."""
Writer = Callable[[AnnotatedDataset, Path, str, Progress], None]
"""Writes a data set in one format to a folder or file; the text is one of `writing.IMAGES`."""


@dataclass(frozen=True)
class LabelFormat:
    """A label format.

    Attributes:
        name: as in the options ``--from`` and ``--to``.
        reader, writer: functions of the format's module.
        sniff: returns whether a folder, given with all files in it, looks like the format.
        single_file: whether a data set may also be one file.
    """

    name: str
    reader: Reader
    writer: Writer
    sniff: Callable[[Path, Sequence[Path]], bool]
    single_file: bool = False

    def read(
        self, path: Path, on_error: ErrorHandler = raise_error, progress: Progress = no_progress
    ) -> AnnotatedDataset:
        """Read a data set.

        Args:
            path: a file or folder.
            on_error: called with every label that cannot be read; by default the first is raised.
            progress: called with the number of images read and their total.

        Raises:
            DataError: there are no labels, or none that can be read.
        """
        if path.is_file() and not self.single_file:
            raise DataError(f"{path} is a file, but a data set in {self.name} is a folder: name the folder")
        try:
            labels = self.reader(path, on_error, progress)
        except LabelError as error:
            if on_error is not raise_error:
                raise
            advice = f"{error.reason}; 'galaxy-edge data check {path}' lists all errors"
            raise LabelError(error.kind, error.file, advice) from None
        if not labels.images and on_error is raise_error:
            notes = "".join(f"; {note}" for note in labels.notes)
            raise DataError(f"{path} holds no labelled image ({self.name}){notes}")
        return labels

    def write(
        self, labels: AnnotatedDataset, out: Path, images: str = "copy", progress: Progress = no_progress
    ) -> None:
        """Write a data set; after an error, nothing of it remains.

        Args:
            out: folder to create; where `single_file` is set also a file, by its suffix.
            images: one of `writing.IMAGES`.

        Raises:
            DataError: an image is missing, or the format cannot represent the set.
            WriteError: the set cannot be written.
        """
        with staged_output(out) as path:
            self.writer(labels, path, images, progress)


def _sniff_voc(folder: Path, files: Sequence[Path]) -> bool:
    return any(map(voc.sniff, files))


def _sniff_yolo(folder: Path, files: Sequence[Path]) -> bool:
    return any(yolo.sniff(file, folder) for file in files)


def _sniff_coco(folder: Path, files: Sequence[Path]) -> bool:
    return any(map(coco.sniff, files))


def _sniff_tfrecord(folder: Path, files: Sequence[Path]) -> bool:
    return bool(tfrecord.find_files(files))


def _sniff_tables(folder: Path, files: Sequence[Path]) -> bool:
    return bool(find_set_folders(folder))


FORMATS: dict[str, LabelFormat] = {
    "voc": LabelFormat("voc", voc.read, voc.write, _sniff_voc),
    "yolo": LabelFormat("yolo", yolo.read, yolo.write, _sniff_yolo),
    "coco": LabelFormat("coco", coco.read, coco.write, _sniff_coco, single_file=True),
    "tfrecord": LabelFormat("tfrecord", tfrecord.read, tfrecord.write, _sniff_tfrecord, single_file=True),
    "csv": LabelFormat("csv", csv_tables.read, csv_tables.write, _sniff_tables),
}
"""All label formats by name."""


def detect_all(path: Path) -> list[LabelFormat]:
    """Return the formats of the labels in a file or folder, judged by its content.

    Raises:
        DataError: it does not exist, or holds the parts of a split, which must not be read together.
    """
    if path.is_file():
        # Any JSON file counts as COCO, so that reading it reports what is wrong with it.
        name = "tfrecord" if tfrecord.find_files([path]) else "coco" if path.suffix.lower() == ".json" else None
        return [FORMATS[name]] if name else []
    if not path.is_dir():
        raise DataError(f"{path} does not exist")
    if find_set_folders(path):
        return [FORMATS["csv"]]
    files = list(list_files(path))
    return [label_format for label_format in FORMATS.values() if label_format.sniff(path, files)]


def detect(path: Path) -> LabelFormat | None:
    """Return the format of a file or folder, None where there are no labels.

    Raises:
        DataError: there are labels in several formats; see also `detect_all`.
    """
    found = detect_all(path)
    if len(found) > 1:
        names = ", ".join(label_format.name for label_format in found)
        raise DataError(
            f"{path} holds labels in several formats ({names}): choose one with --from, or move the others away"
        )
    return found[0] if found else None


def resolve_format(path: Path, name: str | None = None) -> LabelFormat:
    """Return the format called `name`, by default the one that `path` holds.

    Raises:
        DataError: `name` is not given and `path` holds no labels in a known format.
    """
    label_format = FORMATS[name] if name else detect(path)
    if label_format is None:
        raise DataError(f"{path} holds no labels in a known format ({', '.join(FORMATS)}); choose one with --from")
    return label_format


def read_labels(
    path: Path, name: str | None = None, on_error: ErrorHandler = raise_error, progress: Progress = no_progress
) -> AnnotatedDataset:
    """Read a data set in the format called `name`, by default the one that it holds.

    See `LabelFormat.read`.
    """
    return resolve_format(path, name).read(path, on_error, progress)


def write_labels(
    labels: AnnotatedDataset, out: Path, name: str, images: str = "copy", progress: Progress = no_progress
) -> None:
    """Write a data set in the format called `name`; see `LabelFormat.write`."""
    FORMATS[name].write(labels, out, images, progress)


def new_class_notes(labels: AnnotatedDataset, name: str) -> list[str]:
    """Return a note on classes that writing in a format adds to its class list.

    Formats with numbered classes add classes that are in no list and may be misspelt. Without such classes the result
    is empty.
    """
    unknown = sorted(labels.unknown) if name in ("yolo", "coco", "tfrecord") else []
    return (
        [f"classes that were in no list and are added to the list of {name}: {', '.join(unknown)}"] if unknown else []
    )


def conversion_notes(labels: AnnotatedDataset, name: str, images: str = "copy") -> list[str]:
    """Return notes on what other programs cannot read in a converted set.

    Galaxy-edge itself reads all of it.
    """
    difficult = sum(int(image.difficult.sum()) for image in labels.images)
    unboxed = sum(image.about.get("kind") == "galaxy" and not len(image.boxes) for image in labels.images)
    partial = sum(image.about.get("boxes_complete") == "0" and len(image.boxes) > 0 for image in labels.images)
    decimals = sum(bool((image.boxes % 1).any()) for image in labels.images)
    notes = new_class_notes(labels, name)
    if difficult and name == "yolo":
        notes.append(f"difficult boxes, which other programs read as ordinary ones, as YOLO has no flag: {difficult}")
    if unboxed and name != "csv":
        notes.append(f"images of galaxies without a box, which other programs read as empty sky: {unboxed}")
    if partial and name != "csv":
        notes.append(f"images with only some galaxies boxed, where other programs read the rest as sky: {partial}")
    if decimals and name == "voc":
        notes.append(f"images with decimals in their boxes, which labelImg truncates when it saves: {decimals}")
    if name == "tfrecord" and (tiff := sum(image.file.lower().endswith((".tif", ".tiff")) for image in labels.images)):
        notes.append(f"TIFF images, which TensorFlow does not decode: {tiff}")
    if images == "none" and name != "tfrecord":
        notes.append("the images were not copied: labels alone cannot be trained on")
    return notes
