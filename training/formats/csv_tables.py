"""The CSV sets: read in every layout that `data` knows, written as ``frames.csv``, ``boxes.csv`` and ``images.zip``.

A row of boxes is a box, by the unified columns where it has them; one that `data` ignores is difficult. All other
columns are kept as text, and go back into columns. ``set`` says which set a frame is of, so that its licence, its
credit and the ways of its labels are not lost by turning it into another format.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.archives import read_csv_rows
from ..data.catalogues import (
    BOX_COLUMNS,
    LABELLED,
    OLD_BOX_COLUMNS,
    detect_layout,
    find_set_folders,
    is_difficult,
    read_catalogue,
)
from ..data.errors import DataError
from ..data.sample import Sample
from ..data.vocabulary import is_galaxy
from .annotation import (
    AnnotatedDataset,
    ErrorHandler,
    ImageAnnotation,
    LabelError,
    Progress,
    build_dataset,
    parse_finite,
)
from .images import image_size, to_label_error
from .voc import CLASSES, read_classes
from .writing import write_bytes, write_text

DEFAULT_CLASS = "galaxy"
FRAME_COLUMNS = ("file", "set", "kind", "boxes_complete", "width", "height")
MORE_COLUMN = "more"
"""Column for what has the name of one that says something else: an object in JSON."""
COUNT_COLUMNS = {"n_boxes", "n_difficult", "n"}
JSON_PREFIX = "json:"
BOX_TABLE = ("file", "class", "difficult", *BOX_COLUMNS, "ubox_flag")
RESERVED_COLUMNS = {"file", "class", *BOX_COLUMNS, "width", "height", MORE_COLUMN}
"""Columns that nothing else known of a box can stand in."""
FLAG_COLUMNS = ("difficult", "ubox_flag")
SHARED_ROW_BOX_COLUMNS = {*BOX_TABLE, *OLD_BOX_COLUMNS, "box_flag", "axis_ratio", "width", "height"}
"""Columns that speak of a box where one table speaks of frame and box together (``gz_frames``)."""


def read(folder: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read a data-set folder, or all that are in a folder."""
    found, notes, taken, listed = [], [], set[str](), list[str]()
    for place in find_set_folders(folder):
        listed += read_classes(place / CLASSES)
        layout, own = detect_layout(place), set[str]()
        try:
            samples = read_catalogue(place)
        except DataError as error:
            on_error(LabelError("unreadable label", place.name, str(error)))
            continue
        frames = (
            [row["file"] for row in read_csv_rows(place / "frames.csv")] if (place / "frames.csv").is_file() else []
        )
        if frames and (left := len(frames) - len(samples)):
            notes.append(f"frames of {place.name} left out, ambiguous or with galaxies that nobody boxed: {left}")
        for done, sample in enumerate(samples):
            progress(done, len(samples))
            if sample.file in own:
                on_error(LabelError("file name twice", sample.file, f"{place.name} has two rows of it"))
                continue
            own.add(sample.file)
            try:
                faults = list(_row_errors(sample)) if layout == LABELLED else []
                for fault in faults:
                    on_error(LabelError("unreadable label", sample.file, fault))
                if not faults:
                    found.append(_read_one(sample, layout, taken))
                    taken.add(found[-1].file)
            except (LabelError, ValueError) as error:
                on_error(to_label_error(error, sample.file))
            except DataError as error:
                on_error(LabelError("missing picture", sample.file, str(error)))
        boxed = {row["file"] for row in read_csv_rows(place / "boxes.csv")} if frames else set()
        for file in sorted(boxed - set(frames)):
            on_error(LabelError("missing picture", file, "boxes.csv has boxes of it, and frames.csv no row"))
    return build_dataset("csv", found, on_error, dict.fromkeys(listed), notes)


def _read_one(sample: Sample, layout: str | None, taken: set[str]) -> ImageAnnotation:
    own = layout == LABELLED
    whole = layout == "gz_frames"
    more = {MORE_COLUMN} if own else set()
    boxes, classes, difficult, extras = [], [], [], []
    for row in sample.box_rows:
        box = _read_numbers(row, BOX_COLUMNS) or _read_numbers(row, OLD_BOX_COLUMNS)
        if box is None or (row["ubox_flag"] == "none" and not own):
            continue  # the catalogue's way of saying that there is no box
        boxes.append(box)
        classes.append(row.get("class", DEFAULT_CLASS))
        difficult.append(is_difficult(row))
        kept = {
            key: _parse_cell(value, own)
            for key, value in row.items()
            if value
            and (key in SHARED_ROW_BOX_COLUMNS if whole else True)
            and key not in (*BOX_TABLE, "width", "height", *more)
        }
        if row["ubox_flag"] != "ok":
            kept["ubox_flag"] = row["ubox_flag"]
        if difficult[-1] != (row.get("difficult") == "1"):
            kept["difficult"] = row.get("difficult", "0")
        extras.append(kept | _read_more(row, own))
    about = {
        key: _parse_cell(value, own)
        for key, value in sample.row.items()
        if value
        and key not in (*FRAME_COLUMNS, *COUNT_COLUMNS, *more)
        and not (whole and key in SHARED_ROW_BOX_COLUMNS)
    }
    if sample.set != LABELLED:
        about["set"] = sample.set
    if sample.kind == "galaxy" and not any(map(is_galaxy, classes)):
        about["kind"] = sample.kind
    if not sample.complete:
        about["boxes_complete"] = "0"
    about |= _read_more(sample.row, own)
    file = sample.file if sample.file not in taken else f"{sample.set}/{sample.file}"
    return ImageAnnotation(
        file,
        *_read_size(sample),
        np.array(boxes, np.float64).reshape(-1, 4),
        tuple(classes),
        np.array(difficult, bool),
        tuple(extras),
        about,
        sample.archive,
        sample.member,
    )


