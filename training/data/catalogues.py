"""Read data-set folders: CSV tables of images, classes and boxes, with zips.

A set is a folder with CSV tables and zips of images, in the layouts ``efigi``, ``gz_frames``, ``deepsky_frames``,
``lco_messier``, ``sdss_starfields`` and ``labelled``. The layout is recognised by the tables, not by the folder's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ...models.labels import CLASSES, class_index_from_galaxy10
from .archives import open_zip, read_csv_rows, read_number
from .errors import DataError
from .sample import MAX_COORDINATE, Sample
from .vocabulary import is_galaxy

CATALOGUES = ("efigi", "gz_frames", "deepsky_frames", "lco_messier", "sdss_starfields")
LABELLED = "labelled"
"""Set name of images that a user labelled; as a layout, the tables that `formats.csv_tables` writes."""
SPLIT_FILE = "split.json"
"""File that marks a folder as a split: its sub-folders are the parts."""
RESERVED_FILES = frozenset({"n6027.jpg", "n6751.jpg", "ic418.jpg"})
"""Deep-sky frames that are shipped to demonstrate and test the models, and are therefore never trained on."""

BOX_COLUMNS = ("uxmin", "uymin", "uxmax", "uymax")
"""Box by the unified rule."""
OLD_BOX_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
"""Box by the catalogue's own rule."""
BOX_TABLE_COLUMNS = (*BOX_COLUMNS, "ubox_flag")
VOTE_COLUMNS = tuple(f"p{g10}" for g10 in range(10))
"""Shares of the volunteers' votes for each Galaxy10 class, of Galaxy Zoo frames."""
MIN_VOTES = 0.5
"""Minimum sum of the shares of the nine classes; the other votes are for what is none of them."""
KINDS = ("galaxy", "negative")
EXCLUDED_KINDS = ("galaxy_unboxed", "ambiguous")
"""Kinds of frames that can be used neither for training nor for evaluation."""


def _parse_box(row: Mapping[str, str], columns: Iterable[str]) -> list[float] | None:
    try:
        box = [float(row[column]) for column in columns]
    except ValueError:
        return None
    valid = all(abs(value) < MAX_COORDINATE for value in box)
    return box if valid and box[2] > box[0] and box[3] > box[1] else None


def is_difficult(row: Mapping[str, str]) -> bool:
    """Return whether a box's row marks the box as difficult.

    Neither training nor evaluation counts such a box.
    """
    return row.get("difficult", "0") == "1" or row["ubox_flag"] not in ("ok", "edge")


