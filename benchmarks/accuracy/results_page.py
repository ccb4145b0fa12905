"""Write the page of results from the saved results and tables.

It is, for example, ``training/RESULTS.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...models.classification_metrics import MIN_SUPPORT, smallest_support
from ...models.intervals import interval_text, wilson_interval
from ...models.markdown import markdown_row, markdown_table
from .classifier_results import read_results
from .detector_page import detector_page
from .raw_results import raw_page
from .records.classification import SourceScores, StudyResult
from .records.evaluation import ExpertCounts
from .result_tables import saved_tables

TITLES = {
    "scratch": "report: CNN from scratch (16-32-64-128, dropout, batch normalisation)",
    "batch_norm": "report's CNN from scratch without its dropout",
    "vgg_features": "report: VGG-16, frozen (HED-tuned weights, not ImageNet's)",
    "vgg_block5": "report: VGG-16, tuned from block 5 (HED-tuned weights)",
    "vgg_partial": "report: VGG-16, tuned from block 5, partial re-balancing (in the ensemble)",
    "optimised": "report: hyper-optimised (5x5 kernels; layers reconstructed)",
    "ensemble": "report: ensemble, 0.6 scratch + 0.4 VGG-16 tuned from block 5",
    "ensemble_optimised": "not the report's: ensemble of hyper-optimised and VGG-16 tuned from block 5",
    "small_alone": "ours, from labels alone (neither teacher nor attributes)",
    "small": "ours, with a teacher and attributes",
    "small_all": "ours, with teachers, attributes and images without a class",
    "telescopes": "ours, shipped: the same, continued on views as of other telescopes",
    "nano": "ours, nano",
    "nano_votes": "ours, nano, with shares of votes (not shipped)",
    "base": "ours, larger (not shipped)",
}
SHIPPED = "telescopes"
"""Name of the shipped network's result."""
HEAD = """# Results: classifiers, then detectors

Written by `galaxy-edge study report` from saved results; no number is typed in. Every classifier was trained on one
split by content (exact and near duplicates kept together) and selected on its validation part; its temperature and
thresholds were chosen there too. The test part was not trained on, but successive versions of ours were compared on it,
which decided between some of them: it is a development set. Mean and standard deviation over the seeds given; in
brackets the 95 % interval over images (shares: Wilson; macro F1: by drawing images with replacement; several seeds: the
mean of their limits). A difference between two rows that is smaller than half of their intervals may be noise. So is a
calibration error (ECE) that is not larger than that of perfect probabilities on the same number of images ("by
chance"). The macro F1 of a source is that of the classes it has, shown where the rarest of them has at least 10 images.
A setting that was not recorded is empty. Epochs are those of the last training: the shipped network was continued from
another one. The report's networks and ours were not trained for the same number of epochs.
"""


def page(results: Path) -> str:
    """Return the page as Markdown.

    Args:
        results: folder of the saved results.
    """
    found = read_results(results)
    order = [name for name in TITLES if name in found] + sorted(set(found) - set(TITLES))
    rows = [
        (f"{TITLES.get(name, name)}{', int8' if kind == 'int8' else ''}", kind, found[name])
        for name in order
        for kind in ("float", "int8")
        if all(kind in result.scores for result in found[name])
    ]
    tables = [*saved_tables(results), *detector_page(results), *raw_page(results)]
    if not rows:
        return "\n".join([HEAD, "Nothing has been evaluated yet.", *tables]) + "\n"
    images = {result.images for _, _, group in rows for result in group}
    parts = [
        HEAD,
        f"Test part: {', '.join(map(str, sorted(images)))} images.\n",
        "## All images\n",
        *_whole(rows),
        *_experts(rows),
        *_differences({name: found[name] for name in order}),
        *_refits(rows),
        "\n## Recall of each class\n",
        *_recalls(rows),
        "\n## Each source, and levels normalised\n",
        "Each source separately, and all images with the sky subtracted and the levels scaled to the same range. A "
        "network that recognises surveys by their levels instead of galaxies loses accuracy there; so does one that "
        "was never trained on other levels.\n",
        *_shortcuts(rows),
        *tables,
    ]
    return "\n".join(parts) + "\n"


Row = tuple[str, str, list[StudyResult]]


