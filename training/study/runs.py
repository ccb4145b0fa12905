"""The study: recipes trained on one split and compared, over seeds or over folds, and what they do on the test part.

The split is by content, with exact and near duplicates kept together (`split`). Everything is chosen on the validation
part; the test part is touched by `judge` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models.decode import softmax
from ..classifier.dataset import GalaxyDataset
from ..classifier.dataset_files import load_dataset
from ..classifier.fit import fit
from ..classifier.partition import DatasetSplit, split_dataset
from ..classifier.recipe import Recipe
from ..figures.plots import compare_bars
from ..run import RunError, RunRecord, network_hash, read_record, write_json
from .significance import macro_scores


def train(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    seed: int = 1,
    split_seed: int = 1,
    resume: bool = False,
    threads: int = 1,
    weights: Any = None,
    teacher: Sequence[Path] = (),
    keep_boxy: bool = False,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> RunRecord:
    """Train a recipe on a data set's training part; see `fit.fit`.

    Args:
        teacher: run folders of networks whose averaged opinion teaches too; they must be of the same split.
        keep_boxy: see `pictures.load_pictures`.
    """
    parts = split_dataset(load_dataset(data, recipe.margin, keep_boxy, unnamed=True), split_seed)
    return fit_parts(
        recipe, parts, out, seed=seed, resume=resume, threads=threads, report=report, weights=weights, teacher=teacher
    )


def fit_parts(
    recipe: Recipe, parts: DatasetSplit, out: Path, *, teacher: Sequence[Path] = (), **options: Any
) -> RunRecord:
    """Train a recipe on parts that are there already; `options` are those of `fit.fit`."""
    learn, soft = parts.train, None
    if not recipe.unnamed:
        learn = learn.take(learn.labelled)
    elif not teacher:
        learn = learn.take(learn.informative)
    if teacher:
        from ..classifier.distillation import average_soft_targets

        soft = average_soft_targets(teacher, learn, parts.record, options.get("report"))
        options["teachers"] = [network_hash(run) for run in teacher]
    return fit(recipe, learn, parts.validation, out, split=parts.record, soft=soft, **options)


def row_of(run: Path) -> dict[str, Any]:
    """Give a finished run's row of a table: what was measured on validation, and what the network costs."""
    record = read_record(run)
    if not record.is_finished:
        raise RunError(f"{run} is not finished")
    with np.load(run / "predictions.npz") as kept:
        scores = macro_scores(softmax(kept["logits"]), kept["labels"], len(record.model["classes"]))
    metrics, model = record.metrics, record.model
    return {
        "seed": record.settings["seed"],
        "epochs": record.settings["epochs"],
        **scores,
        "coarse_accuracy": metrics["coarse_accuracy"],
        "ece": metrics["ece"],
        "parameters": model["parameters"],
        "macs": model["macs"],
    }


MEASURED = ("accuracy", "precision", "recall", "f1", "auc", "coarse_accuracy", "ece")


def run_many(
    recipes: dict[str, Recipe],
    data: Path,
    out: Path,
    *,
    seeds: Sequence[int] = (1,),
    threads: int = 1,
    split_seed: int = 1,
    weights: Any = None,
    keep_boxy: bool = False,
    say: Callable[[str], None] = print,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Train every recipe with every seed, each in its own run folder; those that are there are gone on with.

    Returns:
        A row a recipe: name, mean and standard deviation over the seeds of what was measured, costs.
    """
    rows, parts = [], {}
    for name, recipe in recipes.items():
        found = []
        for seed in seeds:
            place = out / name / f"seed{seed}"
            if not finished(place):
                say(f"{name}, seed {seed}")
            if recipe.margin not in parts:
                pictures = load_dataset(data, recipe.margin, keep_boxy, unnamed=True)
                parts[recipe.margin] = split_dataset(pictures, split_seed)
            fit_parts(
                recipe,
                parts[recipe.margin],
                place,
                seed=seed,
                resume=goes_on(place, recipe),
                threads=threads,
                weights=weights,
                report=report,
            )
            found.append(row_of(place))
        rows.append(summary(name, found))
        write_json(out / "table.json", rows)
        (out / "table.md").write_text(table(rows), encoding="utf-8")
        compare_bars(
            [{"name": row["name"], "mean": row["f1"], "spread": row["f1_sd"]} for row in rows],
            out / "table.png",
            "macro F1 on validation",
        )
    return rows


def finished(place: Path) -> bool:
    """Tell whether a run folder holds a finished run."""
    return (place / "run.json").exists() and read_record(place).is_finished


def goes_on(place: Path, recipe: Recipe) -> bool:
    """Tell whether a run of a study is there already, to be gone on with; a finished one `fit.fit` leaves as it is.

    Raises:
        RunError: it is of another number of epochs, so that it cannot be compared with the others.
    """
    if not (place / "run.json").exists():
        return False
    epochs = read_record(place).settings["epochs"]
    if epochs != recipe.epochs:
        raise RunError(
            f"{place} was begun with epochs={epochs}, not {recipe.epochs}: give the same, or name another --out"
        )
    return True


def summary(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put the rows of several seeds into one: ``NAME`` the mean, ``NAME_sd`` the standard deviation (None for one)."""
    result: dict[str, Any] = {"name": name, "seeds": [row["seed"] for row in rows]}
    for key in MEASURED:
        values = [row[key] for row in rows]
        result[key] = float(np.mean(values))
        result[f"{key}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return result | {key: rows[0][key] for key in ("epochs", "parameters", "macs")}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as a Markdown table, best macro F1 first."""
    heads = {
        "accuracy": "accuracy",
        "precision": "macro precision",
        "recall": "macro recall",
        "f1": "macro F1",
        "auc": "AUC",
        "coarse_accuracy": "4 groups",
        "ece": "ECE",
    }
    lines = [
        "| | " + " | ".join(heads.values()) + " | parameters | million MACs |",
        "| --- |" + " --- |" * (len(heads) + 2),
    ]
    for row in sorted(rows, key=lambda row: -row["f1"]):
        cells = [_cell(row[key], row[f"{key}_sd"]) for key in heads]
        lines.append(
            f"| {row['name']} | " + " | ".join(cells) + f" | {row['parameters']:,} | {row['macs'] / 1e6:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _cell(mean: float, spread: float | None) -> str:
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"


def probabilities_of(
    run: Path, pictures: GalaxyDataset, change: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """Run pictures through a run's network, at its temperature: (N, C). `change` is done to the inputs before."""
    from ..classifier.validation import predict
    from ..figures.saliency_sheets import load_model

    model = read_record(run).model
    images = pictures.images(model["input"]["width"])
    logits = predict(load_model(run), images if change is None else change(images))
    return softmax(logits, model["decode"]["temperature"])
