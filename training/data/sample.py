"""Read the labelled picture sets: galaxies with classes and boxes, star fields, deep-sky frames.

A set is a folder with CSV tables and zips of pictures, in the layouts ``efigi``, ``gz_frames``, ``deepsky_frames``,
``lco_messier`` and ``sdss_starfields``. Which one a folder is, its tables tell, not its name. numpy and OpenCV only.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ImageError, UserError
from ...models.images.decoder import decode_image
from ...models.labels import COARSE, GALAXY10, class_index_from_galaxy10

BOX_COLUMNS = ("uxmin", "uymin", "uxmax", "uymax")
OLD_BOX_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
OF_BOXES = (*BOX_COLUMNS, "ubox_flag")
KINDS, LEFT_OUT = ("galaxy", "negative"), ("galaxy_unboxed", "ambiguous")
"""Of frames; the latter can neither be learnt from nor judged."""
LABELLED = "labelled"
"""Set name of pictures that a user labelled; as a layout, frames.csv and boxes.csv as `formats` writes them."""
GALAXIES = frozenset({"galaxy", "galaxies", "elliptical", "irregular", "lenticular", *COARSE, *GALAXY10})
OTHERS = frozenset(
    {
        "artefact",
        "artifact",
        "asteroid",
        "cluster",
        "comet",
        "globular",
        "meteor",
        "moon",
        "nebula",
        "nebulae",
        "nova",
        "other",
        "pixel",
        "plane",
        "planet",
        "planetary",
        "quasar",
        "satellite",
        "sky",
        "star",
        "supernova",
        "trail",
    }
)
"""Words for what else is boxed in pictures of the sky."""
FARTHEST = 1e9
"""Pixels; a number beyond is no place in a picture, and arithmetic with it would not be exact."""
PARTS = "split.json"
"""File that says of a folder that what is in it are the parts of a split."""
SETS = ("efigi", "gz_frames", "deepsky_frames", "lco_messier", "sdss_starfields")


RESERVED = frozenset({"n6027.jpg", "n6751.jpg", "ic418.jpg"})
"""Deep-sky frames that are shipped to show and test the models, and so are never trained on."""


class DataError(UserError):
    """A data set that is missing, incomplete or not in a known layout; the message says which and where."""

    exit_code = 2


def _no_boxes() -> np.ndarray:
    return np.zeros((0, 4), np.float32)


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        set, file: which set it is from, and its name there.
        archive, member: where its bytes are.
        kind: ``galaxy`` or ``negative`` (no galaxy in the frame).
        label: index into `models.labels.CLASSES`, -1 where there is none.
        coarse: coarse group, or "" where there is none.
        boxes: (N, 4) float32 galaxies in pixels, by the unified rule (90 % of the displayed light).
        ignore: (M, 4) float32 galaxies that count neither for nor against: difficult, or boxed by another rule.
        complete: whether every visible galaxy is boxed; if not, what is found elsewhere in the frame is no error.
        row, box_rows: what its tables say of the frame and of each box, column by column.
    """

    set: str
    file: str
    archive: Path
    member: str
    kind: str = "galaxy"
    label: int = -1
    coarse: str = ""
    boxes: np.ndarray = field(default_factory=_no_boxes)
    ignore: np.ndarray = field(default_factory=_no_boxes)
    complete: bool = True
    row: Mapping[str, str] = field(default_factory=dict)
    box_rows: tuple[Mapping[str, str], ...] = ()

    def read_bytes(self) -> bytes:
        """Read the encoded picture."""
        return read_member(self.archive, self.member)

    def load(self) -> np.ndarray:
        """Decode the image to (H, W, 3) uint8 RGB, as the runtime does.

        Raises:
            DataError: it cannot be decoded.
        """
        try:
            return decode_image(self.read_bytes(), self.file).pixels
        except ImageError as error:
            raise DataError(f"{self.archive}: '{self.member}' cannot be decoded: {error.reason}") from None

    def digest(self) -> str:
        """Hash the picture's bytes (SHA-256, hex)."""
        return hashlib.sha256(self.read_bytes()).hexdigest()


def read_member(archive: Path, member: str) -> bytes:
    """Read a picture's bytes.

    Args:
        archive: a zip, a folder, or a TFRecord file.
        member: its name in there; in a TFRecord file ``@`` and the byte where its record begins.

    Raises:
        DataError: it is not there, or cannot be read.
    """
    try:
        if archive.is_dir():
            return (archive / member).read_bytes()
        if member.startswith("@") and not zipfile.is_zipfile(archive):
            from ..formats.tfrecord import read_picture

            return read_picture(archive, int(member[1:]))
        return _open_archive(archive).read(member)
    except (KeyError, FileNotFoundError):
        raise DataError(f"{archive} has no picture '{member}', which its label names") from None
    except (OSError, zipfile.BadZipFile, zlib.error) as problem:
        raise DataError(f"the picture '{member}' in {archive} cannot be read: {problem}") from None