def _whole(rows: list[Row]) -> list[str]:
    costs = ("balanced by", "epochs at most", "parameters", "million MACs", "int8 KiB", "seeds")
    lines = [_head("accuracy", "macro F1", "4 groups", "ECE", "ECE by chance", *costs)]
    for title, kind, group in rows:
        keys = ("accuracy", "macro_f1", "coarse_accuracy", "ece", "ece_by_chance")
        cells = [_mean(group, kind, key) + _interval(_scores(group, kind), key) for key in keys]
        first = group[0]
        kib = f"{first.int8_bytes / 1024:.1f}" if kind == "int8" and first.int8_bytes is not None else ""
        seeds = ", ".join(str(result.seed) for result in group)
        recipes = [first.recipe(key) for key in ("balance", "epochs")]
        size = f"{first.parameters:,}", f"{first.macs / 1e6:.1f}"
        lines.append(markdown_row([title, *cells, *recipes, *size, kib, seeds]))
    return lines


def _scores(group: list[StudyResult], kind: str) -> list[SourceScores]:
    return [result.scores[kind] for result in group]


def _interval(group: list[SourceScores], key: str) -> str:
    """Return the 95 % interval over images, for a table.

    Of several seeds, which are measured on the same images, the mean of their limits. Empty where an older result has
    none: shares are counted from their value, macro F1 needs the confusion matrix.
    """
    limits = [_limits(metrics, key) for metrics in group]
    known = [pair for pair in limits if pair is not None]
    return interval_text(np.mean(known, axis=0).tolist()) if len(known) == len(group) else ""


def _limits(metrics: SourceScores, key: str) -> Sequence[float] | None:
    if metrics.intervals is not None:
        return metrics.interval(key)
    if key not in ("accuracy", "coarse_accuracy"):
        return None
    return wilson_interval(round(getattr(metrics, key) * metrics.images), metrics.images)


def _differences(found: Mapping[str, list[StudyResult]]) -> list[str]:
    """Return the table of differences to the shipped network.

    Empty where no result has its predictions.
    """
    lines = []
    for result in (result for group in found.values() for result in group if result.name != SHIPPED):
        shipped = found.get(SHIPPED, [])
        change = shipped[0].difference(result) if shipped else None
        if change:
            title = TITLES.get(result.name, result.name)
            scores = f"{result.scores['float'].macro_f1:.3f}", "{:+.3f} [{:+.3f}, {:+.3f}]".format(*change)
            lines.append(markdown_row([title, str(result.seed), *scores]))
    if not lines:
        return []
    about = (
        "\nBy how much the macro F1 of the shipped network is higher (float, the same images), with its 95 % interval "
        "(images drawn with replacement, for both alike). Of the other rows, predictions are not recorded.\n"
    )
    return [about, _head("seed", "macro F1", "shipped network: difference"), *lines]


def _experts(rows: list[Row]) -> list[str]:
    """Return the table of classes within the experts' intervals.

    Empty where no result has them.
    """
    lines = []
    for title, kind, group in rows:
        found = [counts for result in group if (counts := result.scores[kind].within_experts)]
        if found:
            # The seeds saw the same images: their counts may not be added up for an interval.
            images = found[0].images
            shares = [_share_of(found, key) for key in ("right", "within")]
            errors = [
                np.mean([row.within - row.right for row in found]),
                np.mean([row.images - row.right for row in found]),
            ]
            lines.append(markdown_row([title, str(images), *shares, " of ".join(f"{mean:.0f}" for mean in errors)]))
    if not lines:
        return []
    about = (
        "\nClasses divide continuous scales, for which EFIGI's experts gave intervals. A class is within the experts' "
        "interval if attribute values in it lead to that class, see `training.data.expert_intervals`.\n"
    )
    head = ("EFIGI images", "accuracy", "within the experts' interval", "errors within it")
    return [about, _head(*head), *lines]


