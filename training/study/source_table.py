"""The table of a comparison over sources, which needs no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...models.classification_metrics import MIN_SUPPORT
from ...models.intervals import interval_text, wilson_interval
from ...models.markdown import markdown_table


def source_table(
    recall: Mapping[str, Mapping[str, Mapping[str, float]]], images: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> str:
    """Format the accuracies of a comparison over sources as Markdown.

    They are that of the coarse group, and the recall of each group.

    Args:
        recall: source trained on -> source measured on -> group -> its recall.
        images: source trained on -> source measured on -> group -> its number of images.
    """
    names = list(recall)
    common = set.intersection(*(set(found) for row in recall.values() for found in row.values()))
    lines = [
        f"Accuracy of the coarse group on the validation part, over the groups that all sources have "
        f"({', '.join(sorted(common))}); one seed. The last row is what a network reaches that always answers the most "
        "frequent group. The sources define their classes slightly differently.\n",
        *_accuracies(names, sorted(common), recall, images),
        f"\nRecall of each group of at least {MIN_SUPPORT} images (number of images), of the groups that both sources "
        "of a row have.\n",
    ]
    groups = sorted({group for row in recall.values() for found in row.values() for group in found})
    rows = []
    for trained, row in recall.items():
        for measured, found in row.items():
            count = images[trained][measured]
            cells = [
                f"{found[group]:.2f} ({count[group]})" if group in found and count[group] >= MIN_SUPPORT else ""
                for group in groups
            ]
            rows.append((trained, measured, *cells))
    return "\n".join([*lines, *markdown_table(["trained on", "on", *groups], rows)])


def _accuracies(names: Sequence[str], groups: Sequence[str], recall: Any, images: Any) -> Sequence[str]:
    """Return the table of accuracies over the groups that all sources have."""
    counts = {name: images[names[0]][name] for name in names}
    totals = {name: sum(counts[name][group] for group in groups) for name in names}
    rows = []
    for trained in names:
        cells = []
        for name in names:
            right = round(sum(recall[trained][name][group] * counts[name][group] for group in groups))
            share = right / totals[name] if totals[name] else 0.0
            cells.append(f"{share:.3f}{interval_text(wilson_interval(right, totals[name]))}")
        rows.append((trained, *cells))
    constant = [f"{max(counts[name][group] for group in groups) / totals[name]:.3f}" for name in names]
    rows.append(("the most frequent group", *constant))
    return markdown_table(["trained on", *(f"on {name} ({totals[name]} images)" for name in names)], rows)
