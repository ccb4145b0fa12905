"""Judge detectors on pictures that none was trained on, in one run, and write what came out as tables.

``training/results/detectors.json`` keeps the verdicts; ``training/RESULTS.md`` is written from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...devices.engines import ENGINE_NAMES
from ...devices.probe import probe
from ...models.bundle import Bundle
from ...training.run import RunError, read_record, write_json
from ..performance.latency import bench
from .classifier_results import RESULTS
from .evaluate import evaluate_detector
from .report import BASELINES
from .report import NAMES as SITUATIONS

FILE = "detectors.json"
KINDS = {"fp32": "float", "int8": "int8"}
KEPT = ("map50", "map", "ar1", "ar10", "precision", "recall", "fp_per_frame", "frames", "boxes", "sizes")


def judge_detectors(
    runs: Mapping[str, Path],
    data: Path,
    seed: int,
    rounds: int,
    say: Callable[[str], None],
    results: Path = RESULTS,
    add: bool = False,
) -> dict[str, Any]:
    """Judge the bundles of several runs on the same unseen pictures, time them in turns, and keep the verdict.

    Args:
        runs: title -> run folder of a detector with its bundle in it, as `galaxy-edge export` makes it; of the same
            data. What one of the first's split was not trained on, none was; those of another seed or fold, which held
            other pictures out, are judged by these and kept apart, without their latency.
        data: a folder of data sets; seed: of composed scenes and cuts.
        rounds: inferences of each network that are timed, on one thread.
        say: told what is being done.
        results: folder of the verdict.
        add: keep what was judged before; then only runs of other seeds or folds can be, since those are not timed.

    Returns:
        ``detectors``: a row for each, with name, seed, parameters, macs, int8_bytes, core_hours, images (scenes seen in
        training), min_ms and median_ms (int8, one thread), threshold, fp32 and int8 (situation -> metrics), apart; and
        ``baselines`` (name -> situation -> metrics), ``machine``, ``rounds``, ``judged_on`` (data, split, seed).

    Raises:
        RunError: a run is not finished or not exported, two were trained on different data, or nothing is kept that
            could be added to.
    """
    before = _kept(results) if add else None
    records = {name: read_record(run) for name, run in runs.items()}
    bundles = {}
    for name, run in runs.items():
        place = run / "galaxy-detector"
        if not records[name].is_finished or not place.is_dir():
            raise RunError(f"{run} is not finished or not exported: galaxy-edge export --int8 {run}")
        bundles[name] = Bundle.load(place, "detect")
    first = next(iter(records.values())).data
    on = before["judged_on"] if before else {"data": first["hash"], "split": first["split"], "seed": seed}
    if any(record.data["hash"] != on["data"] for record in records.values()):
        raise RunError("these were not trained on the same data: what one has not seen, another has")
    apart = {name: record.data["split"] != on["split"] for name, record in records.items()}
    if before and not all(apart.values()):
        name = next(name for name in apart if not apart[name])
        raise RunError(f"{name} has the split of those judged before, so all must be judged and timed in one run")
    if seed != on["seed"]:
        raise RunError(f"those before were judged on scenes of seed {on['seed']}, not {seed}")
    together = [bundles[name] for name in bundles if not apart[name]]
    timed = bench(together, ENGINE_NAMES[:1], (1,), rounds, probe(), lambda done, total: None) if together else {}
    rows, baselines = [], dict[str, dict[str, Any]]()
    for name, bundle in bundles.items():
        record, row = records[name], {"name": name, "seed": records[name].settings["seed"], "apart": apart[name]}
        row |= {key: record.model[key] for key in ("parameters", "macs")}
        row["int8_bytes"] = len(bundle.read("int8.tflite"))
        row["core_hours"] = record.extra["core_hours"]
        row["images"] = record.settings["images_per_epoch"] * record.settings["epochs"]
        if not apart[name]:
            row |= next(
                {key: one[key] for key in ("min_ms", "median_ms")}
                for one in timed["results"]
                if one["hash"] == bundle.hash and one["variant"] == "int8"
            )
        for variant in KINDS:
            say(f"judging {name}, {KINDS[variant]}")
            found = evaluate_detector(
                bundle, data, variant, ENGINE_NAMES[0], 1, lambda done, total: None, only_unseen=True, seed=seed
            )
            row["threshold"] = found["threshold"]
            row[variant] = {one: {key: values[key] for key in KEPT} for one, values in found["situations"].items()}
            # Each size of input has its own baselines; those of the first, which is ours, are kept.
            for baseline in BASELINES:
                baselines.setdefault(
                    baseline, {one: {key: of[baseline][key] for key in KEPT} for one, of in found["situations"].items()}
                )
        rows.append(row)
    if before:
        others = [row for row in before["detectors"] if row["name"] not in bundles]
        verdict = before | {"detectors": others + rows}
    else:
        verdict = {
            "detectors": rows,
            "baselines": baselines,
            "machine": timed["machine"],
            "rounds": rounds,
            "judged_on": on,
        }
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / FILE, verdict)
    return verdict


def _kept(results: Path) -> dict[str, Any]:
    path = results / FILE
    if not path.exists():
        raise RunError(f"{path} is not there, so there is nothing to add to: judge without --add first")
    verdict: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return verdict


def detector_page(results: Path = RESULTS) -> list[str]:
    """Write what is kept as Markdown, in parts; nothing where nothing was judged."""
    if not (results / FILE).exists():
        return []
    verdict = _kept(results)
    apart = [row for row in verdict["detectors"] if row.get("apart")]
    rows = [row for row in verdict["detectors"] if not row.get("apart")]
    names = [name for name in SITUATIONS if any(name in row["int8"] for row in rows)]
    machine = verdict["machine"]
    about = (
        "Trained on the same pictures, judged once on those that none had seen. Core-hours are the processor time that "
        f"training took, all threads. Latency of the int8 file on one thread of one machine ({machine['machine']}, "
        f"{machine['cores']} cores), all networks in turns, {verdict['rounds']} rounds: a comparison of networks, and "
        "no figure of a Raspberry Pi."
    )
    if len(rows) > 1:
        used = [row["core_hours"] for row in rows[1:]]
        about += (
            f"\n\nThe budget under which architectures are compared: {max(used):.1f} core-hours each "
            f"({min(used):.2f} to {max(used):.2f} were used). The first row, outside of the comparison, had "
            f"{rows[0]['core_hours']:.1f}."
        )
    parts = ["\n## Detectors\n", about + "\n", *_sizes(rows), "\n### mAP@0.5 in each situation\n"]
    parts += _metric(rows, verdict["baselines"], names, "map50")
    parts += ["\n### AR@1\n", *_metric(rows, verdict["baselines"], names, "ar1")]
    parts += ["\n### At the operating threshold (int8)\n"]
    parts += ["Precision / recall where there are galaxies; false detections a frame where there are none.\n"]
    parts += _operating(rows, names)
    if apart:
        parts += ["\n### Other seeds, other pictures held out\n", *_sizes(apart, timed=False)]
        parts += ["\nmAP@0.5:\n", *_metric(apart, {}, names, "map50"), "\nAt the operating threshold (int8):\n"]
        parts += _operating(apart, names)
    return parts


def _sizes(rows: list[dict[str, Any]], timed: bool = True) -> list[str]:
    times = ("min ms", "median ms") if timed else ()
    heads = ("parameters", "million MACs", "int8 KiB", *times, "core-hours", "scenes seen", "seed")
    lines = [_line("", *heads), _line(*["---"] * (1 + len(heads)))]
    for row in rows:
        took = (f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}") if timed else ()
        lines.append(
            _line(
                row["name"],
                f"{row['parameters']:,}",
                f"{row['macs'] / 1e6:.1f}",
                f"{row['int8_bytes'] / 1024:.0f}",
                *took,
                f"{row['core_hours']:.1f}",
                f"{row['images']:,}",
                str(row["seed"]),
            )
        )
    return lines


def _metric(rows: list[dict[str, Any]], baselines: dict[str, Any], names: list[str], key: str) -> list[str]:
    shown = [name for name in names if rows[0]["int8"][name]["boxes"]]
    lines = [_line("", *(SITUATIONS[name] for name in shown)), _line(*["---"] * (1 + len(shown)))]
    counts = (f"{rows[0]['int8'][name]['frames']} / {rows[0]['int8'][name]['boxes']}" for name in shown)
    lines.append(_line("frames / galaxies", *counts))
    for row in rows:
        lines += [
            _line(f"{row['name']}, {kind}", *(_number(row[variant][name][key]) for name in shown))
            for variant, kind in KINDS.items()
        ]
    lines += [
        _line(title, *(_number(baselines[one][name].get(key)) for name in shown))
        for one, title in BASELINES.items()
        if one in baselines
    ]
    return lines


def _operating(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    lines = [_line("", "threshold", *(SITUATIONS[name] for name in names)), _line(*["---"] * (2 + len(names)))]
    for row in rows:
        cells = []
        for name in names:
            one = row["int8"][name]
            said = [f"{_number(one['precision'])} / {_number(one['recall'])}"] if one["boxes"] else []
            said += [f"{one['fp_per_frame']:.3f} a frame"] if one["fp_per_frame"] is not None else []
            cells.append("; ".join(said))
        lines.append(_line(row["name"], f"{row['threshold']:.2f}", *cells))
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
