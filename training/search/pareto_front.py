"""The results of a search: its trials, their Pareto front of score and cost, and the network picked from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..figures.plots import pareto as draw
from ..run import write_json
from .classifier_space import CLASSIFIERS
from .space import Space
from .study_store import Limits, SearchError, locked, open_study, space_of

if TYPE_CHECKING:
    import optuna


def points(study: optuna.Study) -> list[dict[str, Any]]:
    """List networks and scores of the finished and the pruned trials, in plain values.

    Returns:
        A dictionary for each trial: number, state (``complete`` or ``pruned``), the score by its key (``macro_f1`` of
        classifiers; None if pruned), macs, parameters, int8_bytes, curve (epoch and score), and network, plain values.
    """
    from optuna.trial import TrialState

    space = space_of(study)

    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            space.score[0]: trial.values[0] if trial.values else None,
            **{name: trial.user_attrs[name] for name in ("macs", "parameters", "int8_bytes")},
            "curve": sorted(curve_of(trial).items()),
            "network": space.network(trial.params).to_dict(),
        }
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    ]


def pareto(study: optuna.Study) -> list[dict[str, Any]]:
    """List the `points` of the Pareto front of score and multiply-adds, cheapest first."""
    best = {trial.number for trial in study.best_trials}
    return sorted((point for point in points(study) if point["number"] in best), key=lambda point: point["macs"])


def pick(
    found: Sequence[dict[str, Any]],
    max_macs: int | None = None,
    max_kib: float | None = None,
    space: Space = CLASSIFIERS,
) -> dict[str, Any]:
    """Pick the `points` entry of the best score within limits; of equal scores, the cheaper one.

    Raises:
        SearchError: no network is within the limits.
    """
    limits, score = Limits(max_macs, max_kib), space.score[0]
    finished = [point for point in found if point[score] is not None]
    fitting = [point for point in finished if limits.allow(point["macs"], point["int8_bytes"])]
    if not fitting:
        cheapest = min(finished, key=lambda point: point["macs"], default=None)
        hint = (
            f"the cheapest takes {cheapest['macs']:,} MACs and {cheapest['int8_bytes'] / 1024:.0f} KiB"
            if cheapest
            else "no trial has finished"
        )
        raise SearchError(f"none of {len(finished)} networks is within {limits}: {hint}")
    return max(fitting, key=lambda point: (point[score], -point["macs"]))


def table(found: Sequence[dict[str, Any]], space: Space = CLASSIFIERS) -> str:
    """Return `points` as a Markdown table."""
    key, title = space.score
    rows = [f"| trial | {title} | MACs | int8 KiB | parameters | " + " | ".join(space.columns) + " |"]
    rows.append("|" + "---|" * (5 + len(space.columns)))
    for point in found:
        score = "pruned" if point[key] is None else f"{point[key]:.3f}"
        rows.append(
            f"| {point['number']} | {score} | {point['macs'] / 1e6:.2f} M | {point['int8_bytes'] / 1024:.0f} "
            f"| {point['parameters']:,} | " + " | ".join(space.describe(point["network"])) + " |"
        )
    return "\n".join(rows) + "\n"


def write_trials(study: optuna.Study, folder: Path) -> None:
    """Write the settings of a study, its `points` and the trial numbers of its front to ``trials.json``."""
    with locked(folder / "turn"):
        write_json(
            folder / "trials.json",
            {
                "agreed": study.user_attrs["agreed"],
                "front": [point["number"] for point in pareto(study)],
                "trials": points(study),
            },
        )


def curve_of(trial: optuna.trial.FrozenTrial) -> dict[int, float]:
    return {int(name[6:]): score for name, score in trial.user_attrs.items() if name.startswith("epoch ")}


def write_front(folder: Path, max_macs: int | None, max_kib: float | None) -> tuple[dict[str, Any], Space]:
    """Write ``front.md``, ``front.png`` and ``picked.json`` into the folder of a search.

    Args:
        folder: the folder.
        max_macs: maximum multiply-adds, or None.
        max_kib: maximum size of the int8 file in KiB, or None.

    Returns:
        The picked network, one of `points`, and its space.

    Raises:
        SearchError: there is no search, or none of its networks is within the limits.
    """
    study = open_study(folder)
    space, front = space_of(study), pareto(study)
    chosen = pick(points(study), max_macs, max_kib, space)
    numbers = {point["number"] for point in front}
    (folder / "front.md").write_text(table(front, space), encoding="utf-8")
    draw(
        [
            {
                "cost": point["macs"] / 1e6,
                "score": point[space.score[0]],
                "chosen": point["number"] == chosen["number"],
                "front": point["number"] in numbers,
            }
            for point in points(study)
            if point[space.score[0]] is not None
        ],
        folder / "front.png",
        "million multiply-adds",
    )
    write_json(folder / "picked.json", {"max_macs": max_macs, "max_kib": max_kib, **chosen})
    return chosen, space
