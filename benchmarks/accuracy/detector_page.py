"""The page of the saved results of detectors, see `detector_results`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...export.baselines import baseline_threshold
from ...models.intervals import interval_text
from ...models.markdown import markdown_row, markdown_table
from ...training.scenes.evaluation_scenes import COMPOSED, SITUATIONS
from .curves import SIZES
from .detector_results import FILE, KINDS, RULE, read_saved
from .records.evaluation import BASELINES
from .records.saved import BySituation, DetectorComparison, DetectorRow, SavedMetrics
from .report import recall_cell

OPERATING = (
    "Precision / recall where there are galaxies; false detections per frame where there are none. Each network is "
    "measured here on the half of its held-out frames that was not used to choose its threshold; composed "
    "scenes of the two halves have different galaxies. The thresholds of SEP were chosen by the same rule on a fifth "
    "of the training share, with trees fitted on the rest; the constant box has none. The minimum precision is the one "
    "that a threshold was chosen for (`export --min-precision`), 0.9 where nothing is recorded. That of the shipped "
    "network was decided with these frames and those of LCO in view, and its threshold was chosen on earlier draws of "
    "the composed scenes, in which the halves share galaxies: on other frames its figures may be worse."
)
EARLIER = (
    "On other draws of the same kinds of scenes for each input size; without intervals, a correct detection of an "
    "ignored object counted as false where half of it lay outside of the ignored box, and overlapping boxes were not "
    "averaged. These figures cannot be compared with those above.\n"
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
        parts += [
            "\n### At the operating threshold (int8)\n",
            _about_threshold(rows),
            *_operating(rows, names, saved.baselines),
        ]
        parts += ["\n### Recall by size of the galaxies, composed scenes (int8)\n", *_recalls(rows, saved.baselines)]
    if earlier:
        parts += ["\n### Measured by an earlier rule\n", EARLIER]
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
        "set: versions of ours were compared on them, as on the LCO frames. Three quarters of the LCO frames' "
        "galaxies occur, in other images, in training photographs, and most of the others in EFIGI's training "
        "images; so do some of the deep-sky photographs' galaxies. In Galaxy Zoo frames only the galaxy in the "
        "middle has a label: detections of other objects that were segmented there count neither as right nor as "
        "false. The constant box and the filter of SEP are fitted on the training share "
        "(`benchmarks.accuracy.fit_baselines`); LCO frames have none, so that their box is fitted on these frames. "
        "Both have frames of the input size of the shipped network. "
        "Off-centre and composed scenes are the same for networks of all input sizes. A galaxy may "
        f"be in several composed scenes, so their intervals are too narrow. {_swallowed(rows)}Where a network started"
        " from an exported one, core-hours and scenes are those of its own training only; "
        "[models.md](../docs/models.md#make-another-size) has the trainings before it. The stock network had less "
        "training than ours: these tables do not show which is better after the same training. A network imitates "
        "another if it also learns to predict its features. Core-hours are the processor time of the training, all "
        "threads. Latency of the int8 "
        f"file on one thread of one machine ({machine['machine']}, {machine['cores']} cores), all networks in turns, "
        f"{saved.rounds} rounds: a comparison of networks, not the latency on a Raspberry Pi; empty where it was added "
        "later."
    )
    compared = [row for row in rows if row.min_ms is not None]
    if len(compared) > 1:
        hours = [row.core_hours for row in compared[1:]]
        about += (
            f"\n\nThe budget under which architectures are compared ({', '.join(row.name for row in compared[1:])}): "
            f"{max(hours):.1f} core-hours each ({min(hours):.2f} to {max(hours):.2f} were used). Outside of the "
            f"comparison is: {compared[0].name}, with {compared[0].core_hours:.1f}."
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


def _swallowed(rows: Sequence[DetectorRow]) -> str:
    """Return a sentence on the frames that were left out; empty if there are none."""
    count = next((row.swallowed for row in rows if row.swallowed), 0)
    return f"{count} Galaxy Zoo frames are left out: their box holds a star or another galaxy too. " if count else ""


class _Counts:
    """Rows of a table with numbers of objects.

    There is one where they differ from those of the row before.

    Args:
        cells: number of columns between the title and the first count.
    """

    def __init__(self, cells: int = 0) -> None:
        self._cells, self._before = cells, list[str]()

    def row(self, counts: list[str]) -> list[str]:
        """Return the row that precedes figures with these counts.

        Empty if the row before still applies.
        """
        if counts == self._before or not any(counts):
            return []
        title = "frames / galaxies" + (", from here" if self._before else "")
        self._before = counts
        return [markdown_row([title, *[""] * self._cells, *counts])]


def _metric(rows: Sequence[DetectorRow], baselines: Mapping[str, BySituation], names: list[str], key: str) -> list[str]:
    first = rows[0].int8
    shown = [name for name in names if first[name].boxes and getattr(first[name], key) is not None]
    lines, counts = markdown_table(["", *(SITUATIONS[name] for name in shown)], []), _Counts()

    def add(situations: BySituation, title: str) -> None:
        found = [situations.get(name) for name in shown]
        lines.extend(counts.row([f"{metrics.frames} / {metrics.boxes}" if metrics else "" for metrics in found]))
        lines.append(markdown_row([title, *(_cell(metrics, key) for metrics in found)]))

    for row in rows:
        for variant, kind in KINDS.items():
            add(row.variant(variant), f"{row.name}, {kind}")
    for baseline, title in BASELINES.items():
        if baseline in baselines:
            add(baselines[baseline], title)
    return lines


def _operating(
    rows: Sequence[DetectorRow], names: list[str], baselines: Mapping[str, BySituation] | None = None
) -> list[str]:
    heads = ("threshold", "minimum precision", *(SITUATIONS[name] for name in names))
    lines, counts = markdown_table(["", *heads], []), _Counts(2)

    def add(situations: BySituation, title: str, threshold: str, precision: str) -> None:
        found = [situations.get(name) for name in names]
        measured = [metrics.operating if metrics else None for metrics in found]
        lines.extend(counts.row([f"{count.frames} / {count.boxes}" if count else "" for count in measured]))
        lines.append(markdown_row([title, threshold, precision, *map(_operating_cell, found)]))

    for row in rows:
        minimum = "" if row.min_precision is None else f"{row.min_precision:g}"
        add(row.int8, row.name, f"{row.threshold:.2f}", minimum)
    for baseline, title in BASELINES.items():
        if baselines and baseline in baselines:
            threshold = baseline_threshold(baseline)
            add(baselines[baseline], title, f"{threshold:.2f}" if threshold else "", "0.9" if threshold else "")
    return lines


def _operating_cell(metrics: SavedMetrics | None) -> str:
    if metrics is None:
        return ""
    parts = [f"{_cell(metrics, 'precision')} / {_cell(metrics, 'recall')}"] if metrics.boxes else []
    if metrics.fp_per_frame is not None:
        parts.append(f"{_cell(metrics, 'fp_per_frame')} per frame")
    return "; ".join(parts)


def _recalls(rows: Sequence[DetectorRow], baselines: Mapping[str, BySituation]) -> list[str]:
    """Return a table of the recall at the threshold by the galaxy's side.

    It has intervals and numbers of galaxies.
    """
    named = [(row.name, row.int8) for row in rows]
    named += [(title, baselines[baseline]) for baseline, title in BASELINES.items() if baseline in baselines]
    cells = []
    for title, situations in named:
        sizes = situations[COMPOSED].sizes if COMPOSED in situations else None
        if sizes:
            cells.append([title, *(recall_cell(*sizes[size]) for size in SIZES)])
    about = "At the threshold of the table above, by the side of a galaxy as a share of the image's side.\n"
    return [about, *markdown_table(["", *SIZES], cells)]


def _cell(metrics: SavedMetrics | None, key: str) -> str:
    """Return a figure with its interval, if there is one."""
    value = getattr(metrics, key, None)
    return "" if metrics is None or value is None else f"{value:.3f}{interval_text(metrics.interval(key))}"
