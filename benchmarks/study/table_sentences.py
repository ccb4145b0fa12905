"""Sentences on the study's results for docs/report.md.

They state the order of the rows, and what it shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..accuracy.records.classification import StudyResult
from .factor_effects import main_effects

REPEATED = {"balance": "partial", "views": "report", "scratch": "dropout+batch_norm"}
"""Table -> its row of the report's best network from scratch, with the settings that the report chose."""


def _rows(results: Path, name: str) -> list[dict[str, Any]]:
    path = results / f"table-{name}.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []


def order(results: Path, name: str) -> str:
    """Return the rows of a table by macro F1 on validation, in one sentence."""
    rows = sorted(_rows(results, name), key=lambda row: -row["f1"])
    if not rows:
        return "Ours: not measured yet."
    seeds = ", ".join(str(seed) for seed in rows[0]["seeds"])
    cells = ", ".join(f"{row['name']} {row['f1']:.3f}" for row in rows)
    return f"Ours, by macro F1 on validation (at most {rows[0]['epochs']} epochs, seed {seeds}): {cells}."


def _repeated(results: Path, epochs: int) -> float | None:
    """Return by how much the macro F1 of one network differs between tables.

    Only tables with this number of epochs at most are compared; None if fewer than two trainings of the network are in
    them. Tables may share their runs: equal scores are one training.
    """
    scores = {
        row["f1"]
        for name, own in REPEATED.items()
        for row in _rows(results, name)
        if row["name"] == own and row["epochs"] == epochs
    }
    return max(scores) - min(scores) if len(scores) > 1 else None


def best(results: Path, name: str, kind: str) -> str:
    """Return a sentence on the best row of a table.

    It compares its lead with what repeated trainings and seeds change.
    """
    rows = sorted(_rows(results, name), key=lambda row: -row["f1"])
    if len(rows) < 2:
        return ""
    first, second = rows[:2]
    lead, repeated = first["f1"] - second["f1"], _repeated(results, first["epochs"])
    deviation = max(row.get("f1_sd") or 0.0 for row in rows)
    same = ", as in the report" if first["name"] == REPEATED[name] else ""
    shown = "more" if lead > max(repeated or 0.0, deviation) else "not more"
    between = (
        ""
        if repeated is None
        else f"One and the same network, trained for more than one of these tables, differs by {repeated:.3f} between "
        "them. "
    )
    return (
        f"On our images the {kind} `{first['name']}` has the highest mean{same}, {lead:.3f} ahead of "
        f"`{second['name']}`: {shown} than repeated trainings change. {between}Seeds have a standard deviation of up "
        f"to {deviation:.3f}. This is a rule of thumb, not a test: the best of {len(rows)} rows is partly ahead by "
        "chance."
    )


def regularisations(results: Path) -> str:
    """Say what each regularisation of the networks from scratch changes on average."""
    names = {"dropout": "dropout", "l1l2": "L1L2", "batch_norm": "batch normalisation"}
    effects = main_effects(_rows(results, "scratch"), list(names))
    if not effects:
        return ""
    cells = [f"{names[key]} {mean:+.3f} [{low:+.3f}, {high:+.3f}]" for key, (mean, low, high) in effects.items()]
    raised = [names[key] for key, (_, low, _) in effects.items() if low > 0]
    lowered = [names[key] for key, (_, _, high) in effects.items() if high < 0]
    unclear = [name for name in names.values() if name not in raised + lowered]
    found = [
        f"{verdict} {' and '.join(group)}"
        for verdict, group in (("raised by", raised), ("lowered by", lowered), ("not shown to depend on", unclear))
        if group
    ]
    return (
        "The average effect of each regularisation over all combinations of the others (the 95 % intervals are of "
        f"training again, not of other images): {', '.join(cells)}. So macro F1 on validation is "
        f"{', and '.join(found)}."
    )


def ensemble_gain(found: Mapping[str, Sequence[StudyResult]]) -> str:
    """Say what the ensemble gains over its network from scratch of the same seed."""
    scratch = {result.seed: result for result in found.get("scratch", ())}
    pairs = [(result, scratch[result.seed]) for result in found.get("ensemble", ()) if result.seed in scratch]
    if not pairs:
        return "What the ensemble gains is not measured yet."
    compared = [(own.difference(single), own, single) for own, single in pairs]
    sentences = []
    for change, own, single in compared:
        both = f"macro F1 {own.scores['float'].macro_f1:.3f} against {single.scores['float'].macro_f1:.3f}"
        if change:
            gain, low, high = change
            shown = "better than" if low > 0 else "worse than" if high < 0 else "not shown to differ from"
            sentences.append(
                f"The ensemble is {shown} its network from scratch (seed {own.seed}: {both} on the same images, "
                f"{gain:+.3f} [{low:+.3f}, {high:+.3f}])."
            )
        else:
            sentences.append(
                f"Whether the ensemble gains was not measured on the same images (seed {own.seed}: {both})."
            )
    return " ".join([*sentences, *_alone(found)])


def _alone(found: Mapping[str, Sequence[StudyResult]]) -> list[str]:
    """Say how the ensemble's two networks compare alone, on the same images.

    Nothing is said without both of one seed.
    """
    scratch = {result.seed: result for result in found.get("scratch", ())}
    vgg = next((result for result in found.get("vgg_partial", ()) if result.seed in scratch), None)
    change = vgg.difference(scratch[vgg.seed]) if vgg else None
    if not vgg or not change:
        return []
    gain, low, high = change
    shown = "ahead of" if low > 0 else "behind" if high < 0 else "not shown to differ from"
    return [
        "The report's two networks are almost equally good alone. Here VGG-16 from block 5 is "
        f"{shown} the network from scratch (seed {vgg.seed}: {gain:+.3f} [{low:+.3f}, {high:+.3f}])."
    ]
