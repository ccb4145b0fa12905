"""docs/glossary.md has the classes of the package, as they were measured."""

import runpy

import cv2
import pytest
from galaxy_edge.models.labels import CLASSES, GALAXY10
from galaxy_edge.models.naming import PLAIN_NAMES
from helpers.paths import ROOT

FOLDER = ROOT / "docs" / "glossary"
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GALAXY10)
def test_every_class_has_a_name_and_a_small_drawing(name):
    assert f"**{PLAIN_NAMES[name]}**<br>`{name}`" in TEXT
    path = FOLDER / f"{name}.webp"
    assert cv2.imread(str(path)).shape == (128, 128, 3) and path.stat().st_size < 10_000


def test_no_drawing_is_of_another_class():
    assert {path.stem for path in FOLDER.iterdir()} == set(GALAXY10) and len(CLASSES) == 9


def test_the_page_is_up_to_date():
    """Its confusions are those of the saved results, and its types those of OpenNGC."""
    pytest.importorskip("pyongc", reason="the types of the examples are in PyOngc (extra sky)")
    page = runpy.run_path(str(ROOT / "docs" / "draw_glossary.py"))["page"]()
    assert page == TEXT, "run python docs/draw_glossary.py"
