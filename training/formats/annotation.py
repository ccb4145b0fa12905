"""Format-independent annotations of an image: boxes, classes, other values."""

from __future__ import annotations

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..data.archives import read_member
from ..data.errors import DataError
from ..data.sample import MAX_COORDINATE
from ..data.vocabulary import is_known


class LabelError(DataError):
    """A label that cannot be used.

    Attributes:
        kind: one of `check.KINDS`.
        file: the image or label file that has the error.
        reason: what is wrong with it.
    """

    def __init__(self, kind: str, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.kind, self.file, self.reason = kind, file, reason


ErrorHandler = Callable[[LabelError], None]
"""Called with every label that cannot be read; the reader stops if it raises, and otherwise continues."""

Progress = Callable[[int, int], None]
"""Called with the number done and the total."""


def raise_error(error: LabelError) -> None:
    """Raise the error, so that the first one ends the work."""
    raise error


def no_progress(done: int, total: int) -> None:
    """Show no progress."""


def validate_text(text: str) -> None:
    """Check that a name is valid in every label format.

    Raises:
        ValueError: it is empty, or contains control characters, line breaks or invalid Unicode.
    """
    if not text:
        raise ValueError("is empty")
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\ufffe\uffff"), None)
    if bad is not None:
        raise ValueError(f"has a character that no label file can hold (U+{ord(bad):04X})")


def normalise_name(text: str) -> str:
    """Return an image's name as a relative path with ``/``, without ``.`` parts.

    Raises:
        ValueError: it is outside the data set, hidden, or not a valid name.
    """
    validate_text(text)
    if "\\" in text:
        raise ValueError(f"'{text}' has a backslash: write / between folders")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"'{text}' leads out of the data set: names are relative to its folder, without ..")
    if any(part.startswith(".") for part in path.parts):
        raise ValueError(f"'{text}' is hidden, as it begins with a dot: other programs would not find it")
    return str(path)


@dataclass(frozen=True)
class ImageAnnotation:
    """An image and its annotations.

    Attributes:
        file: name of the image, a relative path with ``/``, the same in every format.
        width, height: size of the image in pixels.
        boxes: (N, 4) float64, x0, y0, x1, y1 in pixels: 0 is the left (upper) edge of the first pixel, `width`
            (`height`) the right (lower) edge of the last.
        classes: N class names.
        difficult: (N,) bool: boxes that evaluations ignore: they are neither right nor wrong.
        extras: N mappings with further values of each box (plain JSON values).
        about: further values of the image (plain JSON values).
        archive, member: location of the encoded image, see `data.archives.read_member`; None and "" without an image.

    Raises:
        LabelError: lengths differ, a number is not finite or too large, or a name is not valid.
    """

    file: str
    width: int
    height: int
    boxes: np.ndarray
    classes: tuple[str, ...]
    difficult: np.ndarray
    extras: tuple[Mapping[str, Any], ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    archive: Path | None = None
    member: str = ""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "file", normalise_name(self.file))
        except ValueError as error:
            raise LabelError("unreadable label", repr(self.file), f"its name {error}") from None
        try:
            for name in {*self.classes, *self.about, *(key for extra in self.extras for key in extra)}:
                validate_text(name)
                if name != name.strip():
                    raise ValueError("begins or ends with a space")
        except ValueError as error:
            raise LabelError("unreadable label", self.file, f"the name '{name}' in it {error}") from None
        boxes = np.asarray(self.boxes, np.float64).reshape(-1, 4)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "difficult", np.asarray(self.difficult, bool).reshape(-1))
        object.__setattr__(self, "extras", self.extras or ({},) * len(boxes))
        if not len(boxes) == len(self.classes) == len(self.difficult) == len(self.extras):
            raise LabelError("unreadable label", self.file, "numbers of boxes, classes and flags differ")
        if not (np.abs(boxes) < MAX_COORDINATE).all():
            raise LabelError("unreadable label", self.file, "a box has a number that cannot be a position in an image")
        try:
            json.dumps([*self.extras, self.about], ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError):  # UnicodeEncodeError, for invalid Unicode, is a ValueError
            raise LabelError("unreadable label", self.file, "has a value that no label file can hold") from None
        if not (1 <= self.width < MAX_COORDINATE and 1 <= self.height < MAX_COORDINATE):
            raise LabelError("unreadable label", self.file, f"its size is {self.width} x {self.height} pixels")

    def plain(self) -> dict[str, Any]:
        """Return all annotations as plain JSON values, the same for equal annotations."""
        boxes = [
            {"class": name, "box": box, "difficult": flag} | ({"extras": dict(extras)} if extras else {})
            for name, box, flag, extras in zip(
                self.classes, self.boxes.tolist(), self.difficult.tolist(), self.extras, strict=True
            )
        ]
        size = {"file": self.file, "width": self.width, "height": self.height}
        return size | {"boxes": boxes} | ({"about": dict(self.about)} if self.about else {})

    def read_bytes(self) -> bytes:
        """Return the encoded image.

        Raises:
            DataError: it does not exist.
        """
        if self.archive is None:
            raise LabelError("missing picture", self.file, "the image does not exist")
        return read_member(self.archive, self.member)