@lru_cache(maxsize=32)
def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except zipfile.BadZipFile:
        raise DataError(f"{path} is not a zip file") from None


def read_csv_rows(path: Path, needed: Iterable[str] = ()) -> list[dict[str, str]]:
    """Read the rows of a CSV table.

    Raises:
        DataError: it is no UTF-8 text, lacks a column that is needed, or a row has not the columns of its head.
    """
    rows, torn = [], []
    # Spreadsheets put a mark of the encoding at the front, which is no part of the first column's name.
    with path.open(newline="", encoding="utf-8-sig") as stream:
        table = csv.DictReader(stream)
        try:
            for row in table:
                rows.append(row)
                if None in row or None in row.values():
                    torn.append(str(table.line_num))
        except csv.Error as problem:
            raise DataError(f"{path}, line {table.line_num}: {problem}") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} is no UTF-8 text: save it as such") from None
    if rows and (lacking := [column for column in needed if column not in rows[0]]):
        raise DataError(
            f"{path} has no column {', '.join(map(repr, lacking))}, which its layout needs: is its first "
            "line the names of the columns, with commas between?"
        )
    if torn:
        raise DataError(f"{path}, line {', '.join(torn)}: has not the columns of its head; is the file cut short?")
    return rows


def _box(row: Mapping[str, str], columns: Iterable[str]) -> list[float] | None:
    try:
        box = [float(row[column]) for column in columns]
    except ValueError:
        return None
    placed = all(abs(value) < FARTHEST for value in box)
    return box if placed and box[2] > box[0] and box[3] > box[1] else None


def is_difficult(row: Mapping[str, str]) -> bool:
    """Tell whether a box's row marks it as one that counts neither for nor against."""
    return row.get("difficult", "0") == "1" or row["ubox_flag"] not in ("ok", "edge")


