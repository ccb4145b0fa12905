"""The page of the saved results of detectors, see `detector_results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...models.intervals import interval_text
from ...models.markdown import markdown_row, markdown_table
from .detector_results import FILE, KINDS, RULE, read_saved
from .records.evaluation import BASELINES
from .records.saved import BySituation, DetectorComparison, DetectorRow, SavedMetrics
from .report import NAMES as SITUATIONS

OPERATING = (
    "Precision / recall where there are galaxies; false detections per frame where there are none. Of the frames of "
    "its run's evaluation, a network is measured here on the half that is not for choosing its threshold."
)
EARLIER = (
    "A correct detection of an ignored object counted as false where half of it lay outside of the ignored box, on "
    "other draws of the same kinds of scenes, without intervals, and overlapping boxes were not averaged. These "
    "figures cannot be compared with those above.\n"
)


def detector_page(results: Path) -> list[str]:
    """Return the saved results as parts of a Markdown page; empty if there are none."""
    if not (results / FILE).exists():
        return []
    saved = read_saved(results)
    every = [row for row in saved.detectors if not row.apart]
    rows = [row for row in every if row.rule == RULE]
    earlier = [row for row in every if row.rule != RULE]
    apart = [row for row in saved.detectors if row.apart]
    parts = ["\n## Detectors\n", _about(saved, every) + "\n", *_sizes(every)]
    if rows:
        names = _names(rows)
        parts += ["\n### mAP@0.5 in each situation\n", *_metric(rows, saved.baselines, names, "map50")]
        parts += ["\n### mAP@[.5:.95]\n", *_metric(rows, saved.baselines, names, "map")]
        parts += ["\n### AR@1, where a frame has one galaxy\n", *_metric(rows, saved.baselines, names, "ar1")]
        parts += ["\n### At the operating threshold (int8)\n", _about_threshold(rows), *_operating(rows, names)]
    if earlier:
        parts += ["\n### Measured before the rule for ignored objects changed\n", EARLIER]
        parts += [*_metric(earlier, {}, _names(earlier), "map50"), "", *_operating(earlier, _names(earlier))]
    if apart:
        parts += ["\n### Other seeds, other images held out\n", *_sizes(apart, timed=False)]
        parts += [f"\n{EARLIER}" if any(row.rule != RULE for row in apart) else ""]
        parts += ["\nmAP@0.5:\n", *_metric(apart, {}, _names(apart), "map50")]
        parts += ["\nAt the operating threshold (int8):\n", *_operating(apart, _names(apart))]
    return parts


def _about_threshold(rows: Sequence[DetectorRow]) -> str:
    whole = [row.name for row in rows if row.chosen_on != "half"]
    return OPERATING + (f" Chosen on both halves, by an earlier version: {', '.join(whole)}." if whole else "") + "\n"


def _names(rows: Sequence[DetectorRow]) -> list[str]:
    return [name for name in SITUATIONS if any(name in row.int8 for row in rows)]


def _about(saved: DetectorComparison, rows: Sequence[DetectorRow]) -> str:
    machine = saved.machine
    about = (
        "Trained on the same images, evaluated on images that were held out of all trainings. In brackets: 95 % "
        "intervals, of average precision by drawing frames with replacement. The held-out images are a development "
        "set: versions of ours were compared on them, as on the LCO frames, three quarters of whose galaxies occur in "
        "training photographs. The constant box and the fitted SEP are of the training share "
        "(`benchmarks.accuracy.fit_baselines`); of LCO frames, which have none, the box is that of the frames "
        "themselves; both have frames of the shipped network's size. Where a network started from an exported one, "
        "core-hours and scenes are those of its own training only. A network imitates another if it also learns to "
        "predict its features. Core-hours are the processor time of the training, all threads. Latency of the int8 "
        f"file on one thread of one machine ({machine['machine']}, {machine['cores']} cores), all networks in turns, "
        f"{saved.rounds} rounds: a comparison of networks, not the latency on a Raspberry Pi; empty where it was added "
        "later."
    )
    compared = [row for row in rows if row.min_ms is not None]
    if len(compared) > 1:
        hours = [row.core_hours for row in compared[1:]]
        about += (
            f"\n\nThe budget under which architectures are compared: {max(hours):.1f} core-hours each "
            f"({min(hours):.2f} to {max(hours):.2f} were used). Outside of the comparison is: {compared[0].name}, "
            f"with {compared[0].core_hours:.1f}."
        )
        if len(compared) < len(rows):
            about += " Rows without a latency were added later and are outside of it too."
    if ungated := [row.name for row in rows if row.ungated]:
        about += (
            f"\n\nExported although a gate failed, int8 having lost too much: {', '.join(ungated)}. The float row is "
            "the one to compare the network by."
        )
    return about


def _sizes(rows: Sequence[DetectorRow], timed: bool = True) -> list[str]:
    latency = ("min ms", "median ms") if timed else ()
    heads = ("parameters", "million MACs", "int8 KiB", *latency, "core-hours", "scenes seen", "seed", "started from")
    lines = markdown_table(["", *heads], [])
    for row in rows:
        latencies = (row.min_ms, row.median_ms) if timed else ()
        times = ["" if value is None else f"{value:.2f}" for value in latencies]
        lines.append(
            markdown_row(
                [
                    row.name,
                    f"{row.parameters:,}",
                    f"{row.macs / 1e6:.1f}",
                    f"{row.int8_bytes / 1024:.0f}",
                    *times,
                    f"{row.core_hours:.1f}",
                    f"{row.images:,}",
                    str(row.seed),
                    row.started_from or "",
                ]
            )
        )
    return lines


def _metric(rows: Sequence[DetectorRow], baselines: Mapping[str, BySituation], names: list[str], key: str) -> list[str]:
    first = rows[0].int8
    shown = [name for name in names if first[name].boxes and getattr(first[name], key) is not None]
    lines = markdown_table(["", *(SITUATIONS[name] for name in shown)], [])
    before: list[str] = []
    for row in rows:
        counts = [f"{row.int8[name].frames} / {row.int8[name].boxes}" if name in row.int8 else "" for name in shown]
        if counts != before:
            lines.append(markdown_row(["frames / galaxies" + (", from here" if before else ""), *counts]))
            before = counts
        lines += [
            markdown_row([f"{row.name}, {kind}", *(_cell(row.variant(variant).get(name), key) for name in shown)])
            for variant, kind in KINDS.items()
        ]
    lines += [
        markdown_row([title, *(_cell(baselines[baseline].get(name), key) for name in shown)])
        for baseline, title in BASELINES.items()
        if baseline in baselines
    ]
    return lines


def _operating(rows: Sequence[DetectorRow], names: list[str]) -> list[str]:
    lines = markdown_table(["", "threshold", *(SITUATIONS[name] for name in names)], [])
    first = [metrics.operating if (metrics := rows[0].int8.get(name)) else None for name in names]
    if any(first):
        counts = (f"{found.frames} / {found.boxes}" if found else "" for found in first)
        lines.append(markdown_row(["frames / galaxies", "", *counts]))
    for row in rows:
        cells = []
        for name in names:
            metrics = row.int8[name]
            parts = [f"{_cell(metrics, 'precision')} / {_cell(metrics, 'recall')}"] if metrics.boxes else []
            if metrics.fp_per_frame is not None:
                parts.append(f"{_cell(metrics, 'fp_per_frame')} per frame")
            cells.append("; ".join(parts))
        lines.append(markdown_row([row.name, f"{row.threshold:.2f}", *cells]))
    return lines


def _cell(metrics: SavedMetrics | None, key: str) -> str:
    """Return a figure with its interval, if there is one."""
    value = getattr(metrics, key, None)
    return "" if metrics is None or value is None else f"{value:.3f}{interval_text(metrics.interval(key))}"
