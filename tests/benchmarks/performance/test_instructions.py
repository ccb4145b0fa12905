"""Saved instruction counts of detectors; the documents state them."""

import json

import pytest
from helpers.paths import ROOT

REFERENCE = ROOT / "benchmarks" / "reference"
STOCK = "ssd-mobilenet-v2-fpnlite-320"


@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_the_ratio_to_the_stock_detector_is_of_the_saved_counts(cpu):
    counts = json.loads((REFERENCE / "instructions-detectors.json").read_text())[cpu]
    shipped = json.loads((REFERENCE / "instructions.json").read_text())[cpu]
    assert counts["galaxy-detector"] == pytest.approx(shipped["galaxy-detector"], rel=0.001)
    text = " ".join((ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8").split())
    ratio = counts[STOCK] / counts["galaxy-detector"]
    stated = (
        f"{ratio:.1f} times as many as ours on a Cortex-A72" if "72" in cpu else f"{ratio:.1f} times as many on an A76"
    )
    assert stated in text
