"""What a search found: its trials, the front of macro F1 and cost, and the network picked from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plots import pareto as draw
from .run import write_json
from .search_store import Limits, SearchError, locked, open_study
from .small_network import SmallNetwork, from_choice

if TYPE_CHECKING:
    import optuna


def points(study: optuna.Study) -> list[dict[str, Any]]:
    """List what the finished and the pruned trials tried and reached, in plain values.

    Returns:
        One table a trial: number, state (``complete`` or ``pruned``), macro_f1 (None if pruned), macs, parameters,
        int8_bytes, curve (epoch and score), and network, for `SmallNetwork.from_dict`.
    """
    from optuna.trial import TrialState

    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "macro_f1": trial.values[0] if trial.values else None,
            **{name: trial.user_attrs[name] for name in ("macs", "parameters", "int8_bytes")},
            "curve": sorted(curve_of(trial).items()),
            "network": from_choice(trial.params).to_dict(),
        }
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    ]


def pareto(study: optuna.Study) -> list[dict[str, Any]]:
    """List the `points` than which no other is both as good and cheaper, or better and as cheap; cheapest first."""
    best = {trial.number for trial in study.best_trials}
    return sorted((point for point in points(study) if point["number"] in best), key=lambda point: point["macs"])


def pick(found: Sequence[dict[str, Any]], max_macs: int | None = None, max_kib: float | None = None) -> dict[str, Any]:
    """Pick the best macro F1 among the `points` that a device can afford; the cheaper of equals.

    Raises:
        SearchError: none is within the limits.
    """
    limits = Limits(max_macs, max_kib)
    finished = [point for point in found if point["macro_f1"] is not None]
    fitting = [point for point in finished if limits.allow(point["macs"], point["int8_bytes"])]
    if not fitting:
        least = min(finished, key=lambda point: point["macs"], default=None)
        hint = (f"the cheapest takes {least['macs']:,} MACs and {least['int8_bytes'] / 1024:.0f} KiB" if least
                else "no trial has finished")
        raise SearchError(f"none of {len(finished)} networks is within {limits}: {hint}")
    return max(fitting, key=lambda point: (point["macro_f1"], -point["macs"]))


def table(found: Sequence[dict[str, Any]]) -> str:
    """Write `points` as a Markdown table."""
    rows = ["| trial | macro F1 | MACs | int8 KiB | parameters | input | stem | stages | head |", "|" + "---|" * 9]
    for point in found:
        net = SmallNetwork.from_dict(point["network"])
        score = "pruned" if point["macro_f1"] is None else f"{point['macro_f1']:.3f}"
        stages = ", ".join(f"{one.width}x{1 + one.depth} {one.kind} {one.kernel}x{one.kernel}" for one in net.stages)
        head = f"{net.pooling}{f', dense {net.dense}' if net.dense else ''}, dropout {net.dropout:g}"
        stem = f"{net.stem_channels} {net.stem_kernel}x{net.stem_kernel}/{net.stem_stride}"
        rows.append(f"| {point['number']} | {score} | {point['macs'] / 1e6:.2f} M | {point['int8_bytes'] / 1024:.0f} "
                    f"| {point['parameters']:,} | {net.size} | {stem} | {stages} | {head} |")
    return "\n".join(rows) + "\n"


def write_trials(study: optuna.Study, folder: Path) -> None:
    """Write what the study agreed on, its `points` and the numbers of its front to ``trials.json``."""
    with locked(folder / "turn"):
        write_json(folder / "trials.json", {
            "agreed": study.user_attrs["agreed"],
            "front": [point["number"] for point in pareto(study)],
            "trials": points(study),
        })


def curve_of(trial: optuna.trial.FrozenTrial) -> dict[int, float]:
    return {int(name[6:]): score for name, score in trial.user_attrs.items() if name.startswith("epoch ")}


def write_front(folder: Path, max_macs: int | None, max_kib: float | None) -> dict[str, Any]:
    """Write ``front.md``, ``front.png`` and ``picked.json`` into a search's folder; return the point picked.

    Args:
        max_macs, max_kib: what the device can afford: multiply-adds and KiB of the int8 file.

    Raises:
        SearchError: there is no search, or no network of it is within the limits.
    """
    study = open_study(folder)
    front = pareto(study)
    chosen = pick(points(study), max_macs, max_kib)
    numbers = {point["number"] for point in front}
    (folder / "front.md").write_text(table(front), encoding="utf-8")
    draw(
        [
            {"cost": point["macs"] / 1e6, "score": point["macro_f1"], "chosen": point["number"] == chosen["number"],
             "front": point["number"] in numbers}
            for point in points(study) if point["macro_f1"] is not None
        ],
        folder / "front.png", "million multiply-adds",
    )
    write_json(folder / "picked.json", {"max_macs": max_macs, "max_kib": max_kib, **chosen})
    return chosen
