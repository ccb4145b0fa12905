"""Evaluate detectors on images that none was trained on, in one run, and save and render the results."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...devices.engines import ENGINE_NAMES
from ...devices.probe import probe
from ...models.bundle import Bundle
from ...models.markdown import markdown_row, markdown_table
from ...training.run import RunError, RunRecord, read_record, write_json
from ..performance.latency import bench
from .evaluate import evaluate_detector
from .report import BASELINES
from .report import NAMES as SITUATIONS

logger = logging.getLogger(__name__)

FILE = "detectors.json"
KINDS = {"fp32": "float", "int8": "int8"}
KEPT = ("map50", "map", "ar1", "ar10", "precision", "recall", "fp_per_frame", "frames", "boxes", "sizes")
"""The metrics that are saved."""


# Long because all networks are measured in turn on the same scenes and in the same run.
def evaluate_detectors(
    runs: Mapping[str, Path],
    data: Path,
    results: Path,
    *,
    seed: int = 1,
    rounds: int = 50,
    add: bool = False,
) -> dict[str, Any]:
    """Evaluate the bundles of several runs on the same held-out images, time them in turns and save the results.

    Runs with the split of the first run were not trained on these images. Runs of another seed or fold held out other
    images: they are evaluated on those and marked ``apart``, without latency.

    Args:
        runs: title -> run folder of a detector that contains its bundle, as `galaxy-edge export` writes it; all trained
            on the same data.
        data: a folder of data sets.
        results: folder of the results; it is created if missing.
        seed: seed of composed scenes and crops.
        rounds: number of timed inferences of each network, on one thread.
        add: keep the saved results and add to them; only runs of other seeds or folds can be added, since these are
            not timed.

    Returns:
        ``detectors``: a row for each, with name, seed, parameters, macs, int8_bytes, core_hours, images (scenes seen in
        training), min_ms and median_ms (int8, one thread), threshold, fp32 and int8 (situation -> metrics), apart; and
        ``baselines`` (name -> situation -> metrics), ``machine``, ``rounds``, ``judged_on`` (data, split, seed).

    Raises:
        RunError: a run is not finished or not exported, two were trained on different data, or there are no saved
            results to add to.
    """
    saved = _read_saved(results) if add else None
    records = {name: read_record(run) for name, run in runs.items()}
    bundles = {name: _bundle_of(run, records[name]) for name, run in runs.items()}
    first = next(iter(records.values())).data
    basis = saved["judged_on"] if saved else {"data": first["hash"], "split": first["split"], "seed": seed}
    if any(record.data["hash"] != basis["data"] for record in records.values()):
        raise RunError("the runs were not trained on the same data, so images held out of one may be known to another")
    apart = {name: record.data["split"] != basis["split"] for name, record in records.items()}
    if saved and not all(apart.values()):
        name = next(name for name in apart if not apart[name])
        raise RunError(f"{name} has the split of the saved results, so all must be evaluated and timed in one run")
    if seed != basis["seed"]:
        raise RunError(f"the saved results are of scenes of seed {basis['seed']}, not {seed}")
    timed_bundles = [bundles[name] for name in bundles if not apart[name]]
    machine, latencies = _time(timed_bundles, rounds) if timed_bundles else ({}, {})
    rows, baselines = [], dict[str, dict[str, Any]]()
    for name, bundle in bundles.items():
        row = {"name": name, **_describe(records[name]), "apart": apart[name]}
        row["int8_bytes"] = len(bundle.read("int8.tflite"))
        row |= {} if apart[name] else latencies[bundle.hash]
        metrics, measured_baselines = _measure(name, bundle, data, seed)
        rows.append(row | metrics)
        # Each input size has its own baselines; those of the first detector are saved.
        baselines = baselines or measured_baselines
    if saved:
        others = [row for row in saved["detectors"] if row["name"] not in bundles]
        result = saved | {"detectors": others + rows}
    else:
        result = {"detectors": rows, "baselines": baselines, "machine": machine, "rounds": rounds, "judged_on": basis}
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / FILE, result)
    return result


def _bundle_of(run: Path, record: RunRecord) -> Bundle:
    """Load the bundle in a finished run's folder."""
    path = run / "galaxy-detector"
    if not record.is_finished or not path.is_dir():
        raise RunError(f"{run} is not finished or not exported: galaxy-edge export --int8 {run}")
    return Bundle.load(path, "detect")


def _describe(record: RunRecord) -> dict[str, Any]:
    """Return seed, costs and training effort of a run."""
    return {
        "seed": record.settings["seed"],
        **{key: record.model[key] for key in ("parameters", "macs")},
        "core_hours": record.extra["core_hours"],
        "images": record.settings["images_per_epoch"] * record.settings["epochs"],
    }


