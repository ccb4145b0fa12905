"""Generate the tables of figures in README.md and docs/benchmarks.md.

They come from the saved results of the shipped bundles.

``galaxy-edge study evaluate-detectors --again 'ours, shipped=models/shipped/galaxy-detector'`` measures a shipped
detector; before, the pages have the figures of its export. ``python -m galaxy_edge.benchmarks.accuracy.readme_figures``
updates both. A test checks that they are up to date.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...models.bundle import Bundle, shipped_bundle_path
from ...models.intervals import interval_text, wilson_interval
from ...models.manifest import Manifest
from ...models.markdown import markdown_table
from ...training.scenes.evaluation_scenes import SITUATIONS
from .detector_results import read_saved
from .raw_results import raw_readme_lines
from .records.classification import Scores, StudyResult
from .records.evaluation import BASELINES
from .records.saved import DetectorRow, SavedMetrics

BEGIN, END = "<!-- figures: python -m galaxy_edge.benchmarks.accuracy.readme_figures -->\n", "<!-- /figures -->"
SUMMARY = "<!-- summary: python -m galaxy_edge.benchmarks.accuracy.readme_figures -->\n", "<!-- /summary -->"
BENCHMARKS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
SUMMARY_ROWS = ("lco_messier", "deepsky_frames", "composed", "sdss_starfields", "gz_frames")
"""Situations of the short table: frames of amateurs' telescopes first."""
README = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).parents[2] / "training" / "results"
TEST = RESULTS / "telescopes-seed1.json"
"""Of the shipped classifier, by ``galaxy-edge study evaluate``."""
COMPARED = (
    "We chose between versions of the networks by these frames (a development set), so the figures may be slightly too "
    "good. LCO frames are of the telescopes of Las Cumbres Observatory; three quarters of their galaxies also occur, "
    "in other images, in the training photographs, and most of the others in EFIGI's training images. In Galaxy Zoo "
    "frames only the galaxy in the middle has a label: what is found on other objects does not count, right or wrong."
)
SEP = ("sep", "sep_tuned")
"""The baselines of the short table."""
KEYS = ("accuracy", "macro_f1", "coarse_accuracy")


def figures() -> str:
    """Return the tables as Markdown."""
    detector = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect")
    classifier = Bundle.load(shipped_bundle_path("galaxy-classifier"), "classify").manifest
    raw = raw_readme_lines(RESULTS)
    return "\n".join([*_detector_lines(detector), "", *raw, *_classifier_lines(classifier), ""])


def _detector_lines(bundle: Bundle) -> list[str]:
    saved = read_saved(RESULTS)
    row = next((row for row in saved.detectors if row.bundle == bundle.hash), None)
    if row is None:
        return _manifest_lines(bundle.manifest)
    names = [name for name in SITUATIONS if name in row.int8 and row.int8[name].boxes]
    columns = [*((row.variant(kind), title) for kind, title in (("int8", "int8"), ("fp32", "float32")))]
    columns += [(saved.baselines[key], title) for key, title in BASELINES.items()]
    lines = [
        f"Detector ({_network(bundle.manifest)}), on frames that were never trained on; mAP@0.5 with its 95 % "
        "interval, and mAP@[.5:.95]:",
        "",
    ]
    rows = []
    for name in names:
        counts = f"{SITUATIONS[name]} ({row.int8[name].frames} frames, {row.int8[name].boxes} galaxies)"
        rows.append([counts, *(_pair(values[name]) for values, _ in columns)])
    lines += markdown_table(["", *(title for _, title in columns)], rows)
    survey = saved.baselines["centre_box"]["gz_frames"]
    lines += [
        "",
        f"Galaxy Zoo frames are centred on their galaxies: the constant box finds {survey.recall:.0%} of them. All "
        "baselines but the first SEP are fitted on the training share; on LCO frames the box is fitted on the frames "
        f"themselves. {COMPARED}",
        "",
        f"At the operating threshold ({row.threshold:.2f}), int8. {_about_threshold(row)}: "
        + "; ".join(_operating(SITUATIONS[name], row.int8[name]) for name in SITUATIONS if name in row.int8)
        + ".",
    ]
    return lines


