"""The table of a detector's cross-validation, which needs no TensorFlow."""

from __future__ import annotations

from typing import Any

from ...models.markdown import markdown_table
from ..scenes.evaluation_scenes import SITUATIONS


def fold_table(result: dict[str, Any]) -> str:
    """Format the content of ``folds.json`` as Markdown.

    See `cross_validation.train_folds`.
    """
    count = result["folds"]
    rows = []
    for name, metric in result["metrics"].items():
        values = [f"{value:.3f}" for value in metric["values"]]
        rows.append(
            [_title(name), f"{metric['mean']:.3f}", f"{metric['std']:.3f}", *values, *[""] * (count - len(values))]
        )
    heading = ["", "mean", "std", *(f"fold {fold + 1}" for fold in range(count))]
    network = f"seed {result['seed']}"
    if "size" in result:  # not in results of earlier versions
        network = f"{result['size']} x {result['size']} pixels, {result['macs'] / 1e6:.1f} million MACs, {network}"
    about = (
        f"{count} networks '{result['network']}' ({network}), at most {result['epochs']} epochs of "
        f"{result['scenes']} scenes each. Every network is measured, as float32, on the images of the fold that it was "
        f"not trained on ({', '.join(map(str, result['images']))} images). Mean and standard deviation over the folds."
    )
    return "\n".join([about, "", *markdown_table(heading, rows)]) + "\n"


def _title(name: str) -> str:
    """Return the heading of a metric of `evaluation.score`."""
    metric, _, kind = name.partition("_")
    if metric == "false":
        return f"false detections per frame without galaxies (score 0.5), {SITUATIONS.get(kind, kind)}"
    title = {"map50": "mAP@0.5", "map": "mAP@[.5:.95]"}.get(metric, metric)
    return f"{title}, {SITUATIONS.get(kind, kind)}" if kind else title