def _refits(rows: list[Row]) -> list[str]:
    """Return the table of the last layer's refit; empty where no result has it."""
    lines = []
    for title, kind, group in rows:
        for result in group if kind == "float" else []:
            if gain := result.refit:
                change = f"{gain.after - gain.before:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
                cells = [title, str(result.seed), f"{gain.before:.3f}", f"{gain.after:.3f}", change]
                lines.append(markdown_row(cells))
    if not lines:
        return []
    about = (
        "\nAfter training, the last layer is fitted again, to the classes alone, by logistic regression; the penalty "
        "is chosen on validation. Macro F1 with both layers, and the difference on the same images with its 95 % "
        "interval (images drawn with replacement, for both alike).\n"
    )
    return [about, _head("seed", "last layer as trained", "fitted again", "difference"), *lines]


def _share_of(counts: Sequence[ExpertCounts], key: str) -> str:
    """Return a share with its interval, or the mean and deviation over seeds."""
    shares = [getattr(row, key) / row.images for row in counts]
    if len(shares) == 1:
        return f"{shares[0]:.3f}{interval_text(wilson_interval(getattr(counts[0], key), counts[0].images))}"
    return f"{np.mean(shares):.3f} ± {np.std(shares, ddof=1):.3f}"


def _recalls(rows: list[Row]) -> list[str]:
    classes = list(rows[0][2][0].scores["float"].recall)
    lines = [_head(*(name.replace("_", " ") for name in classes))]
    matrix = next((scores.confusion for _, kind, group in rows if (scores := group[0].scores[kind]).confusion), None)
    if matrix:
        lines.append(markdown_row(["images", *(str(sum(row)) for row in matrix)]))
    for title, kind, group in rows:
        cells = []
        for name in classes:
            values = [value for result in group if (value := result.scores[kind].recall[name]) is not None]
            limits = group[0].scores[kind].recall_interval(name) if len(group) == 1 else None
            # The test part may have no image of a class.
            cells.append(f"{np.mean(values):.2f}{interval_text(limits, 2)}" if values else "")
        lines.append(markdown_row([title, *cells]))
    return lines


def _shortcuts(rows: list[Row]) -> list[str]:
    sources = sorted({source for _, kind, group in rows for result in group for source in result.scores[kind].sets})
    images = {source: rows[0][2][0].scores[rows[0][1]].sets[source].images for source in sources}
    support = {source: _support(rows, source) for source in sources}
    known = {source: _classes(rows, source) for source in sources}
    lines = [
        _head(
            *(
                f"{source} ({images[source]}): accuracy"
                + (f", macro F1 of {known[source]} classes" if support[source] >= MIN_SUPPORT else "")
                for source in sources
            ),
            "levels normalised: accuracy, macro F1",
            "change",
        )
    ]
    for title, kind, group in rows:
        cells = []
        for source in sources:
            keys = ("accuracy", "macro_f1") if support[source] >= MIN_SUPPORT else ("accuracy",)
            values = [result.scores[kind].sets[source] for result in group]
            means = [f"{np.mean([getattr(row, key) for row in values]):.3f}" + _interval(values, key) for key in keys]
            cells.append(", ".join(means))
        levelled = f"{kind}_levelled"
        change = [
            [getattr(result.scores[levelled], key) - getattr(result.scores[kind], key) for result in group]
            for key in ("accuracy", "macro_f1")
        ]
        cells += [
            ", ".join(
                _mean(group, levelled, key) + _interval(_scores(group, levelled), key)
                for key in ("accuracy", "macro_f1")
            ),
            ", ".join(f"{np.mean(values):+.3f}" for values in change),
        ]
        lines.append(markdown_row([title, *cells]))
    return lines


def _support(rows: list[Row], source: str) -> int:
    """Return the number of images of the rarest class of a source.

    0 where no result has counted them.
    """
    matrices = (result.scores[kind].sets[source].confusion for _, kind, group in rows for result in group)
    return min((smallest_support(matrix) for matrix in matrices if matrix), default=0)


def _classes(rows: list[Row], source: str) -> int:
    """Return the number of classes that a source has images of."""
    matrices = (result.scores[kind].sets[source].confusion for _, kind, group in rows for result in group)
    return next((sum(any(row) for row in matrix) for matrix in matrices if matrix), 0)


def _mean(group: list[StudyResult], kind: str, key: str) -> str:
    values = [value for result in group if (value := getattr(result.scores[kind], key)) is not None]
    if not values:
        return ""  # not recorded
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _head(*cells: str) -> str:
    return "\n".join(markdown_table(["", *cells], []))
