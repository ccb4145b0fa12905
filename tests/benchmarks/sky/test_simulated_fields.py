"""What is counted on simulated fields, and the page that shows it."""

import json
from pathlib import Path

from galaxy_edge.benchmarks.sky.simulated_fields import summarise, with_table

ROOT = Path(__file__).parents[3]


def field(**changes):
    """A field with one galaxy that was found and one that was not."""
    galaxies = [
        {"name": "M 94", "magnitude": 8.2, "size_arcsec": 600.0, "named": True},
        {"name": "NGC 1", "magnitude": 10.5, "size_arcsec": 90.0, "named": False},
        {"name": "NGC 2", "magnitude": 10.5, "size_arcsec": 20.0, "named": False},
    ]
    event = {"name": "M 94", "truth": ["M 94"], "distance": 3.0, "error": 2.0}
    detections = [{"name": "M 94", "truth": ["M 94"]}, {"name": "M 94", "truth": []}]
    return {
        "solved": 2,
        "frames": 3,
        "events": [event],
        "galaxies": galaxies,
        "detections": detections,
        "drawn": [],
    } | changes


def test_counts_of_fields():
    result = summarise([field(), field(events=[])])
    counts = {name.partition(":")[2] or name: (row["count"], row["total"]) for name, row in result.items()}
    assert counts["frames solved"] == (4, 6)
    assert counts[" named events that are this galaxy"] == (1, 1)
    assert counts[" detections of a galaxy with its name"] == (2, 2)
    assert counts[" detections of no galaxy without a name"] == (0, 2)
    assert counts[" galaxies to magnitude 10 with an event of their name"] == (2, 2)
    assert counts[" galaxies to magnitude 11 with an event of their name"] == (2, 4), "the smallest one does not count"
    assert counts[" named events within their stated error"] == (0, 1)
    assert counts[" named events within twice their stated error"] == (1, 1)


def test_a_wrong_name_is_impure():
    wrong = {"name": "M 51", "truth": ["M 94"], "distance": 3.0, "error": 2.0}
    row = summarise([field(events=[wrong])])["purity: named events that are this galaxy"]
    assert (row["count"], row["total"]) == (0, 1) and row["low"] == 0.0 and 0.7 < row["high"] < 0.9


def test_the_page_shows_the_result_file():
    page = (ROOT / "docs" / "sky-objects.md").read_text(encoding="utf-8")
    result = json.loads((ROOT / "benchmarks" / "reference" / "sky-fields.json").read_text(encoding="utf-8"))
    assert page == with_table(page, result), "run the command that the page names"
