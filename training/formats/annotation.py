"""What is labelled in a picture, whatever the format: boxes, their classes, and what else was said."""

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
    """A label that cannot be taken as it is.

    Attributes:
        kind: what sort of fault it is, as `check` sorts them.
        file: the picture or label file at fault.
        fault: what is wrong with it.
    """

    def __init__(self, kind: str, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.kind, self.file, self.reason = kind, file, reason


ErrorHandler = Callable[[LabelError], None]
"""Called with every label that cannot be read; it may raise, or note it so that the reader continues."""

Progress = Callable[[int, int], None]
"""Called with the number done and the total."""


def raise_error(error: LabelError) -> None:
    """Complain by raising: the first fault ends the work."""
    raise error


def no_progress(done: int, total: int) -> None:
    """Show no progress."""


def validate_text(text: str) -> None:
    """See that a name can stand in a line of text in every format.

    Raises:
        ValueError: it is empty, or has control characters, line breaks or what is no Unicode.
    """
    if not text:
        raise ValueError("is empty")
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\ufffe\uffff"), None)
    if bad is not None:
        raise ValueError(f"has a character that no label file can hold (U+{ord(bad):04X})")


def normalise_name(text: str) -> str:
    """Bring a picture's name into one form: a relative path with ``/``.

    Raises:
        ValueError: it leads out of the data set, or cannot be a name.
    """
    validate_text(text)
    if "\\" in text:
        raise ValueError(f"'{text}' has a backslash: write / between folders")
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"'{text}' leads out of the data set: names are relative to its folder, without ..")
    if any(part.startswith(".") for part in path.parts):
        raise ValueError(f"'{text}' is hidden, for it begins with a dot: no program would find it")
    return str(path)


@dataclass(frozen=True)
class ImageAnnotation:
    """One picture and what is labelled in it.

    Attributes:
        file: its name, a relative path with ``/``, the same in every format.
        width, height: its size in pixels.
        boxes: (N, 4) float64, x0, y0, x1, y1 in pixels: 0 is the left (upper) edge of the first pixel, `width`
            (`height`) the right (lower) edge of the last.
        classes: N class names.
        difficult: (N,) bool: boxes that count neither for nor against.
        extras: N mappings of what else is known of a box (plain JSON values).
        about: what else is known of the picture (plain JSON values).
        archive, member: where its bytes are, see `data.read_member`; no archive where there is no picture.

    Raises:
        LabelError: these do not fit together, a number is not finite, or a name is not fit to be one.
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
        except ValueError as fault:
            raise LabelError("unreadable label", repr(self.file), f"its name {fault}") from None
        try:
            for name in {*self.classes, *self.about, *(key for one in self.extras for key in one)}:
                validate_text(name)
                if name != name.strip():
                    raise ValueError("has space around it")
        except ValueError as fault:
            raise LabelError("unreadable label", self.file, f"the name '{name}' in it {fault}") from None
        boxes = np.asarray(self.boxes, np.float64).reshape(-1, 4)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "difficult", np.asarray(self.difficult, bool).reshape(-1))
        object.__setattr__(self, "extras", self.extras or ({},) * len(boxes))
        if not len(boxes) == len(self.classes) == len(self.difficult) == len(self.extras):
            raise LabelError("unreadable label", self.file, "numbers of boxes, classes and flags differ")
        if not (np.abs(boxes) < MAX_COORDINATE).all():
            raise LabelError("unreadable label", self.file, "a box has a number that is no place in a picture")
        try:
            json.dumps([*self.extras, self.about], ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError):  # the second is what text that is no Unicode raises, too
            raise LabelError("unreadable label", self.file, "has a value that no label file can hold") from None
        if not (1 <= self.width < MAX_COORDINATE and 1 <= self.height < MAX_COORDINATE):
            raise LabelError("unreadable label", self.file, f"its size is {self.width} x {self.height} pixels")

    def plain(self) -> dict[str, Any]:
        """Give all that is labelled as plain JSON values, the same for the same labels."""
        boxes = [
            {"class": name, "box": box, "difficult": flag} | ({"extras": dict(extras)} if extras else {})
            for name, box, flag, extras in zip(
                self.classes, self.boxes.tolist(), self.difficult.tolist(), self.extras, strict=True
            )
        ]
        size = {"file": self.file, "width": self.width, "height": self.height}
        return size | {"boxes": boxes} | ({"about": dict(self.about)} if self.about else {})

    def read_bytes(self) -> bytes:
        """Read the encoded picture.

        Raises:
            DataError: it is not there.
        """
        if self.archive is None:
            raise LabelError("missing picture", self.file, "the picture is not there")
        return read_member(self.archive, self.member)


def annotation_from_json(values: Any, archive: Path | None = None, member: str = "") -> ImageAnnotation:
    """Make a picture's labels of what `Labelled.plain` gave.

    Raises:
        LabelError: it is not of that form.
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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as fault:
        raise LabelError("unreadable label", "galaxy-edge's own record", f"is damaged ({fault!r})") from None


@dataclass(frozen=True)
class AnnotatedDataset:
    """A data set as it was read.

    Attributes:
        format: name of the format it was read from.
        images: by name, no name twice.
        classes: class names in the order of the set's own list, or of first use; all that are used are in it.
        notes: what the reader left out or took in one of several ways, a line each.
        listed: the set's own list of classes, if it has one.
    """

    format: str
    images: tuple[ImageAnnotation, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Count the boxes of each class."""
        return Counter(name for one in self.images for name in one.classes)

    @property
    def unknown(self) -> set[str]:
        """Find the classes that are not in the set's list; without one, those that are no known thing of the sky."""
        return {name for name in self.counts if (name not in self.listed if self.listed else not is_known(name))}

    @property
    def known(self) -> tuple[str, ...]:
        """Return the other classes, in order: a newly written list must not contain misspelt ones."""
        unknown = self.unknown
        return tuple(name for name in self.classes if name not in unknown)


def build_dataset(
    kind: str,
    images: Iterable[ImageAnnotation],
    on_error: ErrorHandler,
    listed: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> AnnotatedDataset:
    """Put what a reader found into a set: by name, each name once.

    Args:
        kind: name of the format; pictures, listed, notes: see `AnnotatedDataset`.
        on_error: called with names that occur twice; the first of them is kept.
    """
    found: dict[str, ImageAnnotation] = {}
    for one in images:
        if one.file in found:
            on_error(LabelError("file name twice", one.file, "two labels are for a picture of this name"))
        else:
            found[one.file] = one
    ordered, listed = tuple(found[name] for name in sorted(found)), tuple(listed)
    names = dict.fromkeys((*listed, *(name for one in ordered for name in one.classes)))
    return AnnotatedDataset(kind, ordered, tuple(names), tuple(notes), listed)


def other_format_values(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Give what another program's format said that has no place of its own here, kept under that format's name."""
    found = values.get(key)
    return dict(found) if isinstance(found, dict) else {}


def parse_finite(value: Any) -> float:
    """Read a number.

    Raises:
        ValueError: it is none, is not finite, or is too large to be a place in a picture.
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
        raise ValueError(f"{number:g} is no place in a picture")
    return number