def annotation_from_json(values: Any, archive: Path | None = None, member: str = "") -> ImageAnnotation:
    """Create an annotation from the values of `ImageAnnotation.plain`.

    Raises:
        LabelError: `values` does not have that form.
    """
    try:
        boxes = values["boxes"]
        return ImageAnnotation(
            values["file"],
            int(values["width"]),
            int(values["height"]),
            np.array([box["box"] for box in boxes], np.float64).reshape(-1, 4),
            tuple(str(box["class"]) for box in boxes),
            np.array([bool(box["difficult"]) for box in boxes], bool),
            tuple(dict(box.get("extras", {})) for box in boxes),
            dict(values.get("about", {})),
            archive,
            member,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LabelError("unreadable label", "galaxy-edge's own record", f"is damaged ({error!r})") from None


@dataclass(frozen=True)
class AnnotatedDataset:
    """A labelled data set.

    Attributes:
        format: name of the format it was read from.
        images: sorted by name, each name once.
        classes: all class names that are used or listed, in the order of the set's own list, or else of first use.
        notes: what the reader omitted, or interpreted in one of several ways; one line each.
        listed: the set's own list of classes; empty if it has none.
    """

    format: str
    images: tuple[ImageAnnotation, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Number of boxes of each class."""
        return Counter(name for image in self.images for name in image.classes)

    @property
    def unknown(self) -> set[str]:
        """Classes that are not in the set's own list.

        Without such a list, they are those that are not known objects of the sky.
        """
        return {name for name in self.counts if (name not in self.listed if self.listed else not is_known(name))}

    @property
    def known(self) -> tuple[str, ...]:
        """Classes that are not `unknown`, in order.

        Only these are written to a class list, since the others may be misspelt.
        """
        unknown = self.unknown
        return tuple(name for name in self.classes if name not in unknown)


def build_dataset(
    kind: str,
    images: Iterable[ImageAnnotation],
    on_error: ErrorHandler,
    listed: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> AnnotatedDataset:
    """Build a data set from the annotations that a reader found.

    The images are sorted by name, each name once.

    Args:
        kind: name of the format; images, listed, notes: see `AnnotatedDataset`.
        on_error: called for each name that occurs again; the first image of that name is kept.
    """
    by_name: dict[str, ImageAnnotation] = {}
    for image in images:
        if image.file in by_name:
            on_error(LabelError("file name twice", image.file, "two labels are for an image of this name"))
        else:
            by_name[image.file] = image
    ordered, listed = tuple(by_name[name] for name in sorted(by_name)), tuple(listed)
    names = dict.fromkeys((*listed, *(name for image in ordered for name in image.classes)))
    return AnnotatedDataset(kind, ordered, tuple(names), tuple(notes), listed)


def other_format_values(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the values that another format has and that no field here holds.

    They are kept under the name of that format, `key`.
    """
    foreign = values.get(key)
    return dict(foreign) if isinstance(foreign, dict) else {}


def parse_flag(value: Any) -> bool:
    """Return a flag as bool; some programs write numbers and flags as text."""
    return value.strip().lower() not in ("", "0", "false", "no") if isinstance(value, str) else bool(value)


def parse_finite(value: Any) -> float:
    """Return a number as float.

    Raises:
        ValueError: it is not a number, not finite, or too large for a position in an image.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is not a number")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    if abs(number) >= MAX_COORDINATE:
        raise ValueError(f"{number:g} cannot be a position in an image")
    return number
