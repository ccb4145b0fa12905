"""A simulated night: pointing, weather, and what the sensor records."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..tycho2 import Tycho2
from ..wcs import Wcs
from .light import Galaxy, Sensor, add_satellite, disk_scale_lengths, galaxy_stamp, star_stamp
from .sources import NewStar, SkyGalaxy, SkyStars, galaxies_of, new_star, stars_of
from .telescopes import Telescope


@dataclass(frozen=True)
class NightOptions:
    """What a night is like.

    Attributes:
        ra, dec: of the first frame's centre in degrees.
        frames: number of them; exposure: seconds; seed: of everything that is drawn.
        start: UTC of the first frame.
        angle: position angle of a frame's upper edge in degrees.
        drift: pixels an hour; rotation: degrees an hour; jitter: standard deviation of a frame's position in pixels.
        trail: pixels by which stars are trailed in a frame.
        clouds: maximum share of light that clouds take, 0 to 1.
        satellites: mean number of trails in a frame.
        new_star: magnitude of a star that appears, or None; new_star_from: first frame, from 0, that has it.
        sky: brightness in green in mag/arcsec2, or None for the telescope's usual sky.
    """

    ra: float
    dec: float
    frames: int
    exposure: float
    seed: int
    start: datetime.datetime
    angle: float = 0.0
    drift: float = 60.0
    rotation: float = 0.0
    jitter: float = 2.0
    trail: float = 2.0
    clouds: float = 0.0
    satellites: float = 0.0
    new_star: float | None = None
    new_star_from: int = 0
    sky: float | None = None


@dataclass(frozen=True, eq=False)
class TruthRow:
    """A source on a frame.

    Position in degrees and in pixels, edges at whole numbers; magnitude without clouds.
    """

    kind: str
    name: str
    ra: float
    dec: float
    x: float
    y: float
    magnitude: float


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """A frame and the truth about it.

    Attributes:
        number: from 0; mosaic: (H, W) uint16; wcs: the true one; time: UTC of its beginning.
        transparency: 0 to 1; pointing: degrees, as its header says.
        truth: its sources.
    """

    number: int
    mosaic: np.ndarray
    wcs: Wcs
    time: datetime.datetime
    transparency: float
    pointing: tuple[float, float]
    truth: list[TruthRow]


class Night:
    """Frames of a field, the same for the same options.

    Args:
        telescope: that takes them.
        options: of the night.
        catalogue: of stars.

    Raises:
        MissingExtra: PyOngc is not installed.
    """

    def __init__(self, telescope: Telescope, options: NightOptions, catalogue: Tycho2) -> None:
        self.telescope, self.options = telescope, options
        self._sensor = Sensor.of(telescope.width, telescope.height, telescope.pattern)
        first = self._pointings[0]
        radius = first.radius * 1.05 + options.frames * self._seconds / 3600 * options.drift * telescope.scale / 3600
        self.stars: SkyStars = stars_of(catalogue, options.ra, options.dec, radius, self._faintest, options.seed)
        self.galaxies: list[SkyGalaxy] = galaxies_of(options.ra, options.dec, radius)
        self.new_star: NewStar | None = None
        if options.new_star is not None:
            inside = [galaxy for galaxy in self.galaxies if _is_inside(first, galaxy.entry.ra, galaxy.entry.dec)]
            self.new_star = new_star(
                inside, (options.ra, options.dec), options.new_star, options.new_star_from, options.seed
            )

    @property
    def _seconds(self) -> float:
        """Seconds between the beginnings of frames: exposure and readout."""
        return self.options.exposure + 1.5

    @property
    def _faintest(self) -> float:
        """Magnitude of a star of 1 sigma in a stack of four frames."""
        sky = self._sky_electrons[1] + self.telescope.read_noise**2
        pixels = max(4.0, 2.0 * (self.telescope.fwhm / self.telescope.scale) ** 2)
        noise = math.sqrt(sky * pixels / 4) / self.options.exposure
        return min(20.0, self.telescope.zero_points[1] - 2.5 * math.log10(noise))

    @cached_property
    def _sky_electrons(self) -> np.ndarray:
        """Electrons of the sky in a pixel of each colour: (3,)."""
        sky, shift = self.telescope.sky, 0.0
        if self.options.sky is not None:
            shift = self.options.sky - sky[1]
        area = self.telescope.scale**2
        flux = [10 ** (-0.4 * (s + shift - zero)) for s, zero in zip(sky, self.telescope.zero_points, strict=True)]
        return np.array(flux) * area * self.options.exposure

    @cached_property
    def _pointings(self) -> list[Wcs]:
        """The true WCS of each frame."""
        options, telescope = self.options, self.telescope
        rng = np.random.default_rng([options.seed, 3])
        heading = rng.uniform(0, 2 * math.pi)
        result = []
        for number in range(options.frames):
            hours = number * self._seconds / 3600
            turn = math.radians(options.angle + options.rotation * hours)
            step = telescope.scale / 3600
            # Columns: what a step right and a step down are in degrees east and north.
            cosine, sine = math.cos(turn), math.sin(turn)
            cd = step * np.array([[-cosine, -sine], [sine, -cosine]])
            shift = options.drift * hours * np.array([math.cos(heading), math.sin(heading)])
            x, y = np.array([telescope.width, telescope.height]) / 2 + shift + rng.normal(0, options.jitter, 2)
            result.append(Wcs((options.ra % 360, options.dec), (x, y), cd, telescope.width, telescope.height))
        return result

    @cached_property
    def _weather(self) -> np.ndarray:
        """Transparency of each frame: (frames,) 0 to 1.

        Clouds pass in about 20 frames.
        """
        rng = np.random.default_rng([self.options.seed, 4])
        time = np.arange(self.options.frames) / 20
        phases = rng.uniform(0, 2 * math.pi, 4)
        waves = np.zeros(len(time))
        for rate, phase in zip((1, 0.37, 2.3, 4.1), phases, strict=True):
            waves += np.sin(2 * math.pi * time * rate + phase)
        return np.asarray(1 - self.options.clouds * np.clip(waves / 4 + 0.5, 0, 1))

    def frames(self) -> Iterator[SimulatedFrame]:
        """Yield the frames in order of time."""
        rng = np.random.default_rng([self.options.seed, 5])
        off = self.telescope.pointing_error * rng.normal(0, 0.7, 2)
        for number, wcs in enumerate(self._pointings):
            time = self.options.start + datetime.timedelta(seconds=self._seconds * number)
            truth: list[TruthRow] = []
            transparency = float(self._weather[number])
            light = self._light(number, wcs, transparency, truth)
            dec = max(-90.0, min(90.0, self.options.dec + off[1]))
            ra = (self.options.ra + off[0] / max(math.cos(math.radians(dec)), 0.01)) % 360
            mosaic = self._record(light, number)
            yield SimulatedFrame(number, mosaic, wcs, time, transparency, (ra, dec), truth)

    def _light(self, number: int, wcs: Wcs, transparency: float, truth: list[TruthRow]) -> np.ndarray:
        """Return a frame's electrons (H, W) without noise.

        Its sources are added to `truth`.
        """
        telescope, options = self.telescope, self.options
        rng = np.random.default_rng([options.seed, 6, number])
        light: np.ndarray = np.zeros((telescope.height, telescope.width), np.float32)
        zero = np.array(telescope.zero_points)
        fwhm = telescope.fwhm / telescope.scale * rng.normal(1.0, 0.04)
        heading = rng.uniform(0, 2 * math.pi)
        trail = (options.trail * math.cos(heading), options.trail * math.sin(heading))
        gain = options.exposure * transparency
        sources = self._point_sources(number)
        xy = wcs.to_pixels(np.stack([sources.ra, sources.dec], axis=1))
        reach = 40
        inside = np.all((xy > -reach) & (xy < [telescope.width + reach, telescope.height + reach]), axis=1)
        for index in np.flatnonzero(inside):
            tint = np.array([0.4, 0.0, -0.6]) * sources.colour[index]
            electrons = 10 ** (0.4 * (zero - sources.magnitude[index] - tint)) * gain
            radius = _stamp_radius(float(electrons.max()), float(self._sky_electrons.min()), fwhm)
            x, y = float(xy[index, 0]), float(xy[index, 1])
            self._sensor.add(light, *star_stamp(x, y, fwhm, trail, radius), electrons)
            if 0 <= x < telescope.width and 0 <= y < telescope.height:
                kind, name = self._point_kind(int(index), bool(sources.drawn[index]))
                truth.append(
                    TruthRow(
                        kind,
                        name,
                        float(sources.ra[index]),
                        float(sources.dec[index]),
                        x,
                        y,
                        float(sources.magnitude[index]),
                    )
                )
        for galaxy in self.galaxies:
            self._add_galaxy(light, galaxy, wcs, fwhm, gain, zero, truth)
        for _ in range(int(rng.poisson(options.satellites))):
            self._add_satellite(light, rng, fwhm, truth)
        light += self._sky_electrons.astype(np.float32)[self._sensor.channel]
        return light

    def _point_sources(self, number: int) -> SkyStars:
        """Return the stars of a frame, the new one last if it has appeared."""
        stars, new = self.stars, self.new_star
        if new is None or number < new.first_frame:
            return stars
        return SkyStars(
            np.append(stars.ra, new.ra), np.append(stars.dec, new.dec), np.append(stars.magnitude, new.magnitude),
            np.append(stars.colour, 0.0), np.append(stars.drawn, False),
        )  # fmt: skip

    def _point_kind(self, index: int, drawn: bool) -> tuple[str, str]:
        if index == len(self.stars.ra):
            return "new star", ""
        return ("drawn star", "") if drawn else ("star", "")

    # Many parameters because these are the optics and the weather of one frame.
    def _add_galaxy(
        self, light: np.ndarray, galaxy: SkyGalaxy, wcs: Wcs, fwhm: float, gain: float, zero: np.ndarray,
        truth: list[TruthRow],
    ) -> None:  # fmt: skip
        entry = galaxy.entry
        north = min(entry.dec + 0.001, 89.9999)
        (x, y), (nx, ny) = wcs.to_pixels(np.array([[entry.ra, entry.dec], [entry.ra, north]]))
        if not (math.isfinite(x) and math.isfinite(y)):
            return
        ratio = galaxy.minor / galaxy.major
        # The frame is not mirrored: east is counter-clockwise of north, as it is seen with the first row at the top.
        angle = math.degrees(math.atan2(ny - y, nx - x)) - galaxy.angle
        scale_lengths = disk_scale_lengths(galaxy.magnitude, galaxy.major, ratio)
        shape = Galaxy(x, y, galaxy.major / 2 / wcs.scale, ratio, angle, scale_lengths, galaxy.bulge)
        stamp, x0, y0 = galaxy_stamp(shape, fwhm, self.telescope.width, self.telescope.height)
        if stamp.size:
            self._sensor.add(light, stamp, x0, y0, 10 ** (0.4 * (zero - galaxy.magnitude)) * gain)
        if 0 <= x < self.telescope.width and 0 <= y < self.telescope.height:
            truth.append(TruthRow("galaxy", entry.name, entry.ra, entry.dec, x, y, galaxy.magnitude))

    def _add_satellite(self, light: np.ndarray, rng: np.random.Generator, fwhm: float, truth: list[TruthRow]) -> None:
        """Add a trail across the whole frame.

        Its row of the truth has the middle of the trail and no magnitude.
        """
        width, height = self.telescope.width, self.telescope.height
        centre = rng.uniform(0.2, 0.8, 2) * [width, height]
        angle = rng.uniform(0, math.pi)
        step = math.hypot(width, height) * np.array([math.cos(angle), math.sin(angle)])
        add_satellite(light, np.stack([centre - step, centre + step]), fwhm, float(rng.uniform(30, 400)))
        truth.append(TruthRow("satellite", "", math.nan, math.nan, float(centre[0]), float(centre[1]), math.nan))

    def _record(self, light: np.ndarray, number: int) -> np.ndarray:
        """Return what the camera writes of electrons (H, W): uint16."""
        rng = np.random.default_rng([self.options.seed, 7, number])
        electrons = rng.poisson(light).astype(np.float32)
        electrons += np.float32(self.telescope.read_noise) * rng.standard_normal(light.shape, np.float32)
        units = electrons / np.float32(self.telescope.gain) + np.float32(self.telescope.bias)
        return np.clip(np.round(units), 0, 65535).astype(np.uint16)


def _stamp_radius(electrons: float, sky: float, fwhm: float) -> int:
    """Return the radius in pixels at which a star's wings are below the noise."""
    for radius in (6, 12, 20, 32, 50, 80):
        wing = electrons * (fwhm / radius) ** 7 / fwhm**2
        if radius > 2.5 * fwhm and wing < 0.1 * math.sqrt(sky + 1):
            return radius
    return 120


def _is_inside(wcs: Wcs, ra: float, dec: float) -> bool:
    x, y = wcs.to_pixels(np.array([[ra, dec]]))[0]
    return bool(0 <= x < wcs.width and 0 <= y < wcs.height)
