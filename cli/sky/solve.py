"""`galaxy-edge solve`: find where images are on the sky."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import FILE, FOLDER, Number
from ..service_options import HINT_OPTIONS, hints_of

if TYPE_CHECKING:
    from ...sky.solve_file import SolvedFile


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--out", type=FOLDER, help="Folder for NAME.solved.fits; default: next to each file.")
@click.option("--in-place", is_flag=True, help="Write the WCS into the FITS files themselves.")
@click.option("--no-write", is_flag=True, help="Write no file, print only.")
@click.option("--overwrite", is_flag=True, help="Replace NAME.solved.fits where it exists.")
@click.option(
    "--seconds", type=Number(1, 3600), default=120.0, show_default=True, metavar="SECONDS",
    help="Time limit for each file.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each file.")
def solve(files: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Find where images are on the sky, and write them as FITS with a WCS.

    Position and scale are taken from FITS headers; for other files, --scale makes it quicker and surer. Needs a plate
    solver: sudo apt install astrometry.net astrometry-data-tycho2

    Exit codes: 0 all files are solved, 1 some are not, 2 usage error.

    \b
    galaxy-edge solve m94.fit
    galaxy-edge solve photo.jpg --scale 2.4 --ra 12h50m53s --dec +41d07m13s
    """
    from ...errors import require_extra
    from ...runtime.system.address import printable_name
    from ...sky.solve_file import describe, solve_file
    from ...sky.solvers.table import check_solvers

    hints = hints_of(options)
    _check(files, options)
    require_extra("astropy", "sky")
    check_solvers()
    failed = 0
    for path in files:
        result = solve_file(path, hints, options["seconds"])
        if result.solution is not None and not options["no_write"]:
            result = _written(result, options)
        failed += bool(result.failed)
        if as_json:
            click.echo(json.dumps(result.to_dict()))
            continue
        if result.solution is not None:
            solution = result.solution
            click.echo(f"{printable_name(str(path))}: {describe(solution)}")
            stars = f"{solution.stars_matched} stars agree to {solution.residual_arcsec:.1f} arcsec"
            click.echo(f"  {stars}; {solution.solver}, {solution.seconds:.1f} s")
        if result.written:
            click.echo(f"  written to {printable_name(str(result.written))}")
        if result.failed:
            click.echo(f"{printable_name(str(path))}: not solved: {printable_name(result.failed)}", err=True)
    raise SystemExit(1 if failed else 0)


for _option in HINT_OPTIONS:
    solve = _option(solve)


def _check(files: tuple[Path, ...], options: dict[str, Any]) -> None:
    """Refuse options that exclude each other, and targets that exist."""
    from ...models.images.headers import FITS_SUFFIXES
    from ...sky.solve_file import solved_path

    if options["in_place"] and (options["out"] or options["no_write"]):
        raise click.UsageError("--in-place writes into the files themselves: leave out --out and --no-write")
    if options["in_place"]:
        others = [path for path in files if not path.name.lower().endswith(FITS_SUFFIXES)]
        if others:
            raise click.UsageError(f"--in-place is for FITS files, and {others[0]} is not one")
        return
    targets = [solved_path(path, options["out"]) for path in files]
    if len(set(targets)) < len(set(files)):
        raise click.UsageError("two files have the same name: solve them one after another, with different --out")
    existing = [target for target in targets if target.exists()]
    if existing and not (options["overwrite"] or options["no_write"]):
        raise click.UsageError(f"{existing[0]} exists: give --overwrite, or another --out")


def _written(result: SolvedFile, options: dict[str, Any]) -> SolvedFile:
    """Write the file of a result; an error of the disk becomes part of the result."""
    from ...sky.solve_file import solved_path, write_solved

    assert result.solution is not None
    target = result.path if options["in_place"] else solved_path(result.path, options["out"])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_solved(result.path, result.solution, target)
    except OSError as error:
        return replace(result, failed=f"solved, but {target} cannot be written: {error.strerror or error}")
    return replace(result, written=target)
