"""`galaxy-edge wheelhouse`: collect every wheel that a device needs."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import FILE, FOLDER, PROFILE


@click.command()
@click.option("--for", "profile", type=PROFILE, required=True, metavar="PROFILE", help="Device profile, or its file.")
@click.option("--out", type=FOLDER, required=True, help="Folder to write; a wheelhouse there is replaced.")
@click.option(
    "--python",
    type=click.Choice(["3.11", "3.12", "3.13"]),
    default="3.13",
    show_default=True,
    help="The device's Python: 3.11 on Debian 12 (bookworm), 3.12 on Ubuntu 24.04, 3.13 on Debian 13 (trixie).",
)
@click.option(
    "--extras", default="mqtt,notify,raw,serve,sign,sky", show_default=True, help="Extras to include; '' for none."
)
@click.option("--wheel", type=FILE, help="Wheel of galaxy-edge; default: made from this installation.")
@click.option("--find-links", type=FOLDER, help="Folder with wheels to choose from, instead of the package index.")
def wheelhouse(
    profile: str, out: Path, python: str, extras: str, wheel: Path | None, find_links: Path | None
) -> None:  # fmt: skip
    """Collect the wheels that a device needs for an installation without a network."""
    from ...devices.deploy.download import make_wheelhouse
    from ...devices.profile import load_profile

    names = tuple(name.strip() for name in extras.split(",") if name.strip())
    made = make_wheelhouse(load_profile(profile), python, out, names, wheel, find_links)
    size = sum(item.bytes for item in made.wheels)
    click.echo(f"{out}: {len(made.wheels)} wheels, {size / 1e6:.0f} MB, for {made.profile} ({made.platform})")
    click.echo(f"next: galaxy-edge deploy USER@HOST --wheelhouse {out}")