def _about_threshold(row: DetectorRow) -> str:
    if row.chosen_on == "half":
        precision = f", for a precision of at least {row.min_precision:g}," if row.min_precision else ""
        return (
            f"It was chosen{precision} on the other half of the held-out frames (composed scenes: on earlier ones, "
            "which may show the same galaxies). That precision was decided after results on all of these frames were "
            "seen, so that figures on new frames may be worse"
        )
    return (
        "An earlier version chose it on all of these frames but LCO's, within limits on false detections, so these "
        "figures may be better than those of other frames"
    )


def _manifest_lines(manifest: Manifest) -> list[str]:
    """Return the figures of a detector's export.

    They are for a detector that has not been measured against all baselines yet.
    """
    metrics = manifest.metrics
    columns = {"int8": "int8", "fp32": "float32", "centre_box": "constant centre box", "sep": "SEP"}
    lines = [
        f"Detector ({_network(manifest)}), on the {metrics['int8']['frames']} frames of the validation share, "
        "which was never trained on; mAP@0.5 (mAP@[.5:.95]):",
        "",
    ]
    sets = [name for name in metrics["int8"]["sets"] if "map50" in metrics["int8"]["sets"][name]]
    rows = []
    for data_set in sorted(
        sets, key=lambda name: list(SITUATIONS).index(name) if name in SITUATIONS else len(SITUATIONS)
    ):
        cells = [_pair_of_export(metrics[column]["sets"][data_set]) for column in columns]
        count = metrics["int8"]["sets"][data_set]["frames"]
        rows.append([f"{SITUATIONS.get(data_set, data_set)} ({count})", *cells])
    rows.append(["all", *(_pair_of_export(metrics[column]) for column in columns)])
    lines += markdown_table(["frames", *columns.values()], rows)
    int8, threshold = metrics["int8"], manifest.detector_decode.score_threshold
    lines += [
        "",
        f"At the operating threshold ({threshold:.2f}), int8: precision {int8['precision']:.2f}, "
        f"recall {int8['recall']:.2f}, {int8['fp_per_frame']:.3f} false positives per frame without galaxies.",
    ]
    return lines


def summary() -> str:
    """Return the short table of README.md, at the operating threshold."""
    bundle = Bundle.load(shipped_bundle_path("galaxy-detector"), "detect")
    saved = read_saved(RESULTS)
    row = next((row for row in saved.detectors if row.bundle == bundle.hash), None)
    if row is None:
        return "The shipped detector has not been measured against all baselines yet.\n"
    cells = [
        _summary_cells(name, row.int8[name], [saved.baselines[baseline].get(name) for baseline in SEP])
        for name in SUMMARY_ROWS
        if name in row.int8
    ]
    head = ["int8, frames never trained on", "galaxies", "found", "right boxes", "false per frame without galaxies"]
    head += [f"{BASELINES[name]}: found" for name in SEP]
    test = StudyResult.from_dict(json.loads(TEST.read_text(encoding="utf-8"))).scores["int8"]
    accuracy, macro_f1, coarse = (f"{getattr(test, key):.3f}{interval_text(_interval(test, key))}" for key in KEYS)
    least, worst = min((value, name) for name, value in test.recall.items() if value is not None)
    survey = saved.baselines["centre_box"]["gz_frames"]
    text = (
        f"A box of constant size in the middle finds {survey.recall:.2f}{interval_text(survey.interval('recall'), 2)} "
        "of the galaxies of Galaxy Zoo frames, which are centred on them. Composed scenes are galaxies that were added "
        "to real skies. SEP is Source Extractor, a program without a network; its right boxes and false detections are "
        f"in the [results](training/RESULTS.md#detectors). The classifier is right on {accuracy} of {test.images} test "
        f"images by nine classes (macro F1 {macro_f1}; the lowest recall, "
        f"{least:.2f}{interval_text(test.recall_interval(worst), 2)}, is that of {worst.replace('_', ' ')}), and on "
        f"{coarse} by four groups. Its calibration error (ECE) is {test.ece:.3f}; that of perfect probabilities on as "
        f"many images would be {test.ece_by_chance:.3f}. In brackets: 95 % intervals. {COMPARED} "
        f"The test images are a development set too. The detector has a threshold of {row.threshold:.2f}. "
        f"{_about_threshold(row)}."
    )
    return "\n".join([*markdown_table(head, cells), "", text, ""])


