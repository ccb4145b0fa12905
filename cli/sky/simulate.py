"""`galaxy-edge simulate`: a night of raw frames with known truth."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path
from typing import Any

import click

from ...sky.simulation.telescopes import TELESCOPES
from ..options import COUNT, FOLDER, Number

logger = logging.getLogger(__name__)


@click.command()
@click.option("--target", help="Name of a catalogued object to point at, e.g. 'M 94'.")
@click.option("--ra", type=Number(0, 360, max_open=True), help="Right ascension of the field's centre in degrees.")
@click.option("--dec", type=Number(-90, 90), help="Declination of the field's centre in degrees.")
@click.option("--frames", type=COUNT, default=10, show_default=True, help="Number of frames.")
@click.option(
    "--telescope", type=click.Choice(list(TELESCOPES)), default="seestar-s50", show_default=True,
    help="Telescope and camera.",
)  # fmt: skip
@click.option("--fov", type=Number(0.2, 20), help="Degrees of a frame's longer side; default: the telescope's.")
@click.option("--exposure", type=Number(0.01, 3600), help="Seconds a frame is exposed; default: the telescope's.")
@click.option(
    "--angle", type=Number(-180, 180), default=0.0, show_default=True, help="Position angle of the upper edge."
)
@click.option("--drift", type=Number(0), default=60.0, show_default=True, help="Drift in pixels per hour.")
@click.option("--rotation", type=Number(-360, 360), help="Field rotation in degrees per hour; default: the mount's.")
@click.option("--sky", type=Number(10, 23), help="Brightness of the sky in mag/arcsec2; default: a usual one.")
@click.option("--clouds", type=Number(0, 1), default=0.0, show_default=True, help="Maximum share of light they take.")
@click.option(
    "--satellites", type=Number(0, 20), default=0.0, show_default=True, help="Mean number of trails per frame."
)
@click.option("--new-star", type=Number(0, 20), help="Magnitude of a star that appears in the largest galaxy.")
@click.option(
    "--new-star-from", type=click.IntRange(0), default=0, show_default=True, help="Frame it appears in, from 0."
)
@click.option("--wcs", is_flag=True, help="Write the true WCS into the headers.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--out", type=FOLDER, default=Path("simulated-night"), show_default=True, help="Folder of the frames.")
# Many parameters because each is an option.
def simulate(
    target: str | None, ra: float | None, dec: float | None, telescope: str, fov: float | None,
    exposure: float | None, rotation: float | None, wcs: bool, out: Path, **options: Any,
) -> None:  # fmt: skip
    """Simulate a night: raw FITS frames of real stars and galaxies.

    Stars are those of Tycho-2, galaxies those of OpenNGC; stars fainter than the catalogue are drawn. The folder also
    gets truth.ecsv, the sources of each frame, and frames.ecsv, where each frame points.

    \b
    galaxy-edge simulate --target 'M 94' --frames 40 --out night
    """
    from ...errors import require_extra
    from ...sky.simulation.night import Night, NightOptions
    from ...sky.simulation.telescopes import find_telescope
    from ...sky.simulation.writing import FRAMES, TRUTH, write_night
    from ...sky.tycho2 import open_tycho2

    for module in ("astropy", "pyongc"):
        require_extra(module, "sky")
    profile = find_telescope(telescope)
    profile = profile.with_fov(fov) if fov else profile
    name, ra, dec = _position(target, ra, dec)
    settings = NightOptions(
        ra=ra, dec=dec, exposure=exposure or profile.exposure,
        rotation=profile.rotation if rotation is None else rotation,
        start=datetime.datetime(2026, 3, 20, 21, 0, tzinfo=datetime.UTC), **options,
    )  # fmt: skip
    night = Night(profile, settings, open_tycho2())
    catalogued = int((~night.stars.drawn).sum())
    logger.info(
        "%s: %.2f x %.2f degrees, %.2f arcsec/px, %d stars of Tycho-2, %d galaxies of OpenNGC",
        profile.name, profile.scale * profile.width / 3600, profile.scale * profile.height / 3600, profile.scale,
        catalogued, len(night.galaxies),
    )  # fmt: skip
    if new := night.new_star:
        host = f"in {new.host}" if new.host else "without a galaxy"
        logger.info("new star at RA %.5f, Dec %.5f, %s, from frame %d", new.ra, new.dec, host, new.first_frame)
    written = sum(1 for _ in write_night(night, out, name, wcs))
    click.echo(f"{written} frames, {TRUTH} and {FRAMES} in {out}")


def _position(target: str | None, ra: float | None, dec: float | None) -> tuple[str, float, float]:
    """Return name, right ascension and declination of the field.

    Raises:
        UsageError: neither a position nor the name of a known object is given.
    """
    from ...errors import UsageError

    if target is None:
        if ra is None or dec is None:
            raise UsageError("give the field: --ra and --dec in degrees, or --target 'M 94'")
        return f"RA{ra:.2f}DEC{dec:+.2f}", ra, dec
    if ra is not None or dec is not None:
        raise UsageError("give either --target or --ra and --dec, not both")
    from ...sky.catalogue.combined import open_catalogue

    found = open_catalogue().find(target)
    if found is None:
        raise UsageError(f"'{target}' is not in the catalogue: give e.g. 'M 94' or 'NGC 4736', or --ra and --dec")
    return found.name, found.ra, found.dec
