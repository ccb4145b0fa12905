"""Put random markup, control characters and formulas into names.

The names are printed, logged and exported.
"""

from __future__ import annotations

import csv
import io
import json
import random
import unicodedata
from pathlib import Path

from rich.table import Table

from .....runtime.monitoring.console import PlainConsole
from .....runtime.system.address import printable_name
from .....runtime.system.output_text import csv_cell, json_line
from ...attack import Attack, Outcome

PIECES = (
    "[/]", "[/bold]", "[red]", "[link=https://example.org]", "[@click=x]", ":boom:", "\\[", "\x1b[2J",
    "\x1b]8;;https://x\x07", "\u2028", "\u2029", "\x85", "\r", "\n", "\u202e", "\u2066", "\u200f", "\ufeff", "\x00",
    "\udc80", "=1+1", "@x", "+1", "-1", "\t=1", "<script>", "a", "m31", " ", "\u00e9", "\u4e2d", "\u05d0",
)  # fmt: skip
HIDDEN = ("Cc", "Cf", "Zl", "Zp", "Cs")


def run(count: int, folder: Path) -> Outcome:
    """Print `count` names in a table, as a line of JSON, and in a cell of CSV."""
    numbers = random.Random(19)
    failures = {"print": 0, "json": 0, "csv": 0}
    for _ in range(count):
        name = "".join(numbers.choices(PIECES, k=numbers.randint(1, 5)))
        failures["print"] += not _prints(name)
        line = json_line(name)
        failures["json"] += json.loads(line) != name or any(unicodedata.category(sign) in HIDDEN for sign in line)
        stream = io.StringIO(newline="")
        csv.writer(stream).writerow([csv_cell(printable_name(name))])
        (cell,) = next(csv.reader(io.StringIO(stream.getvalue(), newline="")))
        failures["csv"] += cell.lstrip()[:1] in set("=+-@") or not cell.endswith(printable_name(name))
    return Outcome({"names": count, **failures}, not any(failures.values()))


def _prints(name: str) -> bool:
    """Return whether a name is printed in a table unchanged and complete."""
    console = PlainConsole(width=500)
    console.file = stream = io.StringIO()
    table = Table("name", title=name)
    table.add_row(name)
    console.print(table)
    shown = stream.getvalue()
    return not any(unicodedata.category(sign) in HIDDEN for sign in shown.replace("\n", ""))


ATTACK = Attack(
    promise="Names are always shown as text, never as markup, links, line breaks, reversed text or formulas.",
    method="{count} names of rich's markup, escape sequences, line separators, bidi controls and formulas",
    run=run,
    count=5_000,
    small_count=200,
)
