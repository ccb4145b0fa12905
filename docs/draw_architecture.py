"""Draw the rooms and their imports as docs/architecture.svg.

The drawing is made from the source code.

``python docs/draw_architecture.py`` writes the file; a test fails where the drawing is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.imports import FLOORS, SUB_FLOORS, imported, modules  # noqa: E402

DRAWING = ROOT / "docs" / "architecture.svg"
WIDTH, LEFT, ROW, GAP = 1000, 20, 26, 30
COLOURS = ("#3b6ea5", "#a5573b", "#4f8a4c", "#8a4c86", "#a08a2d", "#2d8f8f", "#5a6b7b")
STYLE = (
    "text{font:14px sans-serif;fill:#1b2733}.room{font-weight:bold}"
    "rect{fill:#f4f7fa;stroke:#8fa3b5}.inner{fill:#ffffff}path{fill:none}"
)


def draw() -> str:
    """Return the drawing as SVG.

    It has a box for each room, top floor first, sub-rooms inside, and arrows for imports.
    """
    known = modules()
    arrows = {
        (module.split(".")[0], target.split(".")[0])
        for module, path in known.items()
        for target in imported(module, path, known)
    }
    rooms = [name for floor in reversed(FLOORS) for name in floor]
    body: list[str] = []
    bottoms: dict[str, tuple[int, int]] = {}
    y = GAP
    for room in rooms:
        lines = _inside(room, set(known))
        height = 34 + ROW * len(lines)
        body.append(f'<rect x="{LEFT}" y="{y}" width="{WIDTH - 300}" height="{height}" rx="6"/>')
        body.append(f'<text class="room" x="{LEFT + 12}" y="{y + 22}">{room}</text>')
        for number, names in enumerate(lines):
            _boxes(body, names, y + 34 + ROW * number)
        bottoms[room] = (y, y + height)
        y += height + GAP
    for lane, source in enumerate(rooms):  # one vertical line per room; errors.py is left out, as every room imports it
        targets = [bottoms[name] for name in rooms if (source, name) in arrows and name not in (source, "errors")]
        _arrows(body, bottoms[source][1] - 10, [top + 8 + 4 * lane for top, _ in targets], lane)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
    marker = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" style="fill:#8fa3b5"/></marker></defs>'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", marker, *body, "</svg>", ""])


def _inside(room: str, known: set[str]) -> list[tuple[str, ...]]:
    """Return the sub-rooms of a room, a tuple for each floor, top floor first."""
    if room in SUB_FLOORS:
        return list(reversed(SUB_FLOORS[room]))
    parts = sorted({name.split(".")[1] for name in known if name.startswith(f"{room}.") and name.count(".") > 1})
    return [tuple(parts)] if parts else []


def _boxes(body: list[str], names: tuple[str, ...], y: int) -> None:
    x = LEFT + 120
    for name in names:
        width = 24 + 8 * len(name)
        body.append(f'<rect class="inner" x="{x}" y="{y}" width="{width}" height="{ROW - 5}" rx="4"/>')
        body.append(f'<text x="{x + 12}" y="{y + 15}">{escape(name)}</text>')
        x += width + 8


def _arrows(body: list[str], start: int, ends: list[int], lane: int) -> None:
    right, colour = LEFT + WIDTH - 300, COLOURS[lane % len(COLOURS)]
    bend = right + 40 + 28 * lane
    if ends:
        body.append(f'<path d="M{right} {start} H{bend} V{max(ends)}" style="stroke:{colour}"/>')
    for end in ends:
        body.append(f'<path d="M{bend} {end} H{right + 2}" style="stroke:{colour}" marker-end="url(#arrow)"/>')


if __name__ == "__main__":
    DRAWING.write_text(draw(), encoding="utf-8")
    print(f"written to {DRAWING.relative_to(ROOT)}")
