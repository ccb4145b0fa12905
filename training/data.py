"""Read the labelled picture sets: galaxies with classes and boxes, star fields, deep-sky frames.

A set is a folder with CSV tables and zips of pictures, in the layouts ``efigi``, ``gz_frames``, ``deepsky_frames``,
``lco_messier`` and ``sdss_starfields``. Which one a folder is, its tables tell, not its name. numpy and OpenCV only.
"""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from ..models.labels import class_of_g10

BOX_COLUMNS = ("uxmin", "uymin", "uxmax", "uymax")
OLD_BOX_COLUMNS = ("xmin", "ymin", "xmax", "ymax")
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

    def read_bytes(self) -> bytes:
        """Read the encoded picture."""
        try:
            return _open_archive(self.archive).read(self.member)
        except KeyError:
            raise DataError(f"{self.archive} has no picture '{self.member}', which its table names") from None

    def load(self) -> np.ndarray:
        """Decode the picture to (H, W, 3) uint8 RGB."""
        image = cv2.imdecode(np.frombuffer(self.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"{self.archive}: '{self.member}' is not a picture that can be decoded")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def digest(self) -> str:
        """Hash the picture's bytes (SHA-256, hex)."""
        return hashlib.sha256(self.read_bytes()).hexdigest()


@lru_cache(maxsize=32)
def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except zipfile.BadZipFile:
        raise DataError(f"{path} is not a zip file") from None


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _box(row: dict[str, str], columns: Iterable[str]) -> list[float] | None:
    try:
        box = [float(row[column]) for column in columns]
    except ValueError:
        return None
    return box if box[2] > box[0] and box[3] > box[1] else None


def _split_boxes(rows: Iterable[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Sort table rows into boxes to find and boxes to ignore."""
    wanted: list[list[float]] = []
    ignored: list[list[float]] = []
    for row in rows:
        unified = _box(row, BOX_COLUMNS)
        if row.get("difficult", "0") != "1" and row["ubox_flag"] in ("ok", "edge") and unified:
            wanted.append(unified)
        else:
            ignored.extend(box for box in (unified, _box(row, OLD_BOX_COLUMNS)) if box)
    return np.asarray(wanted, np.float32).reshape(-1, 4), np.asarray(ignored, np.float32).reshape(-1, 4)


def _read_efigi(folder: Path) -> Iterator[Sample]:
    for row in _rows(folder / "labels.csv"):
        yield Sample(
            "efigi", row["file"], folder / "images.zip", row["file"],
            label=class_of_g10(int(row["g10"])), coarse=row["coarse"], complete=False,
        )


def _read_gz(folder: Path) -> Iterator[Sample]:
    for row in _rows(folder / "index.csv"):
        tag, member = row["file"].split("/", 1)
        sure = not row["g10_p"] or float(row["g10_p"]) >= 0.5
        row = dict(row, difficult="0" if row["box_flag"] == "ok" else "1")
        boxes, ignore = _split_boxes([row])
        yield Sample(
            "gz_frames", row["file"], folder / f"{tag}.zip", member,
            label=class_of_g10(int(row["g10"])) if sure else -1, coarse=row["coarse"],
            boxes=boxes, ignore=ignore, complete=False,
        )


def _read_frames(folder: Path, name: str) -> Iterator[Sample]:
    boxes_of: dict[str, list[dict[str, str]]] = {}
    for row in _rows(folder / "boxes.csv"):
        boxes_of.setdefault(row["file"], []).append(row)
    for row in _rows(folder / "frames.csv"):
        if row["kind"] not in ("galaxy", "negative"):
            continue  # galaxy_unboxed and ambiguous frames can neither be learnt from nor judged
        boxes, ignore = _split_boxes(boxes_of.get(row["file"], []))
        yield Sample(
            name, row["file"], folder / "images.zip", row["file"], kind=row["kind"],
            boxes=boxes, ignore=ignore, complete=row.get("boxes_complete", "1") == "1",
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
        with (folder / "frames.csv").open(encoding="utf-8") as stream:
            return "lco_messier" if "boxes_complete" in stream.readline() else "deepsky_frames"
    if (folder / "images.zip").is_file() and not list(folder.glob("*.csv")):
        return "sdss_starfields"
    return None


def read_set(folder: Path) -> list[Sample]:
    """Read a data set's table.

    Args:
        folder: a data-set folder, or a folder of such folders, whose samples are then read together.

    Raises:
        DataError: the folder does not exist, or holds no set in a known layout, or a table lacks a column.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    readers = {"efigi": _read_efigi, "gz_frames": _read_gz, "sdss_starfields": _read_starfields}
    samples: list[Sample] = []
    for place in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        name = set_name(place)
        if name is None:
            continue
        try:
            samples.extend(readers[name](place) if name in readers else _read_frames(place, name))
        except KeyError as missing:
            raise DataError(f"a table in {place} has no column {missing}, which the layout {name} needs") from None
        except ValueError as problem:
            raise DataError(f"a table in {place} cannot be read: {problem}") from None
        if place == folder:
            break
    if not samples:
        raise DataError(f"{folder} holds no data set in a known layout ({', '.join(SETS)})")
    return samples


def in_share(digest: str, share: float, seed: int) -> bool:
    """Draw a picture into a share (0..1) by its content, so that the same picture always falls on the same side."""
    return int(hashlib.sha256(f"{seed}:{digest}".encode()).hexdigest()[:8], 16) / 2**32 < share


def data_hash(digests: Iterable[str]) -> str:
    """Hash a set of pictures, whatever their order (SHA-256, hex)."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
