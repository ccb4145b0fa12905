"""Telescopes and their cameras, as far as a raw frame shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ...errors import UsageError


@dataclass(frozen=True)
class Telescope:
    """A telescope with a camera.

    Attributes:
        name: of the profile; instrument: of the camera, as headers write it.
        width, height: pixels of a frame; pixel_um: side of a pixel in micrometres.
        focal_mm, aperture_mm: of the optics.
        pattern: Bayer pattern of the first 2 x 2 pixels; None for mono.
        zero_points: (3,) magnitude of a star that gives one electron a second in red, green and blue if all pixels had
            that colour; read_noise: electrons; bias: level without light in units of the file.
        gain: electrons per unit of the file; exposure: usual seconds; fwhm: of stars in arcsec.
        sky: (3,) brightness of a usual sky in mag/arcsec2 in red, green and blue.
        header: which program's FITS keywords it writes, ``seestar`` or ``nina``.
        pointing_error: degrees by which the header's position is wrong.
        rotation: degrees an hour that the field turns; 0 on an equatorial mount.
    """

    name: str
    instrument: str
    width: int
    height: int
    pixel_um: float
    focal_mm: float
    aperture_mm: float
    pattern: str | None
    zero_points: tuple[float, float, float]
    read_noise: float
    bias: float
    gain: float
    exposure: float
    fwhm: float
    sky: tuple[float, float, float]
    header: str
    pointing_error: float = 0.0
    rotation: float = 0.0

    @property
    def scale(self) -> float:
        """Arcseconds per pixel."""
        return math.degrees(self.pixel_um / 1000 / self.focal_mm) * 3600

    @property
    def fov(self) -> float:
        """Degrees of the longer side."""
        return self.scale * max(self.width, self.height) / 3600

    def with_fov(self, degrees: float) -> Telescope:
        """Return it with a focal length that gives the longer side `degrees`.

        The focal ratio stays, and with it the sky's light in a pixel; stars keep their width in pixels.
        """
        factor = self.fov / degrees
        zero_points = tuple(zero + 5 * math.log10(factor) for zero in self.zero_points)
        return replace(
            self,
            focal_mm=self.focal_mm * factor,
            aperture_mm=self.aperture_mm * factor,
            fwhm=self.fwhm / factor,
            zero_points=(zero_points[0], zero_points[1], zero_points[2]),
        )


_SEESTAR_S50 = Telescope(
    # Measured on raw frames of the telescope: photon transfer for gain and bias, Tycho-2 stars for the zero points.
    "seestar-s50", "Seestar S50", 1080, 1920, 2.9, 251.8, 50.0, "GRBG", (17.48, 17.68, 17.05), 1.2, 395.0, 0.0757,
    10.0, 6.2, (18.03, 17.91, 17.73), "seestar", 0.1, 6.0,
)  # fmt: skip
TELESCOPES = {
    telescope.name: telescope
    for telescope in (
        _SEESTAR_S50,
        replace(
            _SEESTAR_S50, name="seestar-s30", instrument="Seestar S30", focal_mm=150.0, aperture_mm=30.0, fwhm=10.0,
            zero_points=(16.37, 16.57, 15.94),
        ),
        Telescope(
            # From the maker's figures of the camera at gain 100 and the optics; not measured.
            "nina-asi533mc", "ZWO ASI533MC Pro", 3008, 3008, 3.76, 250.0, 51.0, "RGGB", (17.9, 18.2, 17.7), 1.5,
            280.0, 0.0625, 30.0, 6.0, (20.0, 20.5, 20.6), "nina", 0.01,
        ),
        Telescope(
            "nina-asi533mm", "ZWO ASI533MM Pro", 3008, 3008, 3.76, 250.0, 51.0, None, (18.9, 18.9, 18.9), 1.5,
            280.0, 0.0625, 30.0, 6.0, (20.5, 20.5, 20.5), "nina", 0.01,
        ),
    )
}  # fmt: skip


def find_telescope(name: str) -> Telescope:
    """Return a telescope by its name.

    Raises:
        UsageError: there is none; the message lists those that there are.
    """
    try:
        return TELESCOPES[name]
    except KeyError:
        raise UsageError(f"'{name}' is not a known telescope; known: {', '.join(TELESCOPES)}") from None
