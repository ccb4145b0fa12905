"""CSV data sets: every layout can be read, our own is written.

The layouts are those of `data.catalogues`; ours consists of frames.csv, boxes.csv and images.zip.

Each row of the box table is a box, read from the unified columns if it has them; one that `data` ignores is difficult.
All other columns are kept as text and are written back. ``set`` names the data set of a frame, so that its licence, its
credit and the meaning of its labels survive a conversion to another format.
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
from .class_names import read_classes
from .images import image_size, to_label_error
from .voc import CLASSES
from .writing import write_bytes, write_text

DEFAULT_CLASS = "galaxy"
FRAME_COLUMNS = ("file", "set", "kind", "boxes_complete", "width", "height")
MORE_COLUMN = "more"
"""Column with a JSON object: values whose name is that of a column with another meaning."""
COUNT_COLUMNS = {"n_boxes", "n_difficult", "n"}
JSON_PREFIX = "json:"
BOX_TABLE = ("file", "class", "difficult", *BOX_COLUMNS, "ubox_flag")
RESERVED_COLUMNS = {"file", "class", *BOX_COLUMNS, "width", "height", MORE_COLUMN}
"""Columns that further values of a box must not use."""
FLAG_COLUMNS = ("difficult", "ubox_flag")
SHARED_ROW_BOX_COLUMNS = {*BOX_TABLE, *OLD_BOX_COLUMNS, "box_flag", "axis_ratio", "width", "height"}
"""Columns of the box in a table that has frame and box in one row (``gz_frames``)."""


def read(folder: Path, on_error: ErrorHandler, progress: Progress) -> AnnotatedDataset:
    """Read a data-set folder, or all data sets in a folder."""
    annotations, notes, used_names, listed = [], [], set[str](), list[str]()
    for set_folder in find_set_folders(folder):
        listed += read_classes(set_folder / CLASSES)
        layout, names = detect_layout(set_folder), set[str]()
        try:
            samples = read_catalogue(set_folder)
        except DataError as error:
            on_error(LabelError("unreadable label", set_folder.name, str(error)))
            continue
        frames = (
            [row["file"] for row in read_csv_rows(set_folder / "frames.csv")]
            if (set_folder / "frames.csv").is_file()
            else []
        )
        if frames and (omitted := len(frames) - len(samples)):
            notes.append(
                f"frames of {set_folder.name} omitted, as they are ambiguous or have galaxies without boxes: {omitted}"
            )
        for done, sample in enumerate(samples):
            progress(done, len(samples))
            if sample.file in names:
                on_error(LabelError("file name twice", sample.file, f"{set_folder.name} has two rows for it"))
                continue
            names.add(sample.file)
            try:
                errors = list(_row_errors(sample)) if layout == LABELLED else []
                for fault in errors:
                    on_error(LabelError("unreadable label", sample.file, fault))
                if not errors:
                    annotations.append(_read_one(sample, layout, used_names))
                    used_names.add(annotations[-1].file)
            except (LabelError, ValueError) as error:
                on_error(to_label_error(error, sample.file))
            except DataError as error:
                on_error(LabelError("missing picture", sample.file, str(error)))
        boxed = {row["file"] for row in read_csv_rows(set_folder / "boxes.csv")} if frames else set()
        for file in sorted(boxed - set(frames)):
            on_error(LabelError("missing picture", file, "boxes.csv has boxes for it, but frames.csv has no row"))
    return build_dataset("csv", annotations, on_error, dict.fromkeys(listed), notes)


def _read_one(sample: Sample, layout: str | None, used_names: set[str]) -> ImageAnnotation:
    is_own_layout = layout == LABELLED
    has_shared_rows = layout == "gz_frames"
    reserved = {MORE_COLUMN} if is_own_layout else set()
    boxes, classes, difficult, extras = [], [], [], []
    for row in sample.box_rows:
        box = _read_numbers(row, BOX_COLUMNS) or _read_numbers(row, OLD_BOX_COLUMNS)
        if box is None or (row["ubox_flag"] == "none" and not is_own_layout):
            continue  # in a catalogue, this means that there is no box
        boxes.append(box)
        classes.append(row.get("class", DEFAULT_CLASS))
        difficult.append(is_difficult(row))
        extra = {
            key: _parse_cell(value, is_own_layout)
            for key, value in row.items()
            if value
            and (key in SHARED_ROW_BOX_COLUMNS if has_shared_rows else True)
            and key not in (*BOX_TABLE, "width", "height", *reserved)
        }
        if row["ubox_flag"] != "ok":
            extra["ubox_flag"] = row["ubox_flag"]
        if difficult[-1] != (row.get("difficult") == "1"):
            extra["difficult"] = row.get("difficult", "0")
        extras.append(extra | _read_more(row, is_own_layout))
    about = {
        key: _parse_cell(value, is_own_layout)
        for key, value in sample.row.items()
        if value
        and key not in (*FRAME_COLUMNS, *COUNT_COLUMNS, *reserved)
        and not (has_shared_rows and key in SHARED_ROW_BOX_COLUMNS)
    }
    if sample.set != LABELLED:
        about["set"] = sample.set
    if sample.kind == "galaxy" and not any(map(is_galaxy, classes)):
        about["kind"] = sample.kind
    if not sample.complete:
        about["boxes_complete"] = "0"
    about |= _read_more(sample.row, is_own_layout)
    file = sample.file if sample.file not in used_names else f"{sample.set}/{sample.file}"
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
    """Yield errors in the rows of our own layout.

    Rows of catalogues may contain values that are not boxes.
    """
    for number, row in enumerate(sample.box_rows, 1):
        for column in BOX_COLUMNS if any(map(row.get, BOX_COLUMNS)) else OLD_BOX_COLUMNS:
            try:
                parse_finite(row.get(column, ""))
            except ValueError as error:
                yield f"{column} of box {number}: {error}"
        if row.get("difficult", "0") not in ("0", "1"):
            yield f"difficult of box {number} is '{row['difficult']}', not 0 or 1"


def _read_more(row: Mapping[str, str], is_own_layout: bool) -> dict[str, Any]:
    """Return the values in a row's `MORE_COLUMN`; empty if it has none."""
    values = _parse_cell(row.get(MORE_COLUMN, ""), is_own_layout) if is_own_layout else {}
    return values if isinstance(values, dict) else {}


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
    return image_size(sample.read_bytes(), sample.file)


