"""Stars in the frames of the measurement of `watch_new`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...sky.differencing.difference import Image
from ...sky.differencing.reference import mean_image
from ...sky.photometry import measure_depth
from ...sky.simulation.light import star_stamp
from ...sky.tycho2 import open_tycho2
from ...sky.wcs import Wcs

GROUP = 3
"""Number of stacks that follow each other, as many as make a candidate."""
WithStars = Callable[[np.ndarray, float], Image]
"""Makes a stack with stars at (N, 2) degrees of a magnitude."""


# Many parameters because these are the optics of a star.
def add_stars(
    light: np.ndarray, wcs: Wcs, radec: np.ndarray, flux: float, fwhm: float, rng: np.random.Generator | None,
    unit: float,
) -> None:  # fmt: skip
    """Add stars to an image in place; with photon noise if there is a generator."""
    height, width = light.shape
    for x, y in wcs.to_pixels(radec).tolist() if len(radec) else []:
        stamp, x0, y0 = star_stamp(x, y, fwhm, (0.0, 0.0), 9)
        if x0 >= 0 and y0 >= 0 and x0 + 19 <= width and y0 + 19 <= height:
            added: np.ndarray = stamp * np.float32(flux)
            if rng is not None:  # `unit` is about what one electron is, times the exposure
                added = added + np.sqrt(np.maximum(added, 0) / 4).astype(np.float32) * rng.standard_normal((19, 19))
            light[y0 : y0 + 19, x0 : x0 + 19] += added


class RealFrames:
    """Real frames, of which random ones are a reference and others are watched."""

    def __init__(self, images: Sequence[Image], seed: int) -> None:
        self._images = images
        self._rng = np.random.default_rng(seed)
        depths = [measure_depth(image.light, image.wcs, open_tycho2()) for image in images]
        self._zeros = [depth.zero_point for depth in depths]
        self._widths = [max(depth.fwhm / image.wcs.scale, 1.8) for depth, image in zip(depths, images, strict=True)]

    def splits(self, count: int, old: int, depth: int) -> Iterator[tuple[Image, list[list[int]]]]:
        """Yield references of `old` frames, and the frames of `GROUP` stacks."""
        for _ in range(count):
            order = self._rng.permutation(len(self._images)).tolist()
            rest = order[old:]
            groups = [sorted(rest[depth * number : depth * (number + 1)]) for number in range(GROUP)]
            yield mean_image([self._images[index] for index in sorted(order[:old])]), groups

    def maker(self, indices: Sequence[int]) -> WithStars:
        """Return what makes a stack of these frames."""

        def make(radec: np.ndarray, magnitude: float) -> Image:
            images = []
            for index in indices:
                image = self._images[index]
                light = image.light.copy()
                flux = 10 ** (-0.4 * (magnitude - self._zeros[index]))
                add_stars(light, image.wcs, radec, flux, self._widths[index], None, 1.0)
                images.append(Image(light, image.wcs))
            return mean_image(images)

        return make


def solved_images(path: Path) -> list[Image]:
    """Return the images of a zip of raw FITS files: their green superpixels, solved."""
    import zipfile

    from ...models.images.decoder import decode_image
    from ...sky.hints import Hints, hints_from
    from ...sky.solve import make_field, solve

    images = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            image = decode_image(archive.read(name), name)
            assert image.raw is not None and image.planes is not None
            height, width = image.raw.shape[:2]
            field = make_field(image.planes, width, height, image.binning)
            wcs = solve(field, hints_from(image.header, Hints()), 60.0).wcs.binned(image.binning)
            images.append(Image(image.planes[len(image.planes) // 2].astype(np.float32), wcs))
    return images
