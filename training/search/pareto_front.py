"""The results of a search: trials, Pareto front, and the picked network.

The front is that of score and cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files import write_atomic
from ...models.markdown import markdown_table
from ..figures.plots import pareto as draw
from ..run import write_json
from .classifier_space import CLASSIFIERS
from .space import Space
from .study_store import JOURNAL, Limits, SearchError, locked, open_study, space_of

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class TrialResult:
    """Network, score and cost of a finished or pruned trial.

    Attributes:
        number: of the trial, from 0.
        state: ``complete`` or ``pruned``.
        score: on validation, 0..1; None if pruned.
        macs: multiply-adds.
        parameters: number of parameters.
        int8_bytes: size of the int8 file.
        network: the network's choices, plain values.
        curve: epoch and score of each report during training.
    """

    number: int
    state: str
    score: float | None
    macs: int
    parameters: int
    int8_bytes: int
    network: dict[str, Any]
    curve: tuple[tuple[int, float], ...] = ()

    def to_dict(self, score_key: str) -> dict[str, Any]:
        """Return plain values as in ``trials.json``.

        The score has the key `score_key`, e.g. ``macro_f1``.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["curve"] = [list(point) for point in self.curve]
        return {score_key if name == "score" else name: value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], score_key: str) -> TrialResult:
        """Create a result from `to_dict`'s values; a missing curve is empty."""
        curve = tuple((int(epoch), float(score)) for epoch, score in values.get("curve", ()))
        named = {"score" if name == score_key else name: value for name, value in values.items()}
        return cls(**{**named, "curve": curve})


def points(study: optuna.Study) -> list[TrialResult]:
    """Return the results of the finished and the pruned trials.

    Raises:
        SearchError: the journal lacks lines of one of them.
    """
    from optuna.trial import TrialState

    space, found = space_of(study), []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        try:
            result = TrialResult(
                trial.number,
                trial.state.name.lower(),
                trial.values[0] if trial.values else None,
                **{name: trial.user_attrs[name] for name in ("macs", "parameters", "int8_bytes")},
                network=space.network(trial.params).to_dict(),
                curve=tuple(sorted(curve_of(trial).items())),
            )
        except KeyError as missing:
            raise SearchError(f"{JOURNAL} lacks lines of trial {trial.number} ({missing}): restore a copy") from None
        found.append(result)
    return found


def pareto(study: optuna.Study) -> list[TrialResult]:
    """Return the Pareto front of score and multiply-adds, cheapest first."""
    best = {trial.number for trial in study.best_trials}
    return sorted((result for result in points(study) if result.number in best), key=lambda result: result.macs)


def pick(results: Sequence[TrialResult], max_macs: int | None = None, max_kib: float | None = None) -> TrialResult:
    """Pick the result with the best score within limits.

    Of networks with equal scores, the cheapest is picked.

    Raises:
        SearchError: no network is within the limits.
    """
    limits = Limits(max_macs, max_kib)
    finished = [(result.score, result) for result in results if result.score is not None]
    fitting = [(score, result) for score, result in finished if limits.allow(result.macs, result.int8_bytes)]
    if not fitting:
        cheapest = min((result for _, result in finished), key=lambda result: result.macs, default=None)
        hint = (
            f"the cheapest takes {cheapest.macs:,} MACs and {cheapest.int8_bytes / 1024:.0f} KiB"
            if cheapest
            else "no trial has finished"
        )
        raise SearchError(f"none of {len(finished)} networks is within {limits}: {hint}")
    return max(fitting, key=lambda scored: (scored[0], -scored[1].macs))[1]


def table(results: Sequence[TrialResult], space: Space = CLASSIFIERS) -> str:
    """Return results as a Markdown table."""
    rows = [
        (
            str(result.number),
            "pruned" if result.score is None else f"{result.score:.3f}",
            f"{result.macs / 1e6:.2f} M",
            f"{result.int8_bytes / 1024:.0f}",
            f"{result.parameters:,}",
            *space.describe(result.network),
        )
        for result in results
    ]
    heading = ("trial", space.score[1], "MACs", "int8 KiB", "parameters", *space.columns)
    return "\n".join(markdown_table(heading, rows)) + "\n"


def write_trials(study: optuna.Study, folder: Path) -> None:
    """Write a study's settings, results and Pareto front to ``trials.json``.

    The front is stored as trial numbers.
    """
    score_key = space_of(study).score[0]
    with locked(folder / "turn"):
        write_json(
            folder / "trials.json",
            {
                "agreed": study.user_attrs["agreed"],
                "front": [result.number for result in pareto(study)],
                "trials": [result.to_dict(score_key) for result in points(study)],
            },
        )


def curve_of(trial: optuna.trial.FrozenTrial) -> dict[int, float]:
    """Return the scores that a trial reported during training, by epoch."""
    return {int(name[6:]): score for name, score in trial.user_attrs.items() if name.startswith("epoch ")}


def write_front(folder: Path, max_macs: int | None, max_kib: float | None) -> tuple[TrialResult, Space]:
    """Pick a network, and write it and the Pareto front to a search's folder.

    The files are ``front.md``, ``front.png`` and ``picked.json``.

    Args:
        folder: the folder.
        max_macs: maximum multiply-adds, or None.
        max_kib: maximum size of the int8 file in KiB, or None.

    Returns:
        The picked result, and the space of its network.

    Raises:
        SearchError: there is no search, or none of its networks is within the limits.
    """
    study = open_study(folder)
    space, front = space_of(study), pareto(study)
    results = points(study)
    chosen = pick(results, max_macs, max_kib)
    numbers = {result.number for result in front}
    write_atomic(folder / "front.md", table(front, space).encode())
    draw(
        [
            {
                "cost": result.macs / 1e6,
                "score": result.score,
                "chosen": result.number == chosen.number,
                "front": result.number in numbers,
            }
            for result in results
            if result.score is not None
        ],
        folder / "front.png",
        "million multiply-adds",
    )
    write_json(folder / "picked.json", {"max_macs": max_macs, "max_kib": max_kib, **chosen.to_dict(space.score[0])})
    return chosen, space
