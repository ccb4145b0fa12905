"""The table of a detector's cross-validation, which needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...models.markdown import markdown_table
from ..run_record import RunError, read_record
from ..scenes.evaluation_scenes import SITUATIONS


def fold_table(result: dict[str, Any]) -> str:
    """Format the content of ``folds.json`` as Markdown.

    See `cross_validation.train_folds`.

    Raises:
        ValueError: a metric has not one value, or None, of each fold.
    """
    count = result["folds"]
    rows = []
    for name, metric in result["metrics"].items():
        if len(metric["values"]) != count:
            raise ValueError(f"'{name}' has {len(metric['values'])} values of {count} folds")
        cells = [
            "" if value is None else f"{value:.3f}" for value in (metric["mean"], metric["std"], *metric["values"])
        ]
        rows.append([_title(name), *cells])
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


def check_folds(folder: Path, result: dict[str, Any]) -> None:
    """Check that the content of ``folds.json`` is of the runs in its folder.

    A run that is not there is not checked.

    Raises:
        RunError: a run has other metrics.
    """
    for number in range(result["folds"]):
        run = folder / f"fold{number + 1}"
        if not (run / "run.json").exists():
            continue
        metrics = read_record(run, "detect").metrics
        for name, metric in result["metrics"].items():
            if metric["values"][number] != metrics.get(name):
                raise RunError(f"{run} is not a run of {folder / 'folds.json'}: cross-validate again, with --resume")


def _title(name: str) -> str:
    """Return the heading of a metric of `evaluation.score`."""
    metric, _, kind = name.partition("_")
    if metric == "false":
        return f"false detections per frame without galaxies (score 0.5), {SITUATIONS.get(kind, kind)}"
    title = {"map50": "mAP@0.5", "map": "mAP@[.5:.95]"}.get(metric, metric)
    return f"{title}, {SITUATIONS.get(kind, kind)}" if kind else title
