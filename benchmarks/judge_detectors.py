"""Judge detectors on pictures that none was trained on, in one run, and write what came out as tables.

``training/results/detectors.json`` keeps the verdicts; ``training/RESULTS.md`` is written from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..devices.probe import probe
from ..models.bundle import Bundle
from ..runtime.engine import ENGINES
from ..training.run import RunError, read_record, write_json
from .detection_report import NAMES as SITUATIONS
from .evaluate import evaluate_detector
from .judge import RESULTS
from .latency import bench

FILE = "detectors.json"
KINDS = {"fp32": "float", "int8": "int8"}
BASELINES = {"centre_box": "constant box in the middle", "sep": "SEP, extended sources"}
KEPT = ("map50", "map", "ar1", "ar10", "precision", "recall", "fp_per_frame", "frames", "boxes", "sizes")


def judge_detectors(
    runs: Mapping[str, Path], data: Path, seed: int, rounds: int, say: Callable[[str], None],
    results: Path = RESULTS,
) -> dict[str, Any]:
    """Judge the bundles of several runs on the same unseen pictures, time them in turns, and keep the verdict.

    Args:
        runs: title -> run folder of a detector with its bundle in it, as `galaxy-edge export` makes it; of the same
            data. What one of the first's split was not trained on, none was; those of another seed or fold, which held
            other pictures out, are judged by these and kept apart.
        data: a folder of data sets; seed: of composed scenes and cuts.
        rounds: inferences of each network that are timed, on one thread.
        say: told what is being done.

    Returns:
        ``detectors``: a row for each, with name, seed, parameters, macs, int8_bytes, core_hours, images (scenes seen in
        training), min_ms and median_ms (int8, one thread), threshold, fp32 and int8 (situation -> metrics), apart; and
        ``baselines`` (name -> situation -> metrics), ``machine``, ``rounds``.

    Raises:
        RunError: a run is not finished or not exported, or two were trained on different data.
    """
    records = {name: read_record(run) for name, run in runs.items()}
    bundles = {}
    for name, run in runs.items():
        place = run / "galaxy-detector"
        if "model" not in records[name] or not place.is_dir():
            raise RunError(f"{run} is not finished or not exported: galaxy-edge export --int8 {run}")
        bundles[name] = Bundle.load(place, "detect")
    if len({record["data"]["hash"] for record in records.values()}) > 1:
        raise RunError("these were not trained on the same data: what one has not seen, another has")
    split = next(iter(records.values()))["data"]["split"]
    timed = bench(list(bundles.values()), ENGINES[:1], (1,), rounds, probe(), lambda done, total: None)
    rows, baselines = [], dict[str, dict[str, Any]]()
    for name, bundle in bundles.items():
        record, row = records[name], {"name": name, "seed": records[name]["settings"]["seed"]}
        row["apart"] = record["data"]["split"] != split
        row |= {key: record["model"][key] for key in ("parameters", "macs")}
        row["int8_bytes"] = len(bundle.read("int8.tflite"))
        row["core_hours"] = record["core_hours"]
        row["images"] = record["settings"]["images_per_epoch"] * record["settings"]["epochs"]
        row |= next({key: one[key] for key in ("min_ms", "median_ms")} for one in timed["results"]
                    if one["hash"] == bundle.hash and one["variant"] == "int8")
        for variant in KINDS:
            say(f"judging {name}, {KINDS[variant]}")
            found = evaluate_detector(
                bundle, data, variant, ENGINES[0], 1, lambda done, total: None, only_unseen=True, seed=seed
            )
            row["threshold"] = found["threshold"]
            row[variant] = {one: {key: values[key] for key in KEPT} for one, values in found["situations"].items()}
            # Each size of input has its own baselines; those of the first, which is ours, are kept.
            for baseline in BASELINES:
                baselines.setdefault(baseline, {one: of[baseline] for one, of in found["situations"].items()})
        rows.append(row)
    verdict = {"detectors": rows, "baselines": baselines, "machine": timed["machine"], "rounds": rounds}
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / FILE, verdict)
    return verdict


def detector_page(results: Path = RESULTS) -> list[str]:
    """Write what is kept as Markdown, in parts; nothing where nothing was judged."""
    path = results / FILE
    if not path.exists():
        return []
    verdict = json.loads(path.read_text(encoding="utf-8"))
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
    parts = ["\n## Detectors\n", about + "\n", *_sizes(rows), "\n### mAP@0.5 in each situation\n"]
    parts += _metric(rows, verdict["baselines"], names, "map50")
    parts += ["\n### AR@1\n", *_metric(rows, verdict["baselines"], names, "ar1")]
    parts += ["\n### At the operating threshold (int8)\n"]
    parts += ["Precision / recall where there are galaxies; false detections a frame where there are none.\n"]
    parts += _operating(rows, names)
    if apart:
        parts += ["\n### Other seeds, other pictures held out\n", *_sizes(apart)]
        parts += ["\nmAP@0.5:\n", *_metric(apart, {}, names, "map50"), "\nAt the operating threshold (int8):\n"]
        parts += _operating(apart, names)
    return parts


def _sizes(rows: list[dict[str, Any]]) -> list[str]:
    heads = ("parameters", "million MACs", "int8 KiB", "min ms", "median ms", "core-hours", "scenes seen", "seed")
    lines = [_line("", *heads), _line(*["---"] * (1 + len(heads)))]
    for row in rows:
        lines.append(_line(
            row["name"], f"{row['parameters']:,}", f"{row['macs'] / 1e6:.1f}", f"{row['int8_bytes'] / 1024:.0f}",
            f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}", f"{row['core_hours']:.1f}", f"{row['images']:,}",
            str(row["seed"]),
        ))
    return lines


def _metric(rows: list[dict[str, Any]], baselines: dict[str, Any], names: list[str], key: str) -> list[str]:
    shown = [name for name in names if rows[0]["int8"][name]["boxes"]]
    lines = [_line("", *(SITUATIONS[name] for name in shown)), _line(*["---"] * (1 + len(shown)))]
    counts = (f"{rows[0]['int8'][name]['frames']} / {rows[0]['int8'][name]['boxes']}" for name in shown)
    lines.append(_line("frames / galaxies", *counts))
    for row in rows:
        lines += [_line(f"{row['name']}, {kind}", *(_number(row[variant][name][key]) for name in shown))
                  for variant, kind in KINDS.items()]
    lines += [_line(title, *(_number(baselines[one][name].get(key)) for name in shown))
              for one, title in BASELINES.items() if one in baselines]
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
