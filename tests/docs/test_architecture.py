"""docs/architecture.md.

Its drawing is that of the code, and what it names exists.
"""

import re
import subprocess
import sys

from helpers.imports import FLOORS, SUB_FLOORS
from helpers.paths import ROOT

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_drawing_is_up_to_date(tmp_path):
    """The drawing is made from the imports; a new room or arrow makes it out of date."""
    script = "import runpy, sys; print(runpy.run_path(sys.argv[1])['draw'](), end='')"
    command = [sys.executable, "-c", script, str(ROOT / "docs" / "draw_architecture.py")]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kept = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == kept, "run python docs/draw_architecture.py"


def test_every_room_is_described():
    for room in [name for floor in FLOORS for name in floor] + [n for f in SUB_FLOORS.values() for x in f for n in x]:
        assert f"`{room}" in TEXT or f"`{room}.py`" in TEXT, room


def test_paths_that_it_names_exist():
    for path in re.findall(r"`((?:cli|models|devices|runtime|training|export|benchmarks|docs|tests)/[\w/.]+)`", TEXT):
        assert (ROOT / path.rstrip("/")).exists(), path