def _time(bundles: list[Bundle], rounds: int) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Time the int8 networks in turns on one thread.

    Returns:
        The machine, and bundle hash -> ``min_ms`` and ``median_ms``.
    """
    timed = bench(bundles, ENGINE_NAMES[:1], (1,), rounds, probe(), lambda done, total: None)
    latencies = {
        row["hash"]: {key: row[key] for key in ("min_ms", "median_ms")}
        for row in timed["results"]
        if row["variant"] == "int8"
    }
    return timed["machine"], latencies


def _measure(name: str, bundle: Bundle, data: Path, seed: int) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Measure the float and the int8 variant of a detector on held-out images.

    Returns:
        ``threshold``, and variant -> situation -> metrics; and baseline -> situation -> metrics.
    """
    measured: dict[str, Any] = {}
    baselines = dict[str, dict[str, Any]]()
    for variant, kind in KINDS.items():
        logger.info("evaluating %s, %s", name, kind)
        found = evaluate_detector(
            bundle, data, variant, ENGINE_NAMES[0], 1, lambda done, total: None, held_out=True, seed=seed
        )
        situations = found["situations"]
        measured["threshold"] = found["threshold"]
        measured[variant] = {name: {key: values[key] for key in KEPT} for name, values in situations.items()}
        for baseline in BASELINES:
            baselines.setdefault(
                baseline,
                {name: {key: values[baseline][key] for key in KEPT} for name, values in situations.items()},
            )
    return measured, baselines


def _read_saved(results: Path) -> dict[str, Any]:
    path = results / FILE
    if not path.exists():
        raise RunError(f"{path} does not exist, so there is nothing to add to: evaluate without --add first")
    saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return saved


def detector_page(results: Path) -> list[str]:
    """Return the saved results as parts of a Markdown page; empty if there are none."""
    if not (results / FILE).exists():
        return []
    saved = _read_saved(results)
    apart = [row for row in saved["detectors"] if row.get("apart")]
    rows = [row for row in saved["detectors"] if not row.get("apart")]
    names = [name for name in SITUATIONS if any(name in row["int8"] for row in rows)]
    machine = saved["machine"]
    about = (
        "Trained on the same images, evaluated once on images that were held out of all trainings. Core-hours are the "
        f"processor time of the training, all threads. Latency of the int8 file on one thread of one machine "
        f"({machine['machine']}, {machine['cores']} cores), all networks in turns, {saved['rounds']} rounds: "
        "a comparison of networks, not the latency on a Raspberry Pi."
    )
    if len(rows) > 1:
        hours = [row["core_hours"] for row in rows[1:]]
        about += (
            f"\n\nThe budget under which architectures are compared: {max(hours):.1f} core-hours each "
            f"({min(hours):.2f} to {max(hours):.2f} were used). The first row is outside of the comparison and had "
            f"{rows[0]['core_hours']:.1f}."
        )
    parts = ["\n## Detectors\n", about + "\n", *_sizes(rows), "\n### mAP@0.5 in each situation\n"]
    parts += _metric(rows, saved["baselines"], names, "map50")
    parts += ["\n### AR@1\n", *_metric(rows, saved["baselines"], names, "ar1")]
    parts += ["\n### At the operating threshold (int8)\n"]
    parts += ["Precision / recall where there are galaxies; false detections per frame where there are none.\n"]
    parts += _operating(rows, names)
    if apart:
        parts += ["\n### Other seeds, other images held out\n", *_sizes(apart, timed=False)]
        parts += ["\nmAP@0.5:\n", *_metric(apart, {}, names, "map50"), "\nAt the operating threshold (int8):\n"]
        parts += _operating(apart, names)
    return parts


def _sizes(rows: list[dict[str, Any]], timed: bool = True) -> list[str]:
    latency = ("min ms", "median ms") if timed else ()
    heads = ("parameters", "million MACs", "int8 KiB", *latency, "core-hours", "scenes seen", "seed")
    lines = markdown_table(["", *heads], [])
    for row in rows:
        times = (f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}") if timed else ()
        lines.append(
            markdown_row(
                [
                    row["name"],
                    f"{row['parameters']:,}",
                    f"{row['macs'] / 1e6:.1f}",
                    f"{row['int8_bytes'] / 1024:.0f}",
                    *times,
                    f"{row['core_hours']:.1f}",
                    f"{row['images']:,}",
                    str(row["seed"]),
                ]
            )
        )
    return lines


def _metric(rows: list[dict[str, Any]], baselines: dict[str, Any], names: list[str], key: str) -> list[str]:
    shown = [name for name in names if rows[0]["int8"][name]["boxes"]]
    lines = markdown_table(["", *(SITUATIONS[name] for name in shown)], [])
    counts = (f"{rows[0]['int8'][name]['frames']} / {rows[0]['int8'][name]['boxes']}" for name in shown)
    lines.append(markdown_row(["frames / galaxies", *counts]))
    for row in rows:
        lines += [
            markdown_row([f"{row['name']}, {kind}", *(_number(row[variant][name][key]) for name in shown)])
            for variant, kind in KINDS.items()
        ]
    lines += [
        markdown_row([title, *(_number(baselines[baseline][name].get(key)) for name in shown)])
        for baseline, title in BASELINES.items()
        if baseline in baselines
    ]
    return lines


def _operating(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    lines = markdown_table(["", "threshold", *(SITUATIONS[name] for name in names)], [])
    for row in rows:
        cells = []
        for name in names:
            metrics = row["int8"][name]
            parts = [f"{_number(metrics['precision'])} / {_number(metrics['recall'])}"] if metrics["boxes"] else []
            if metrics["fp_per_frame"] is not None:
                parts.append(f"{metrics['fp_per_frame']:.3f} per frame")
            cells.append("; ".join(parts))
        lines.append(markdown_row([row["name"], f"{row['threshold']:.2f}", *cells]))
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