def _parse_cell(text: str, is_own_layout: bool) -> Any:
    """Return the value of a cell.

    In our own layout, text after ``json:`` is parsed as JSON.
    """
    if is_own_layout and text.startswith(JSON_PREFIX):
        try:
            return json.loads(text.removeprefix(JSON_PREFIX))
        except RecursionError:
            raise ValueError("a cell is nested too deeply") from None
    return text


def _format_cell(value: Any) -> str:
    is_plain = (
        isinstance(value, str)
        and value
        and not value.startswith(JSON_PREFIX)
        and "\r" not in value
        and "\0" not in value
    )
    return value if is_plain else JSON_PREFIX + json.dumps(value)


def write(labels: AnnotatedDataset, folder: Path, images: str, progress: Progress) -> None:
    """Write the tables, the list of classes and the zip of images.

    Raises:
        DataError: the images are to be linked.
    """
    if images == "link":
        raise DataError("the CSV layout keeps images in images.zip, which cannot hold links: use --images copy")
    frames, boxes = [], []
    for image in labels.images:
        rows = [box_row(image, index) for index in range(len(image.boxes))]
        boxes += rows
        galaxies = any(map(is_galaxy, image.classes))
        reserved = {key: value for key, value in image.about.items() if not _fits_column(key, value, galaxies)}
        about = {key: _format_cell(value) for key, value in image.about.items() if key not in reserved}
        if reserved:
            about[MORE_COLUMN] = _format_cell(reserved)
        kind = "galaxy" if galaxies else "negative"
        size = {"width": str(image.width), "height": str(image.height)}
        frames.append({"file": image.file, "set": LABELLED, "kind": kind, "boxes_complete": "1"} | size | about)
    write_text(folder / "frames.csv", _format_table(FRAME_COLUMNS, frames))
    write_text(folder / "boxes.csv", _format_table((*BOX_TABLE, *OLD_BOX_COLUMNS), boxes))
    write_text(folder / CLASSES, "".join(f"{name}\n" for name in labels.known))
    if images == "copy":
        write_bytes(folder / "images.zip", b"")
        with zipfile.ZipFile(folder / "images.zip", "w") as archive:
            for done, image in enumerate(labels.images):
                progress(done, len(labels.images))
                # ZipInfo has no date, so that equal sets give equal zips.
                archive.writestr(zipfile.ZipInfo(image.file), image.read_bytes())


def _fits_column(key: str, value: Any, galaxies: bool) -> bool:
    """Return whether a value fits the column of its name without a change of meaning."""
    if key in ("kind", "boxes_complete"):
        return bool(value == "galaxy" and not galaxies) if key == "kind" else bool(value == "0")
    if key in ("set", "g10", "g10_p"):
        pattern = {"set": rf"(?!{LABELLED}$)\w+", "g10": r"-?\d+", "g10_p": r"\d*\.?\d+"}[key]
        return isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None
    return key not in (*FRAME_COLUMNS, *COUNT_COLUMNS, MORE_COLUMN)


def box_row(image: ImageAnnotation, index: int) -> dict[str, str]:
    """Return the row of box number `index` of an image."""
    extra = image.extras[index]
    numbers = [repr(int(value) if value.is_integer() else value) for value in image.boxes[index].tolist()]
    row = {"file": image.file, "class": image.classes[index], "difficult": str(int(image.difficult[index]))}
    row |= dict(zip(BOX_COLUMNS, numbers, strict=True)) | {"ubox_flag": "ok"} | dict.fromkeys(OLD_BOX_COLUMNS, "")
    kept_flags, flag = dict[str, str](), extra.get("ubox_flag")
    if isinstance(flag, str) and flag != "ok" and re.fullmatch(r"\w+", flag, re.ASCII):
        was_ignored = extra.get("difficult") == "0" and image.difficult[index]
        kept_flags = {"ubox_flag": flag} | ({"difficult": "0"} if was_ignored else {})
        if is_difficult(row | kept_flags) != image.difficult[index]:
            kept_flags = {}  # `difficult` was changed after the row was read
    reserved = {
        key: value
        for key, value in extra.items()
        if key in RESERVED_COLUMNS or (key in FLAG_COLUMNS and key not in kept_flags)
    }
    row |= {key: _format_cell(value) for key, value in extra.items() if key not in reserved} | kept_flags
    if reserved:
        row[MORE_COLUMN] = _format_cell(reserved)
    return row


def _format_table(first: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    columns = dict.fromkeys((*first, *(key for row in rows for key in row)))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