def _summary_cells(name: str, metrics: SavedMetrics, sep: Sequence[SavedMetrics | None]) -> list[str]:
    counts = metrics.operating
    boxes = counts.boxes if counts else 0
    shares = [_share(metrics, key) if boxes else "" for key in ("recall", "precision")]
    rate = metrics.fp_per_frame
    false = f"{rate:.2f}{interval_text(metrics.interval('fp_per_frame'), 2)}" if counts and rate is not None else ""
    false += f" ({counts.negatives} frames)" if counts and false else ""
    baselines = [_share(other, "recall") if boxes and other else "" for other in sep]
    return [SITUATIONS[name], str(boxes or ""), *shares, false, *baselines]


def _share(metrics: SavedMetrics, key: str) -> str:
    value = getattr(metrics, key)
    return "" if value is None else f"{value:.2f}{interval_text(metrics.interval(key), 2)}"


def _pair_of_export(metrics: dict[str, Any]) -> str:
    return f"{metrics['map50']:.2f} ({metrics['map']:.2f})"


def _operating(title: str, metrics: SavedMetrics) -> str:
    """Return precision, recall and false detections with their intervals.

    Numbers of objects are included.
    """
    counts, parts = metrics.operating, []
    if counts and metrics.precision is not None and counts.boxes:
        precision = f"precision {metrics.precision:.2f}{interval_text(metrics.interval('precision'), 2)}"
        recall = f"recall {metrics.recall:.2f}{interval_text(metrics.interval('recall'), 2)} of {counts.boxes}"
        parts.append(f"{precision}, {recall}")
    if counts and metrics.fp_per_frame is not None:
        rate = f"{metrics.fp_per_frame:.3f}{interval_text(metrics.interval('fp_per_frame'))}"
        parts.append(f"{rate} false detections per frame without galaxies (of {counts.negatives})")
    return f"{title}: {', '.join(parts)}"


def _classifier_lines(manifest: Manifest) -> list[str]:
    test = StudyResult.from_dict(json.loads(TEST.read_text(encoding="utf-8")))
    lines = [
        f"Classifier ({_network(manifest)}), on the {test.images} images of the test part, in brackets 95 % intervals:",
        "",
    ]
    rows = []
    for variant, title in (("int8", "int8"), ("float", "float32")):
        row = test.scores[variant]
        cells = [f"{getattr(row, key):.3f}{interval_text(_interval(row, key))}" for key in KEYS]
        rows.append([title, *cells, f"{row.ece:.3f}", f"{row.ece_by_chance:.3f}"])
    titles = ["", "accuracy", "macro F1", "accuracy of 4 coarse groups", "calibration error", "the same by chance"]
    lines += markdown_table(titles, rows)
    int8 = test.scores["int8"]
    recalls = ", ".join(
        f"{name} {value:.2f}{interval_text(int8.recall_interval(name), 2)}" for name, value in int8.recall.items()
    )
    lines += ["", f"Recall by class, int8: {recalls}."]
    if experts := int8.within_experts:
        images, right, within = experts.images, experts.right, experts.within
        limits = [interval_text(wilson_interval(count, images)) for count in (right, within)]
        lines += [
            "",
            f"Of the {images} images of EFIGI, {right / images:.3f}{limits[0]} have the right class and "
            f"{within / images:.3f}{limits[1]} one within the experts' own interval of the attributes that classes are "
            "derived from.",
        ]
    return lines


def _interval(metrics: Scores, key: str) -> Sequence[float] | None:
    """Return the 95 % interval of a saved figure.

    Of a share it is known without being saved.
    """
    saved = metrics.interval(key)
    if saved is None and key != "macro_f1":
        return wilson_interval(round(getattr(metrics, key) * metrics.images), metrics.images)
    return saved


def _network(manifest: Manifest) -> str:
    network = manifest.network
    size = f"{manifest.input.width}x{manifest.input.height}"
    return f"{size}, {network.parameters / 1e3:.0f} thousand parameters, {network.macs / 1e6:.1f} million MACs"


def _pair(metrics: SavedMetrics) -> str:
    return f"{metrics.map50:.2f}{interval_text(metrics.interval('map50'), 2)} ({metrics.map:.2f})"


def with_current_figures(text: str) -> str:
    """Return a page with the tables between the markers replaced."""
    for (begin, end), content in (((BEGIN, END), figures), (SUMMARY, summary)):
        if begin in text:
            before, rest = text.split(begin, 1)
            text = before + begin + content() + end + rest.split(end, 1)[1]
    return text


if __name__ == "__main__":
    for page in (README, BENCHMARKS):
        page.write_text(with_current_figures(page.read_text(encoding="utf-8")), encoding="utf-8")