def _row_errors(sample: Sample) -> Iterator[str]:
    """Find what says nothing in rows that we wrote, or a user: in catalogues much stands that is no box."""
    for number, row in enumerate(sample.box_rows, 1):
        for column in BOX_COLUMNS if any(map(row.get, BOX_COLUMNS)) else OLD_BOX_COLUMNS:
            try:
                parse_finite(row.get(column, ""))
            except ValueError as fault:
                yield f"{column} of box {number}: {fault}"
        if row.get("difficult", "0") not in ("0", "1"):
            yield f"difficult of box {number} is '{row['difficult']}', not 0 or 1"


def _read_more(row: Mapping[str, str], own: bool) -> dict[str, Any]:
    """Read what has the name of a column that says something else."""
    found = _parse_cell(row.get(MORE_COLUMN, ""), own) if own else {}
    return found if isinstance(found, dict) else {}


def _read_numbers(row: Mapping[str, str], columns: tuple[str, ...]) -> list[float] | None:
    try:
        return [parse_finite(row[column]) for column in columns]
    except (KeyError, ValueError):
        return None


def _read_size(sample: Sample) -> tuple[int, int]:
    for row in (sample.row, *sample.box_rows):
        if row.get("width") and row.get("height"):
            try:
                return int(row["width"]), int(row["height"])
            except ValueError:
                raise ValueError(f"its size is '{row['width']}' x '{row['height']}', not two whole numbers") from None
    return image_size(sample.read_bytes())


def _parse_cell(text: str, own: bool) -> Any:
    """Read a cell; of the tables that we write, one that begins with ``json:`` is what JSON makes of the rest."""
    if own and text.startswith(JSON_PREFIX):
        try:
            return json.loads(text.removeprefix(JSON_PREFIX))
        except RecursionError:
            raise ValueError("a cell is nested too deep") from None
    return text


def _format_cell(value: Any) -> str:
    plain = (
        isinstance(value, str)
        and value
        and not value.startswith(JSON_PREFIX)
        and "\r" not in value
        and "\0" not in value
    )
    return value if plain else JSON_PREFIX + json.dumps(value)


def write(labels: AnnotatedDataset, folder: Path, images: str, progress: Progress) -> None:
    """Write the tables, the list of classes and the zip of pictures.

    Raises:
        DataError: the pictures were to be linked.
    """
    if images == "link":
        raise DataError("the CSV layout keeps pictures in images.zip, where none can be linked: use --images copy")
    frames, boxes = [], []
    for one in labels.images:
        rows = [box_row(one, place) for place in range(len(one.boxes))]
        boxes += rows
        galaxies = any(map(is_galaxy, one.classes))
        more = {key: value for key, value in one.about.items() if not _fits_column(key, value, galaxies)}
        about = {key: _format_cell(value) for key, value in one.about.items() if key not in more}
        if more:
            about[MORE_COLUMN] = _format_cell(more)
        kind = "galaxy" if galaxies else "negative"
        size = {"width": str(one.width), "height": str(one.height)}
        frames.append({"file": one.file, "set": LABELLED, "kind": kind, "boxes_complete": "1"} | size | about)
    write_text(folder / "frames.csv", _format_table(FRAME_COLUMNS, frames))
    write_text(folder / "boxes.csv", _format_table((*BOX_TABLE, *OLD_BOX_COLUMNS), boxes))
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in labels.known))
    if images == "copy":
        write_bytes(folder / "images.zip", b"")
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            for done, one in enumerate(labels.images):
                progress(done, len(labels.images))
                archive.writestr(zipfile.ZipInfo(one.file), one.read_bytes())  # without a date: the same zip every time


def _fits_column(key: str, value: Any, galaxies: bool) -> bool:
    """Return whether a property of an image can be the cell of that name: the layout has meanings of its own."""
    if key in ("kind", "boxes_complete"):
        return bool(value == "galaxy" and not galaxies) if key == "kind" else bool(value == "0")
    if key in ("set", "g10", "g10_p"):
        pattern = {"set": rf"(?!{LABELLED}$)\w+", "g10": r"-?\d+", "g10_p": r"\d*\.?\d+"}[key]
        return isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None
    return key not in (*FRAME_COLUMNS, *COUNT_COLUMNS, MORE_COLUMN)


def box_row(one: ImageAnnotation, place: int) -> dict[str, str]:
    """Give the row of one of a picture's boxes."""
    extra = one.extras[place]
    numbers = [repr(int(value) if value.is_integer() else value) for value in one.boxes[place].tolist()]
    row = {"file": one.file, "class": one.classes[place], "difficult": str(int(one.difficult[place]))}
    row |= dict(zip(BOX_COLUMNS, numbers, strict=True)) | {"ubox_flag": "ok"} | dict.fromkeys(OLD_BOX_COLUMNS, "")
    said, flag = dict[str, str](), extra.get("ubox_flag")
    if isinstance(flag, str) and flag != "ok" and re.fullmatch(r"\w+", flag, re.ASCII):
        plain = extra.get("difficult") == "0" and one.difficult[place]
        said = {"ubox_flag": flag} | ({"difficult": "0"} if plain else {})
        if is_difficult(row | said) != bool(one.difficult[place]):  # the flag was changed after the row was read
            said = {}
    more = {
        key: value
        for key, value in extra.items()
        if key in RESERVED_COLUMNS or (key in FLAG_COLUMNS and key not in said)
    }
    row |= {key: _format_cell(value) for key, value in extra.items() if key not in more} | said
    if more:
        row[MORE_COLUMN] = _format_cell(more)
    return row


def _format_table(first: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    columns = dict.fromkeys((*first, *(key for row in rows for key in row)))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
