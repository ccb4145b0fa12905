"""What may be new near galaxies, for a person to check."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from ..events.candidates import CandidateRow
from .markup import section, text

MAX_CARDS = 20
MAX_IMAGE_BYTES = 1 << 20
_NOTE = (
    "To be checked by a person: most are minor planets, variable stars or errors of the comparison. "
    "The report of each lists the checks."
)


def candidates_section(folder: Path, rows: Sequence[CandidateRow], is_served: bool = False) -> str:
    """Return cards of candidates; "" if there are none.

    Args:
        folder: the output folder.
        rows: of the night.
        is_served: whether the page is served, whose policy allows no images in it: they are left out.
    """
    cards = "".join(_card(folder, row, is_served) for row in rows[:MAX_CARDS])
    more = f"<p>{len(rows) - MAX_CARDS} more: galaxy-edge events candidates.</p>" if len(rows) > MAX_CARDS else ""
    return section("Candidates", f'<p>{_NOTE}</p><div class="cards">{cards}</div>{more}' if cards else "", "candidates")


def _card(folder: Path, row: CandidateRow, is_served: bool) -> str:
    images = "" if is_served else "".join(_image(folder, row, name) for name in ("reference", "new", "difference"))
    lines = [
        f"near {row.galaxy}, magnitude {row.magnitude:.1f} ± {row.magnitude_error:.1f}",
        f"{row.ra:.4f} {row.dec:+.4f}, ± {row.position_error:.1f} arcsec",
        f"{row.offset_east:+.0f} arcsec east, {row.offset_north:+.0f} arcsec north of the nucleus",
        f"in {row.sightings} of {row.stacks} stacks, up to {row.signal:.0f} sigma",
    ]
    if row.recovered is not None:
        lines.append(f"{row.recovered:.0%} of artificial stars of this magnitude are found")
    shown = "".join(f"<p>{text(line)}</p>" for line in lines)
    return f'<article>{images}<h3>{text(row.galaxy)}</h3>{shown}<p class="id">{text(row.id)}</p></article>'


def _image(folder: Path, row: CandidateRow, name: str) -> str:
    path = folder / "candidates" / Path(row.folder).name / f"{name}.png"
    try:
        if path.is_symlink() or path.stat().st_size > MAX_IMAGE_BYTES:
            return ""
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    return f'<img src="data:image/png;base64,{content}" alt="{text(name)}" title="{text(name)}">'
