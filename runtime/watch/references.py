"""The reference images of fields and telescopes, as FITS files in a folder.

A reference is made of the stacks of one night, and then stays as it is, so that a new star cannot become a part of it.
"""

from __future__ import annotations

import datetime
import io
import logging
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import write_atomic
from ...sky.angles import separation
from ...sky.differencing.difference import Image
from ...sky.differencing.reference import ReferenceBuilder
from ...sky.wcs import Wcs

logger = logging.getLogger(__name__)

MIN_STACKS, MAX_STACKS = 3, 16
"""Stacks that a reference needs before it is used, and those after which none is added."""
NIGHT_GAP = datetime.timedelta(hours=6)
"""Time after the last stack of a reference from which it is another night."""
MAX_FILES, MAX_BYTES = 300, 4 << 30
"""Limits of a folder; beyond them no reference is added."""
MAX_FILE_BYTES = 1 << 30
_MAX_OFFSET = 0.35
"""Maximum distance of the centre of a frame from that of its reference, as a share of the shorter side."""
_COUNTS = "STACKS"


class ReferenceFileError(UserError):
    """A reference cannot be read or written; the message says which and why."""


@dataclass(eq=False)
class Reference:
    """A reference of a field.

    Attributes:
        path: of its file; name: of the galaxies in it; camera: what took it, see `camera_of`.
        wcs: of its pixels; stacks: number of stacks in it; last: UTC of the latest one.
    """

    path: Path
    name: str
    camera: str
    wcs: Wcs
    stacks: int
    last: datetime.datetime

    def is_collecting(self, time: datetime.datetime) -> bool:
        """Return whether a stack of this time becomes a part of it."""
        if self.stacks < MIN_STACKS:
            return True
        return abs(time - self.last) < NIGHT_GAP


def camera_of(header: Mapping[str, Any]) -> str:
    """Return camera, telescope and filter of FITS keywords as one text.

    It is as a reference's file gives it back, so that a later run finds the reference again.
    """
    words = [str(header.get(key, "")).strip() for key in ("INSTRUME", "TELESCOP", "FILTER")]
    return _header_text(" ".join(dict.fromkeys(word for word in words if word))) or "camera"


def _header_text(text: str) -> str:
    """Return a text as a FITS keyword can hold it and gives it back."""
    return re.sub(r"[^ -~]", "?", text)[:60].strip()


class ReferenceFolder:
    """The references of a folder, which is created if it is missing.

    Raises:
        ReferenceFileError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            paths = sorted(folder.glob("*.fits"))
        except OSError as error:
            raise ReferenceFileError(f"the folder for references '{folder}' cannot be used: {error.strerror}") from None
        self.references: list[Reference] = []
        for path in paths[:MAX_FILES]:
            try:
                self.references.append(_read(path)[0])
            except ReferenceFileError as error:
                logger.warning("%s; it is ignored", error)

    def find(self, wcs: Wcs, camera: str) -> Reference | None:
        """Return the reference of a field, camera and scale; None for none."""
        best: tuple[float, Reference] | None = None
        for item in self.references:
            if item.camera != camera or not 0.95 < item.wcs.scale / wcs.scale < 1.05:
                continue
            distance = float(separation(*item.wcs.centre, *wcs.centre)) * 3600 / wcs.scale
            if distance <= _MAX_OFFSET * min(item.wcs.width, item.wcs.height) and (best is None or distance < best[0]):
                best = distance, item
        return best[1] if best else None

    def create(self, image: Image, name: str, camera: str, time: datetime.datetime) -> Reference:
        """Begin the reference of a field with its first stack.

        Raises:
            ReferenceFileError: it cannot be written, or the folder is full.
        """
        size = sum(item.path.stat().st_size for item in self.references if item.path.exists())
        if len(self.references) >= MAX_FILES or size + 8 * image.light.size > MAX_BYTES:
            raise ReferenceFileError(f"'{self.folder}' is full of references: delete those that are not needed")
        ra, dec = image.wcs.centre
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{name} {camera}").strip("-")[:60]
        path = self.folder / f"{words}-{ra:07.3f}{dec:+07.3f}.fits"
        reference = Reference(path, name, camera, image.wcs, 1, time)
        self._write(reference, ReferenceBuilder(image))
        self.references.append(reference)
        return reference

    def add(self, reference: Reference, image: Image, time: datetime.datetime) -> None:
        """Add a stack to a reference that still collects them.

        Raises:
            ReferenceFileError: it cannot be read or written.
        """
        _, builder = _read(reference.path)
        builder.add(image)
        changed = Reference(
            reference.path, reference.name, reference.camera, reference.wcs, reference.stacks + 1,
            max(time, reference.last),
        )  # fmt: skip
        self._write(changed, builder)
        reference.stacks, reference.last = changed.stacks, changed.last

    def read(self, reference: Reference) -> Image:
        """Return the image of a reference.

        Raises:
            ReferenceFileError: it cannot be read.
        """
        return _read(reference.path)[1].image

    def _write(self, reference: Reference, builder: ReferenceBuilder) -> None:
        from astropy.io import fits

        unit = fits.PrimaryHDU(builder.image.light)
        for key, value in builder.wcs.to_header().items():
            unit.header[key] = value
        unit.header["OBJECT"] = _header_text(reference.name)
        unit.header["CAMERA"] = reference.camera
        unit.header["NSTACK"] = reference.stacks, "stacks in this reference"
        unit.header["DATE-END"] = reference.last.replace(tzinfo=None).isoformat(), "latest stack, UTC"
        unit.header["SKYLEVEL"] = builder.sky
        counts = fits.ImageHDU(np.clip(builder.count, 0, 255).astype(np.uint8), name=_COUNTS)
        stream = io.BytesIO()
        fits.HDUList([unit, counts]).writeto(stream)
        try:
            write_atomic(reference.path, stream.getvalue())
        except OSError as error:
            raise ReferenceFileError(f"the reference '{reference.path}' cannot be written: {error.strerror}") from None


def _read(path: Path) -> tuple[Reference, ReferenceBuilder]:
    """Read a reference file.

    Raises:
        ReferenceFileError: it is missing, damaged or not a reference.
    """
    from astropy.io import fits

    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError("it is too large")
        content = io.BytesIO(path.read_bytes())  # astropy leaves a damaged file open
        with warnings.catch_warnings(), fits.open(content) as units:
            warnings.simplefilter("error")  # a file that is cut short
            light, header = units[0].data, dict(units[0].header)
            counts = units[_COUNTS].data
        wcs = Wcs.from_header(header)
        sky, stacks = float(header["SKYLEVEL"]), int(header["NSTACK"])
        last = datetime.datetime.fromisoformat(str(header["DATE-END"])).replace(tzinfo=datetime.UTC)
        if wcs is None or light.ndim != 2 or counts.shape != light.shape or not math.isfinite(sky) or stacks < 1:
            raise ValueError("it is not a reference of galaxy-edge")
        light, count = light.astype(np.float32), counts.astype(np.float32)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, Warning) as error:
        raise ReferenceFileError(f"the reference '{path}' cannot be read: {error}") from None
    reference = Reference(path, str(header.get("OBJECT", "")), str(header.get("CAMERA", "")), wcs, stacks, last)
    total = np.where(count > 0, np.nan_to_num(light - np.float32(sky)) * count, 0)
    return reference, ReferenceBuilder(Image(light, wcs), total, count, sky)
