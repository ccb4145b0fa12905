"""`galaxy-edge data noise-model`: measure a camera's noise from its own exposures."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError, UserError
from .options import PATH

if TYPE_CHECKING:
    import numpy as np

MAX_FRAMES = 20
"""Frames that are measured; more say little that these do not."""
ROWS = {
    "sky": "sky level, in the frames' units",
    "noise": "noise of a pixel, in the frames' units",
    "read_limit": "sky over noise",
    "temporal": "share of the noise that differs between frames",
    "pattern": "share of the noise that is the same in all frames",
    "rows": "banding of rows, in units of the noise",
    "columns": "banding of columns, in units of the noise",
    "neighbours": "correlation of neighbouring pixels",
    "hot": "hot pixels a million",
    "saturation": "highest level",
}
"""Values of a noise model and what they are."""


@click.command("noise-model")
@click.argument("frames", type=PATH)
@click.option("--out", type=PATH, metavar="FILE", help="Save the result as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def noise_model(frames: Path, out: Path | None, as_json: bool) -> None:
    """Measure a camera's noise from raw exposures: a FITS file, or a folder or zip of them, in order of time.

    The first 20 exposures are used; all must be of one camera and setting, best of one night and one pointing.
    """
    from ..training.scenes.noise_model import measure_noise

    if not frames.exists():
        raise UsageError(f"'{frames}' does not exist: give a raw exposure, or a folder or zip of them")
    names, values, pattern = _read(frames)
    result = {"bayer": pattern, "files": names, **measure_noise(values, pattern).plain()}
    if out:
        try:
            out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {out} cannot be written: {error.strerror}") from None
        click.echo(f"written to {out}", err=True)
    click.echo(json.dumps(result) if as_json else _table(result))


def _read(path: Path) -> tuple[list[str], list[np.ndarray], str | None]:
    """Return names and raw values of the exposures, and their Bayer pattern.

    Raises:
        UsageError: a file is not a raw exposure, or one is of another size or pattern than the first.
    """
    from ..runtime.sources.open_source import open_source

    names, values, pattern = [], [], None
    for frame in islice(open_source(str(path), sequence=True), MAX_FRAMES):
        if frame.raw is None:
            raise UsageError(f"{frame.source} is an image of 8 bits; a noise model needs raw exposures, e.g. FITS")
        if values and (frame.raw.shape, frame.cfa) != (values[0].shape, pattern):
            raise UsageError(
                f"{frame.source} is of another camera or setting than {names[0]}: its size or Bayer pattern differs; "
                "measure each camera by itself"
            )
        names.append(frame.source)
        values.append(frame.raw)
        pattern = frame.cfa
    return names, values, pattern


def _table(result: dict[str, Any]) -> str:
    lines = [f"{result['frames']} frames, {result['bayer'] or 'no Bayer pattern'}"]
    if result["channels"] == 3:
        lines.append("values for red, green, blue where there are three")
    width = max(map(len, ROWS.values()))
    for key, title in ROWS.items():
        value = result[key]
        parts = value if isinstance(value, list) else [value]
        lines.append(f"{title:{width}}  {'  '.join(f'{part:g}' for part in parts)}")
    return "\n".join(lines)
