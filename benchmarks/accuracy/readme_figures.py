"""Generate the tables of figures in README.md from the shipped bundles' manifests and the saved results.

``python -m galaxy_edge.benchmarks.accuracy.readme_figures`` updates README.md. A test
checks that README.md is up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...models.bundle import Bundle, shipped_bundle_path
from ...models.manifest import Manifest
from ...models.markdown import markdown_table
from .raw_results import raw_readme_lines

BEGIN, END = "<!-- figures: python -m galaxy_edge.benchmarks.accuracy.readme_figures -->\n", "<!-- /figures -->"
README = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).parents[2] / "training" / "results"
TEST = RESULTS / "telescopes-seed1.json"
"""Of the shipped classifier, by ``galaxy-edge study evaluate``."""
SETS = {
    "gz_frames": "Galaxy Zoo frames",
    "gz_off_centre": "the same, off-centre crops",
    "deepsky_frames": "deep-sky photographs",
    "composed": "composed scenes",
}


def figures() -> str:
    """Return the tables as Markdown."""
    detector = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect").manifest
    classifier = Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify").manifest
    raw = raw_readme_lines(RESULTS)
    return "\n".join([*_detector_lines(detector), "", *raw, *_classifier_lines(classifier), ""])


def _detector_lines(manifest: Manifest) -> list[str]:
    metrics = manifest.metrics
    columns = {"int8": "int8", "fp32": "float32", "centre_box": "constant centre box", "sep": "SEP"}
    lines = [
        f"Detector ({_network(manifest)}), on the {metrics['int8']['frames']} frames of the validation share, "
        "which was never trained on; mAP@0.5 (mAP@[.5:.95]):",
        "",
    ]
    sets = [name for name in metrics["int8"]["sets"] if "map50" in metrics["int8"]["sets"][name]]
    rows = []
    for data_set in sorted(sets, key=lambda name: list(SETS).index(name) if name in SETS else len(SETS)):
        cells = [_pair(metrics[column]["sets"][data_set]) for column in columns]
        count = metrics["int8"]["sets"][data_set]["frames"]
        rows.append([f"{SETS.get(data_set, data_set)} ({count})", *cells])
    rows.append(["all", *(_pair(metrics[column]) for column in columns)])
    lines += markdown_table(["frames", *columns.values()], rows)
    int8, threshold = metrics["int8"], manifest.detector_decode.score_threshold
    lines += [
        "",
        f"At the operating threshold ({threshold:.2f}), int8: precision {int8['precision']:.2f}, "
        f"recall {int8['recall']:.2f}, {int8['fp_per_frame']:.3f} false positives per frame without galaxies.",
    ]
    return lines


def _classifier_lines(manifest: Manifest) -> list[str]:
    test = json.loads(TEST.read_text(encoding="utf-8"))
    lines = [
        f"Classifier ({_network(manifest)}), on the {test['images']} images of the test part:",
        "",
    ]
    rows = []
    for variant, title in (("int8", "int8"), ("float", "float32")):
        row = test[variant]
        values = (row["accuracy"], row["macro_f1"], row["coarse_accuracy"], row["ece"], row["ece_by_chance"])
        rows.append([title, *(f"{value:.3f}" for value in values)])
    titles = ["", "accuracy", "macro F1", "accuracy of 4 coarse groups", "calibration error", "the same by chance"]
    lines += markdown_table(titles, rows)
    recalls = ", ".join(f"{name} {value:.2f}" for name, value in test["int8"]["recall"].items())
    return [*lines, "", f"Recall by class, int8: {recalls}."]


def _network(manifest: Manifest) -> str:
    network = manifest.network
    size = f"{manifest.input.width}x{manifest.input.height}"
    return f"{size}, {network.parameters / 1e3:.0f} thousand parameters, {network.macs / 1e6:.1f} million MACs"


def _pair(metrics: dict[str, Any]) -> str:
    return f"{metrics['map50']:.2f} ({metrics['map']:.2f})"


def with_current_figures(text: str) -> str:
    """Return README's text with the tables between the markers replaced."""
    before, rest = text.split(BEGIN, 1)
    return before + BEGIN + figures() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(with_current_figures(README.read_text(encoding="utf-8")), encoding="utf-8")
