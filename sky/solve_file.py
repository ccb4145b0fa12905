"""Solve image files and write them as FITS with their WCS."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import ImageError, UserError
from ..files import atomic_path
from ..models.images.decoder import DecodedImage, decode_image
from ..models.images.headers import FITS_SUFFIXES
from .coordinates import ra_text
from .hints import Hints, hints_from
from .solution import Solution
from .solve import SECONDS, SolveTimeoutError, make_field, solve

_WCS_KEYS = re.compile(
    r"WCSAXES|CTYPE\d|CUNIT\d|CRVAL\d|CRPIX\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|PV\d_\d+|(A|B|AP|BP)_(ORDER|\d_\d|DMAX)"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX"
)
"""Keywords of an earlier WCS, which a new one replaces."""
SUFFIX = ".solved.fits"


@dataclass(frozen=True, eq=False)
class SolvedFile:
    """The result for a file.

    Attributes:
        path: the file.
        solution: where it is on the sky; None if it could not be solved.
        failed: why not, in words; "" if it was solved.
        written: the FITS file with the WCS; None if none was written.
    """

    path: Path
    solution: Solution | None
    failed: str = ""
    written: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        if self.solution is None:
            return {"file": str(self.path), "failed": self.failed}
        wcs = self.solution.wcs
        result = {
            "file": str(self.path),
            "ra": round(wcs.centre[0], 6),
            "dec": round(wcs.centre[1], 6),
            "arcsec_per_pixel": round(wcs.scale, 5),
            "rotation": round(wcs.rotation, 3),
            "mirrored": wcs.mirrored,
            "width": wcs.width,
            "height": wcs.height,
            "solver": self.solution.solver,
            "seconds": round(self.solution.seconds, 2),
            "stars": self.solution.stars_matched,
            "residual_arcsec": round(self.solution.residual_arcsec, 2),
        }
        if self.failed:  # it was solved, but not written
            result["failed"] = self.failed
        return result | ({"written": str(self.written)} if self.written else {})


def solve_file(path: Path, hints: Hints, seconds: float = SECONDS) -> SolvedFile:
    """Solve a file; a failure is part of the result.

    Args:
        path: an image of any format that `decode_image` reads.
        hints: of the user; others are read from the file's header.
        seconds: time limit.
    """
    try:
        image = decode_image(path.read_bytes(), path.name)
        planes = image.planes or cv2.split(image.pixels)
        height, width = image.raw.shape[:2] if image.raw is not None else image.pixels.shape[:2]
        field = make_field(planes, width, height, image.binning)
        return SolvedFile(path, solve(field, hints_from(image.header, hints), seconds))
    except ImageError as error:
        return SolvedFile(path, None, error.reason)
    except SolveTimeoutError as error:
        return SolvedFile(path, None, f"{error}: allow more time with --seconds")
    except UserError as error:
        return SolvedFile(path, None, str(error))
    except OSError as error:
        return SolvedFile(path, None, f"it cannot be read: {error.strerror or error}")


def solved_path(path: Path, folder: Path | None = None) -> Path:
    """Return where the FITS file with the WCS of a file is written: NAME.solved.fits.

    Args:
        folder: None for the file's own folder.
    """
    name = path.name
    for suffix in sorted((*FITS_SUFFIXES, path.suffix), key=len, reverse=True):
        if suffix and name.lower().endswith(suffix.lower()):
            name = name[: -len(suffix)]
            break
    return (folder or path.parent) / f"{name}{SUFFIX}"


def write_solved(path: Path, solution: Solution, target: Path) -> None:
    """Write a file as FITS with its WCS.

    A FITS file keeps its data and all other keywords; another image is written as three planes of 8 bits, or as its
    own deeper values.

    Args:
        path: the solved file.
        target: the file that is written, atomically; may be `path` itself.

    Raises:
        OSError: it cannot be written.
    """
    from astropy.io import fits

    content = path.read_bytes()
    cards = wcs_cards(solution)
    with warnings.catch_warnings(), atomic_path(target) as staged:
        warnings.simplefilter("ignore")  # cards of the user's file that break the standard stay as they are
        is_packed = content.startswith((b"\x1f\x8b", b"BZh")) and path.name.lower().endswith(tuple(FITS_SUFFIXES))
        if content.startswith(b"SIMPLE") or is_packed:
            with fits.open(path, memmap=False, do_not_scale_image_data=True) as units:
                for unit in units:
                    _drop_unwritable(unit.header)
                _update(next(unit.header for unit in units if unit.is_image and _is_image(unit.shape)), cards)
                units.writeto(staged, output_verify="ignore", overwrite=True)
        else:
            unit = fits.PrimaryHDU(_planes_for_fits(decode_image(content, path.name)))
            _update(unit.header, cards)
            unit.writeto(staged, overwrite=True)


def wcs_cards(solution: Solution) -> dict[str, Any]:
    """Return the keywords of a solution, with where it comes from."""
    cards: dict[str, Any] = {**solution.wcs.to_header()}
    cards["PLTSOLVR"] = (solution.solver, "plate solver")
    cards["PLTSTARS"] = (solution.stars_matched, "stars that confirm the WCS")
    cards["PLTRESID"] = (round(solution.residual_arcsec, 3), "[arcsec] rms distance of these stars")
    return cards


def _update(header: Any, cards: Mapping[str, Any]) -> None:
    """Replace the WCS of an astropy header."""
    for key in {card.keyword for card in header.cards if _WCS_KEYS.fullmatch(card.keyword)}:
        del header[key]
    header.update(cards)


def _drop_unwritable(header: Any) -> None:
    """Delete the cards that astropy cannot write: those with control characters."""
    from astropy.io.fits.verify import VerifyError

    for index in reversed(range(len(header.cards))):
        try:
            str(header.cards[index])
        except VerifyError:
            continue  # written as it is
        except ValueError:
            del header[index]


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and (3 in (shape[0], shape[2]) or shape[0] == 1))


def _planes_for_fits(image: DecodedImage) -> np.ndarray:
    values = image.pixels if image.raw is None else image.raw
    return np.moveaxis(values, 2, 0) if values.ndim == 3 else values


def describe(solution: Solution) -> str:
    """Return a solution in one line."""
    wcs = solution.wcs
    width, height = (side * wcs.scale / 60 for side in (wcs.width, wcs.height))
    size = (
        f"{width:.1f}' x {height:.1f}'" if max(width, height) < 300 else f"{width / 60:.1f} x {height / 60:.1f} degrees"
    )
    mirror = ", mirrored" if wcs.mirrored else ""
    return (
        f"{format_position(*wcs.centre)} ({wcs.centre[0]:.4f} {wcs.centre[1]:+.4f}), {size}, "
        f"{wcs.scale:.3f} arcsec per pixel, up is {wcs.rotation:.1f} degrees east of north{mirror}"
    )


def format_position(ra: float, dec: float) -> str:
    """Return a position as hours, minutes and seconds: ``12h51m07.2s +41d07m06s``."""
    seconds = round(abs(dec) * 3600)
    sign = "-" if dec < 0 and seconds else "+"
    return f"{ra_text(ra)} {sign}{seconds // 3600:02d}d{seconds // 60 % 60:02d}m{seconds % 60:02d}s"
