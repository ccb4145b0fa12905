"""The table of a detector's cross-validation, which needs no TensorFlow."""

from __future__ import annotations

from typing import Any

from ...models.markdown import markdown_table


def fold_table(result: dict[str, Any]) -> str:
    """Format the content of ``folds.json`` as Markdown.

    See `cross_validation.train_folds`.
    """
    count = result["folds"]
    rows = []
    for name, metric in result["metrics"].items():
        values = [f"{value:.3f}" for value in metric["values"]]
        rows.append([name, f"{metric['mean']:.3f}", f"{metric['std']:.3f}", *values, *[""] * (count - len(values))])
    heading = ["", "mean", "std", *(f"fold {fold + 1}" for fold in range(count))]
    about = (
        f"{count} networks '{result['network']}' (seed {result['seed']}), at most {result['epochs']} epochs of "
        f"{result['scenes']} scenes each. Every network is measured, as float32, on the images of the fold that it was "
        f"not trained on ({', '.join(map(str, result['images']))} images). Mean and standard deviation over the folds."
    )
    return "\n".join([about, "", *markdown_table(heading, rows)]) + "\n"