def split_boxes(rows: Iterable[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Split a table's boxes into those to detect and those to ignore.

    Returns (N, 4) and (M, 4) float32.
    """
    wanted: list[list[float]] = []
    ignored: list[list[float]] = []
    for row in rows:
        unified = _parse_box(row, BOX_COLUMNS)
        if unified and not is_difficult(row):
            wanted.append(unified)
        else:
            ignored.extend(box for box in (unified, _parse_box(row, OLD_BOX_COLUMNS)) if box)
    return np.asarray(wanted, np.float32).reshape(-1, 4), np.asarray(ignored, np.float32).reshape(-1, 4)


def class_index(g10: str, share: str = "") -> int:
    """Return the index into `CLASSES` of a ``g10`` column.

    It is -1 if the column is empty or its vote share is below 0.5. An empty column may also be written as ``nan``, and
    a class as ``3.0``, as programs do that keep columns with empty cells as floating-point numbers.

    Raises:
        ValueError: a column is not a number, or `g10` not a whole one.
    """
    number, votes = _parse_number("g10", g10), _parse_number("g10_p", share)
    if math.isnan(number) or votes < 0.5:
        return -1
    if not number.is_integer():
        raise ValueError(f"g10 is '{g10}', not a whole number")
    return class_index_from_galaxy10(int(number))


def _parse_number(column: str, text: str) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        raise ValueError(f"{column} is '{text}', not a number") from None


def class_votes(row: Mapping[str, str]) -> np.ndarray:
    """Return the shares of the volunteers' votes for each of `CLASSES`.

    Returns:
        (9,) float32 with a sum of 1, or all 0 where the row has no votes, or too few for these classes.

    Raises:
        DataError: a share is not a number, or outside of 0..1.
    """
    votes = np.zeros(len(CLASSES), np.float32)
    if not all(row.get(column, "").strip() for column in VOTE_COLUMNS):
        return votes
    for g10, column in enumerate(VOTE_COLUMNS):
        share, index = read_number(row, column), class_index_from_galaxy10(g10)
        if not 0 <= share <= 1:
            raise DataError(f"{row.get('file', 'a row')}: {column} is '{row[column]}', not a share in 0..1")
        if index >= 0:
            votes[index] = share
    total = votes.sum()
    return votes / total if total >= MIN_VOTES else np.zeros_like(votes)


def _read_efigi(folder: Path) -> Iterator[Sample]:
    for row in read_csv_rows(folder / "labels.csv", ("file", "g10", "coarse")):
        yield Sample(
            "efigi",
            row["file"],
            folder / "images.zip",
            row["file"],
            label=class_index(row["g10"]),
            coarse=row["coarse"],
            complete=False,
            row=row,
        )


def _read_gz(folder: Path) -> Iterator[Sample]:
    """Read Galaxy Zoo frames, whose table has image and box in one row."""
    for row in read_csv_rows(folder / "index.csv", ("file", "coarse", "g10", "g10_p", "box_flag", *BOX_TABLE_COLUMNS)):
        tag, _, member = row["file"].partition("/")
        if not member:
            raise DataError(f"{folder / 'index.csv'}: file is '{row['file']}', not the name of a zip and a file in it")
        row = dict(row, difficult="0" if row["box_flag"] == "ok" else "1")
        boxes, ignore = split_boxes([row])
        yield Sample(
            "gz_frames",
            row["file"],
            folder / f"{tag}.zip",
            member,
            coarse=row["coarse"],
            label=class_index(row["g10"], row["g10_p"]),
            boxes=boxes,
            ignore=ignore,
            complete=False,
            row=row,
            box_rows=(row,),
        )


def _read_frames(folder: Path, name: str) -> Iterator[Sample]:
    """Read a set with a table of frames and a table of boxes."""
    boxes_of: dict[str, list[dict[str, str]]] = {}
    for row in read_csv_rows(folder / "boxes.csv", ("file", *BOX_TABLE_COLUMNS)):
        boxes_of.setdefault(row["file"], []).append(row)
    frames = read_csv_rows(folder / "frames.csv", ("file", "kind"))
    kinds = (*KINDS, *EXCLUDED_KINDS)
    if wrong := [f"{row['file']} is '{row['kind']}'" for row in frames if row["kind"] not in kinds]:
        raise DataError(f"{folder / 'frames.csv'}: the kind of {', '.join(wrong)}, not one of {', '.join(kinds)}")
    for row in frames:
        if row["kind"] in EXCLUDED_KINDS:
            continue
        rows = boxes_of.get(row["file"], [])
        boxes, ignore = split_boxes(box for box in rows if is_galaxy(box.get("class", "galaxy")))
        yield Sample(
            row.get("set", name),
            row["file"],
            folder / "images.zip",
            row["file"],
            kind=row["kind"],
            label=class_index(row.get("g10", ""), row.get("g10_p", "")),
            coarse=row.get("coarse", ""),
            boxes=boxes,
            ignore=ignore,
            complete=row.get("boxes_complete", "1") == "1",
            row=row,
            box_rows=tuple(rows),
        )


def _read_starfields(folder: Path) -> Iterator[Sample]:
    archive = folder / "images.zip"
    for member in sorted(open_zip(archive).namelist()):
        if not member.endswith("/"):
            yield Sample("sdss_starfields", member, archive, member, kind="negative")


def detect_layout(folder: Path) -> str | None:
    """Return a folder's layout, judged by its tables; None if it is not known."""
    if (folder / "labels.csv").is_file() and (folder / "images.zip").is_file():
        return "efigi"
    if (folder / "index.csv").is_file():
        return "gz_frames"
    if (folder / "frames.csv").is_file() and (folder / "boxes.csv").is_file():
        with (folder / "frames.csv").open(encoding="utf-8-sig", errors="replace") as stream:
            columns = stream.readline().strip().split(",")
        return LABELLED if "set" in columns else "lco_messier" if "boxes_complete" in columns else "deepsky_frames"
    if (folder / "images.zip").is_file() and not list(folder.glob("*.csv")):
        return "sdss_starfields"
    return None


def find_set_folders(folder: Path) -> list[Path]:
    """Find the folders in a known layout: the folder itself, or those in it.

    Raises:
        DataError: `folder` is not a folder, or holds the parts of a split, which must not be read together.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    if (folder / SPLIT_FILE).is_file():
        raise DataError(f"{folder} is a split, whose parts must not be mixed: name one of them, e.g. {folder}/train")
    if detect_layout(folder):
        return [folder]
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and detect_layout(path))
    except PermissionError as error:  # it names the file that was looked for in the folder
        raise DataError(f"{Path(error.filename).parent}: the folder cannot be read: {error.strerror}") from None


def read_catalogue(folder: Path) -> list[Sample]:
    """Read the tables of one data-set folder.

    Raises:
        DataError: a table lacks a column or cannot be read.
    """
    readers = {"efigi": _read_efigi, "gz_frames": _read_gz, "sdss_starfields": _read_starfields}
    name = detect_layout(folder)
    assert name is not None
    try:
        return list(readers[name](folder) if name in readers else _read_frames(folder, name))
    except KeyError as column:
        raise DataError(f"a table in {folder} has no column {column}, which the layout {name} needs") from None
    except ValueError as error:
        raise DataError(f"a table in {folder} cannot be read: {error}") from None
