"""Scores of trained recipes, and their table: ``table.json`` and ``table.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...models.markdown import markdown_table
from ..run import RunError
from .significance import MacroScores

MEASURED = ("accuracy", "precision", "recall", "f1", "auc", "coarse_accuracy", "ece")
"""The metrics of a table of recipes."""
_OPTIONAL = ("trained", "network", "images")
_ABOUT = (*_OPTIONAL, "epochs", "parameters", "macs")


@dataclass(frozen=True)
class RunScores(MacroScores):
    """A finished run's scores on validation and the cost of its network.

    Attributes:
        seed: of the training.
        epochs: maximum number of epochs.
        trained: number of epochs that it was trained for.
        network: name of the kind of network.
        coarse_accuracy: share of images with the right coarse group.
        ece: expected calibration error; None if a half of the images is too small to measure it.
        parameters, macs: of the network.
        images: number of validation images.
    """

    seed: int
    epochs: int
    trained: int
    network: str
    coarse_accuracy: float
    ece: float | None
    parameters: int
    macs: int
    images: int


@dataclass(frozen=True)
class StudyRow:
    """A recipe's row of a table.

    Attributes:
        name: of the recipe.
        seeds: of its runs.
        means: mean over the seeds, by metric, see `MEASURED`; without those that a run does not have.
        spreads: standard deviation over the seeds, by metric; None for one seed.
        epochs: maximum number of epochs.
        parameters, macs: of the network.
        trained: number of epochs that each run was trained for; None in tables of earlier versions.
        network: name of the kind of network; None in tables of earlier versions.
        images: number of validation images; None in tables of earlier versions.
    """

    name: str
    seeds: Sequence[int]
    means: Mapping[str, float]
    spreads: Mapping[str, float | None]
    epochs: int
    parameters: int
    macs: int
    trained: Sequence[int] | None = None
    network: str | None = None
    images: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON.

        ``KEY`` is a mean, ``KEY_sd`` its standard deviation.
        """
        scores: dict[str, Any] = {}
        for key in MEASURED:
            scores |= {key: self.means.get(key), f"{key}_sd": self.spreads.get(key)}
        values = {"name": self.name, "seeds": self.seeds, **scores} | {key: getattr(self, key) for key in _ABOUT}
        return {key: value for key, value in values.items() if value is not None or key not in _OPTIONAL}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StudyRow:
        """Create a row from the values of `to_dict`."""
        means = {key: values[key] for key in MEASURED if values[key] is not None}
        spreads = {key: values[f"{key}_sd"] for key in means}
        about = {key: values[key] for key in _ABOUT if key in values or key not in _OPTIONAL}
        return cls(values["name"], values["seeds"], means, spreads, **about)


def summary(name: str, runs: Sequence[RunScores]) -> StudyRow:
    """Combine the scores of several seeds.

    Raises:
        RunError: the runs are of different networks, numbers of epochs or validation images.
    """
    for key in ("network", "parameters", "epochs", "images"):
        by_seed = {run.seed: getattr(run, key) for run in runs}
        if len(set(by_seed.values())) > 1:
            differing = ", ".join(f"{value} (seed {seed})" for seed, value in by_seed.items())
            raise RunError(f"the runs of {name} differ in {key}, {differing}: train all seeds with the same settings")
    values = {key: [getattr(run, key) for run in runs] for key in MEASURED}
    values = {key: scores for key, scores in values.items() if None not in scores}
    return StudyRow(
        name,
        [run.seed for run in runs],
        {key: float(np.mean(scores)) for key, scores in values.items()},
        {key: float(np.std(scores, ddof=1)) if len(runs) > 1 else None for key, scores in values.items()},
        runs[0].epochs,
        runs[0].parameters,
        runs[0].macs,
        [run.trained for run in runs],
        runs[0].network,
        runs[0].images,
    )


def table(rows: Sequence[StudyRow]) -> str:
    """Return rows as a Markdown table, best macro F1 first."""
    heads = {
        "accuracy": "accuracy",
        "precision": "macro precision",
        "recall": "macro recall",
        "f1": "macro F1",
        "auc": "AUC",
        "coarse_accuracy": "4 groups",
        "ece": "ECE",
    }
    cells = [
        (
            row.name,
            *(_cell(row.means.get(key), row.spreads.get(key)) for key in heads),
            f"{row.parameters:,}",
            f"{row.macs / 1e6:.1f}",
        )
        for row in sorted(rows, key=lambda row: -row.means["f1"])
    ]
    return "\n".join(markdown_table(["", *heads.values(), "parameters", "million MACs"], cells)) + "\n"


def _cell(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:.3f}" if spread is None else f"{mean:.3f} ± {spread:.3f}"
