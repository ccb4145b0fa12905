"""Save and render the tables of the study's comparisons and searches.

They are measured on the validation part.

``table-NAME.json`` in the folder of results holds what ``galaxy-edge study NAME`` wrote into its output folder, reduced
to what the page of results shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...models.intervals import interval_text, wilson_interval
from ...models.markdown import markdown_table
from ...training.augmentation.presets import AUGMENTATIONS
from ...training.classifier.balancing import STRATEGIES
from ...training.classifier.recipe import SCRATCH
from ...training.detector.fold_table import check_folds, fold_table
from ...training.run import RunError, write_json
from ...training.search import pareto_front as front
from ...training.search.classifier_space import CLASSIFIERS
from ...training.search.detector_space import DETECTORS
from ...training.search.space import Space
from ...training.study import study_table
from ...training.study.comparisons import FoldComparison, SourceComparison
from ...training.study.detector_table import comparison_table
from ...training.study.source_table import source_table

TITLES = {
    "views": "Augmentation (section 2.3)",
    "balance": "Class imbalance (section 2.3)",
    "scratch": "Networks from scratch (sections 2.4, 2.5)",
    "folds": "Two recipes over folds (section 2.7)",
    "report-search": "The report's search: two convolutions (section 2.9.2)",
    "search": "Our search: macro F1 and cost together (section 2.9.2)",
    "cross": "Trained on one source, measured on the other",
    "search-detector": "The search for detectors: mAP@0.5 and cost together",
    "detector-folds": "A detector over folds",
    "detectors-scenes": "Detectors after the same number of scenes",
    "detectors-hours": "Detectors after the same core-hours",
}
"""The titles of the tables, in the order of the page; sections are those of the university report."""


def save_table(name: str, folder: Path, results: Path) -> Path:
    """Save the table that a command of the study wrote into a folder.

    Args:
        name: one of `TITLES`.
        folder: output folder of the command.
        results: folder of the results; it is created if missing.

    Returns:
        The path of the saved table.

    Raises:
        RunError: the name is unknown, or the folder does not contain such a table.
    """
    if name not in TITLES:
        raise RunError(f"there is no table '{name}'; known tables: {', '.join(TITLES)}")
    path = folder / _FILES.get(name, "table.json")
    try:
        found = _REDUCE.get(name, lambda result: result)(json.loads(path.read_text(encoding="utf-8")))
        if not found:
            raise ValueError("it is empty")
        render(name, found)
        if name == "detector-folds":
            check_folds(folder, found)
        if name in _BUDGETS:
            _check_comparison(path, found, *_BUDGETS[name])
        if name in _COMPLETE:
            study = _study(folder)
            if (command := study["about"].get("command", name)) not in (name, "compare"):
                raise RunError(f"{folder} is the output of 'galaxy-edge study {command}', not of 'study {name}'")
            known = _ROWS.get(name)
            if others := [row["name"] for row in found if known and row["name"] not in known]:
                raise RunError(f"{path} has rows that 'galaxy-edge study {name}' does not make: {', '.join(others)}")
            _check_rows(path, found, [*_COMPLETE[name], *study["recipes"]])
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}): name the --out of 'galaxy-edge {_command(name)}'"
        ) from None
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise RunError(f"{path} is not a table of 'galaxy-edge {_command(name)}': {error}") from None
    results.mkdir(parents=True, exist_ok=True)
    saved = results / f"table-{name}.json"
    write_json(saved, found)
    return saved


def _command(name: str) -> str:
    return _COMMANDS.get(name, f"study {name}")


def _check_comparison(path: Path, found: dict[str, Any], limit: str, option: str) -> None:
    """Raise a RunError unless a comparison has the table's kind of limit.

    Its rows must have the same seeds.
    """
    if found["about"]["budget"][limit] is None:
        raise RunError(f"{path} is not a comparison with {option}: save it under the other name")
    _check_rows(path, found["rows"], list(_study(path.parent)["recipes"]), ())
    seeds = {row["name"]: row["seeds"] for row in found["rows"]}
    if len(set(map(tuple, seeds.values()))) > 1:
        each = "; ".join(f"{name}: {', '.join(map(str, own))}" for name, own in seeds.items())
        raise RunError(f"the rows of {path} have different seeds ({each}): train all with each of them, then save it")


def _study(folder: Path) -> dict[str, Any]:
    """Return the record of a study, see `training.study.agreement`."""
    path = folder / "study.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: dict(found[name]) for name in ("about", "recipes")}
    except FileNotFoundError:
        return {"about": {}, "recipes": {}}
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error!r}): delete it, and run the study again") from None


def _check_rows(
    path: Path, rows: list[dict[str, Any]], names: Sequence[str], same: Sequence[str] = ("seeds", "epochs")
) -> None:
    """Raise a RunError unless a table is complete.

    It must have all its rows once, each of different seeds, and with the same value of each key in `same`.
    """
    if not rows or len({row["name"] for row in rows}) < len(rows):
        raise ValueError("a row is there twice" if rows else "it has no row")
    if any(len(set(row["seeds"])) < len(row["seeds"]) or not row["seeds"] for row in rows):
        raise ValueError("a row has a seed twice, or none")
    missing = [name for name in names if name not in {row["name"] for row in rows}]
    if missing:
        raise RunError(
            f"{path} has no row yet of {', '.join(missing)}: give the command of the study again to continue"
        )
    for key in same:
        if len({json.dumps(row[key]) for row in rows}) > 1:
            raise RunError(f"the rows of {path} have different {key}: train all with the same, then save the table")


def saved_tables(results: Path) -> list[str]:
    """Return the saved tables as Markdown, in the order of `TITLES`."""
    lines, read = list[str](), dict[str, Any]()
    for name, title in TITLES.items():
        path = results / f"table-{name}.json"
        if path.exists():
            try:
                read[name] = json.loads(path.read_text(encoding="utf-8"))
                text = render(name, read[name]).strip() + _repeated(name, read)
            except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
                raise RunError(f"{path} is damaged ({error}): save the table again") from None
            lines += [f"\n## {title}\n", text]
    return lines


def _repeated(name: str, read: dict[str, Any]) -> str:
    """Name the runs of a comparison of detectors that the other has too."""
    if name not in _BUDGETS or not read.keys() >= _BUDGETS.keys():
        return ""
    first, second = ({row["name"]: row for row in read[key]["rows"]} for key in _BUDGETS)
    same = [title for title, row in first.items() if second.get(title) == row]
    return f"\n\nThe same runs as in the table before: {', '.join(same)}." if same else ""


def render(name: str, found: Any) -> str:
    """Return a table as Markdown.

    Args:
        name: one of `TITLES`.
        found: the content of the saved table.
    """
    return str(_RENDER.get(name, _networks)(found))  # type: ignore[no-untyped-call] # keys differ in their value's type


def _networks(saved: list[dict[str, Any]]) -> str:
    rows = [study_table.StudyRow.from_dict(row) for row in saved]
    epochs = sorted({row.epochs for row in rows})
    seeds = sorted({seed for row in rows for seed in row.seeds})
    networks = {row.network for row in rows}
    about = f"Network '{networks.pop()}'. " if len(networks) == 1 and networks != {None} else ""
    about += f"At most {' or '.join(map(str, epochs))} epochs each, seed {', '.join(map(str, seeds))}, "
    about += " or ".join(f"on {row} validation images" for row in sorted({row.images for row in rows if row.images}))
    about += "; mean and standard deviation over the seeds."
    best = max(rows, key=lambda row: row.means["accuracy"])
    if best.images:
        limits = wilson_interval(round(best.means["accuracy"] * best.images), best.images)
        about += f" The highest accuracy has a 95 % interval of{interval_text(limits)} from the number of images alone."
    trained = [count for row in rows for count in row.trained or ()]
    if trained:
        limited = sum(count == row.epochs for row in rows for count in row.trained or ())
        about += (
            f" The limit ended {limited} of the {len(trained)} runs, which were not trained until convergence."
            if limited
            else " All runs ended before, because the validation loss no longer fell."
        )
    return f"{about}\n\n{study_table.table(rows)}"


def _folds(saved: dict[str, Any]) -> str:
    found = FoldComparison.from_dict(saved)
    rows = []
    for name, row in found.metrics.items():
        cells = [f"{spread.mean:.3f} ± {spread.std:.3f}" for spread in (row.a, row.b)]
        rows.append((name, *cells, f"{row.difference:+.3f}", f"{row.p:.4f}"))
    about = f"{found.folds} folds, {found.repeats} time{'s' if found.repeats > 1 else ''}"
    about += f", at most {found.epochs} epochs each" if found.epochs else ""
    trained = [count for counts in (found.trained or {}).values() for count in counts]
    if trained and found.epochs:
        about += f" (the limit ended {sum(count == found.epochs for count in trained)} of {len(trained)} trainings)"
    table = markdown_table(["", *found.recipes, "difference", "p"], rows)
    return f"{about}. {found.reading}\n\n" + "\n".join(table)


def _search(found: dict[str, Any], space: Space = CLASSIFIERS) -> str:
    scenes = f" on {found['images']} scenes each" if "images" in found else ""
    about = (
        f"The front: {len(found['front'])} of {found['trials']} trials of {found['epochs']} epochs{scenes} "
        f"({found['pruned']} of them pruned) that no other beats in both {space.score[1]} on validation and cost. "
        "Each was trained once, with one seed, and not until convergence: the scores rank designs by how fast they "
        "learn, and small differences are noise."
    )
    results = [front.TrialResult.from_dict(values, space.score[0]) for values in found["front"]]
    return f"{about}\n\n{front.table(results, space)}"


def _reduce_search(found: dict[str, Any]) -> dict[str, Any]:
    numbers, trials = set(found["front"]), found["trials"]
    on_front = sorted((trial for trial in trials if trial["number"] in numbers), key=lambda trial: int(trial["macs"]))
    return {
        "trials": len(trials),
        **{key: value for key, value in found["agreed"]["about"].items() if key in ("epochs", "images")},
        "pruned": sum(trial["state"] == "pruned" for trial in trials),
        "front": [{key: value for key, value in trial.items() if key != "curve"} for trial in on_front],
    }


def _report_search(found: dict[str, Any]) -> str:
    names = sorted(found["trials"][0]["values"])
    rows = [
        (
            f"{row['accuracy']:.3f}",
            f"{row['macro_f1']:.3f}",
            f"{row['macs'] / 1e6:.1f}",
            f"{row['parameters']:,}",
            *(f"{row['values'][name]:g}" for name in names),
        )
        for row in found["trials"]
    ]
    about = f"{len(rows)} trials"
    if "epochs" in found:
        about += f" of {found['epochs']} epochs each, not until convergence, seed {found['seed']}"
    table = markdown_table(["accuracy", "macro F1", "million MACs", "parameters", *names], rows)
    return "\n".join([f"{about}; the search maximises the accuracy on validation.\n", *table])


def _cross(saved: dict[str, Any]) -> str:
    found = SourceComparison.from_dict(saved)
    return source_table(found.recall, found.images)


_COMPLETE: dict[str, Sequence[str]] = {"scratch": SCRATCH, "views": (), "balance": ()}
"""Names of the rows that a table must have; the rows of these tables must have the same seeds and epochs."""

_ROWS: dict[str, Iterable[str]] = {"views": AUGMENTATIONS, "balance": STRATEGIES}
"""Names of the rows that a table may have."""

_COMMANDS = {
    "detector-folds": "train detector --folds",
    "detectors-scenes": "study compare-detectors --scenes",
    "detectors-hours": "study compare-detectors --core-hours",
}
_BUDGETS = {"detectors-scenes": ("scenes", "--scenes"), "detectors-hours": ("core_hours", "--core-hours")}

_FILES = {
    "folds": "comparison.json",
    "search": "trials.json",
    "report-search": "trials.json",
    "cross": "cross.json",
    "search-detector": "trials.json",
    "detector-folds": "folds.json",
    "detectors-scenes": "comparison.json",
    "detectors-hours": "comparison.json",
}
_REDUCE: dict[str, Callable[[Any], Any]] = {"search": _reduce_search, "search-detector": _reduce_search}
_RENDER: dict[str, Callable[[Any], str]] = {
    "folds": _folds,
    "search": _search,
    "report-search": _report_search,
    "cross": _cross,
    "search-detector": partial(_search, space=DETECTORS),
    "detector-folds": fold_table,
    "detectors-scenes": comparison_table,
    "detectors-hours": comparison_table,
}