def split_boxes(rows: Iterable[Mapping[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Sort table rows into boxes to find and boxes to ignore."""
    wanted: list[list[float]] = []
    ignored: list[list[float]] = []
    for row in rows:
        unified = _box(row, BOX_COLUMNS)
        if unified and not is_difficult(row):
            wanted.append(unified)
        else:
            ignored.extend(box for box in (unified, _box(row, OLD_BOX_COLUMNS)) if box)
    return np.asarray(wanted, np.float32).reshape(-1, 4), np.asarray(ignored, np.float32).reshape(-1, 4)


def class_of(g10: str, share: str = "") -> int:
    """Give the class, an index into `CLASSES`, of a ``g10`` column; -1 without one, or where few voted for it."""
    sure = not share or float(share) >= 0.5
    return class_index_from_galaxy10(int(g10)) if g10 and sure else -1


def is_galaxy(name: str) -> bool:
    """Tell whether boxes of a class are galaxies to the detector; all others are what it must not take for one."""
    return name.lower() in GALAXIES


def is_known(name: str) -> bool:
    """Tell whether a class is a galaxy or, by one of its words, another thing of the sky: else it may be misspelt."""
    words = re.findall(r"[a-z]+", name.lower())
    return is_galaxy(name) or any(word in OTHERS or word.removesuffix("s") in OTHERS for word in words)


def _read_efigi(folder: Path) -> Iterator[Sample]:
    for row in read_csv_rows(folder / "labels.csv", ("file", "g10", "coarse")):
        yield Sample(
            "efigi",
            row["file"],
            folder / "images.zip",
            row["file"],
            label=class_index_from_galaxy10(int(row["g10"])),
            coarse=row["coarse"],
            complete=False,
            row=row,
        )


def _read_gz(folder: Path) -> Iterator[Sample]:
    for row in read_csv_rows(folder / "index.csv", ("file", "coarse", "g10", "g10_p", "box_flag", *OF_BOXES)):
        tag, member = row["file"].split("/", 1)
        row = dict(row, difficult="0" if row["box_flag"] == "ok" else "1")
        boxes, ignore = split_boxes([row])
        yield Sample(
            "gz_frames",
            row["file"],
            folder / f"{tag}.zip",
            member,
            coarse=row["coarse"],
            label=class_of(row["g10"], row["g10_p"]),
            boxes=boxes,
            ignore=ignore,
            complete=False,
            row=row,
            box_rows=(row,),
        )


def _read_frames(folder: Path, name: str) -> Iterator[Sample]:
    boxes_of: dict[str, list[dict[str, str]]] = {}
    for row in read_csv_rows(folder / "boxes.csv", ("file", *OF_BOXES)):
        boxes_of.setdefault(row["file"], []).append(row)
    frames = read_csv_rows(folder / "frames.csv", ("file", "kind"))
    if wrong := [f"{row['file']} is '{row['kind']}'" for row in frames if row["kind"] not in (*KINDS, *LEFT_OUT)]:
        raise DataError(
            f"{folder / 'frames.csv'}: the kind of {', '.join(wrong)}, not one of {', '.join((*KINDS, *LEFT_OUT))}"
        )
    for row in frames:
        if row["kind"] in LEFT_OUT:
            continue
        rows = boxes_of.get(row["file"], [])
        boxes, ignore = split_boxes(one for one in rows if is_galaxy(one.get("class", "galaxy")))
        yield Sample(
            row.get("set", name),
            row["file"],
            folder / "images.zip",
            row["file"],
            kind=row["kind"],
            label=class_of(row.get("g10", ""), row.get("g10_p", "")),
            coarse=row.get("coarse", ""),
            boxes=boxes,
            ignore=ignore,
            complete=row.get("boxes_complete", "1") == "1",
            row=row,
            box_rows=tuple(rows),
        )


def _read_starfields(folder: Path) -> Iterator[Sample]:
    archive = folder / "images.zip"
    for member in sorted(_open_archive(archive).namelist()):
        if not member.endswith("/"):
            yield Sample("sdss_starfields", member, archive, member, kind="negative")


def set_name(folder: Path) -> str | None:
    """Tell which layout a folder has, by the tables in it; None if it has none that is known."""
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


def read_set(folder: Path, skipped: Callable[[str], None] | None = None) -> list[Sample]:
    """Read a data set.

    Args:
        folder: a data-set folder in one of the layouts above or in a label format of `formats`, or a folder of such
            folders, whose samples are then read together.
        skipped: told which faulty labels that a user made are left out; without it, they end the work. The tables of
            catalogues are taken as they are.

    Raises:
        DataError: the folder does not exist, or holds no set in a known layout, or a table lacks a column.
    """
    from ..formats.samples import format_of, read_samples

    places = set_folders(folder)
    samples = []
    for place in places:
        samples += read_samples(place, skipped) if set_name(place) == LABELLED else read_table(place)
    if places != [folder]:
        others = [path for path in sorted(folder.iterdir()) if path.is_dir() and path not in places]
        for place in filter(format_of, others if places else [folder]):
            samples.extend(read_samples(place, skipped))
    if not samples:
        raise DataError(f"{folder} holds no data set in a known layout ({', '.join(SETS)}) or label format")
    return samples


def set_folders(folder: Path) -> list[Path]:
    """Find the folders in a known layout: the folder itself, or those in it.

    Raises:
        DataError: it is none, or holds the parts of a split, which must not be read together.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    if (folder / PARTS).is_file():
        raise DataError(f"{folder} is a split, whose parts are not to be mixed: name one of them, e.g. {folder}/train")
    if set_name(folder):
        return [folder]
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and set_name(path))
    except PermissionError as problem:  # a path within the folder is what was asked for
        raise DataError(f"{Path(problem.filename).parent}: the folder cannot be read: {problem.strerror}") from None


def read_table(place: Path) -> list[Sample]:
    """Read the tables of one data-set folder.

    Raises:
        DataError: a table lacks a column or cannot be read.
    """
    readers = {"efigi": _read_efigi, "gz_frames": _read_gz, "sdss_starfields": _read_starfields}
    name = set_name(place)
    assert name is not None
    try:
        return list(readers[name](place) if name in readers else _read_frames(place, name))
    except KeyError as missing:
        raise DataError(f"a table in {place} has no column {missing}, which the layout {name} needs") from None
    except ValueError as problem:
        raise DataError(f"a table in {place} cannot be read: {problem}") from None


def in_share(digest: str, share: float, seed: int) -> bool:
    """Draw a picture into a share (0..1) by its content, so that the same picture always falls on the same side."""
    return int(hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()[:8], 16) / 2**32 < share


def is_held_out(split: Mapping[str, Any], digest: str) -> bool:
    """Tell whether a picture was held out, by the record of a split (in a run's record, in a bundle's manifest)."""
    seed = split["seed"]
    if "folds" in split:
        return int(hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()[:8], 16) % split["folds"] == split["fold"]
    return in_share(digest, split["test_share"] if "test_share" in split else split["validation_share"], seed)


def data_hash(digests: Iterable[str]) -> str:
    """Hash a set of pictures, whatever their order (SHA-256, hex)."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
