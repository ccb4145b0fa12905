"""Evaluate detectors on images that none was trained on.

It is done in one run, and the results are saved.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...devices.engines import ENGINE_NAMES
from ...devices.probe import probe
from ...models.bundle import Bundle
from ...models.metrics import DetectionMetrics
from ...training.run import RunError, RunRecord, read_record, trained_epochs, write_json
from ..performance.latency import bench
from .evaluate import evaluate_variants
from .records.evaluation import BASELINES
from .records.reading import read_result
from .records.saved import BySituation, DetectorComparison, DetectorRow, SavedMetrics

logger = logging.getLogger(__name__)

FILE = "detectors.json"
KINDS = {"fp32": "float", "int8": "int8"}
RULE = "same scenes"
"""How a row was measured: on scenes that are the same for all input sizes, see `training.scenes.evaluation_scenes`.
Rows of ``either share`` are of other draws of the scenes for each size. In rows without a rule, a detection of an
ignored object counted as false where half of it lay outside of the ignored box, see `models.coco.ignored_overlap`."""


# Long because all networks are measured in turn on the same scenes and in the same run.
def evaluate_detectors(
    runs: Mapping[str, Path],
    data: Path,
    results: Path,
    *,
    seed: int = 1,
    rounds: int = 50,
    add: bool = False,
) -> DetectorComparison:
    """Evaluate the bundles of several runs on the same held-out images.

    They are timed in turns, and the results are saved.

    Runs with the split of the first run were not trained on these images. Runs of another seed or fold held out other
    images: they are evaluated on those and marked ``apart``, without latency.

    Args:
        runs: title -> run folder of a detector that contains its bundle, as `galaxy-edge export` writes it; all trained
            on the same data.
        data: a folder of data sets.
        results: folder of the results; it is created if missing.
        seed: seed of composed scenes and crops.
        rounds: number of timed inferences of each network, on one thread.
        add: keep the saved results and add to them; added runs are not timed.

    Returns:
        The comparison, as it is saved.

    Raises:
        RunError: a run is not finished or not exported, two were trained on different data, or there are no saved
            results to add to.
    """
    saved = read_saved(results) if add else None
    records = {name: read_record(run, "detect") for name, run in runs.items()}
    bundles = {name: _bundle_of(run, records[name]) for name, run in runs.items()}
    first = next(iter(records.values())).data
    basis = saved.judged_on if saved else {"data": first["hash"], "split": first["split"], "seed": seed}
    if any(record.data["hash"] != basis["data"] for record in records.values()):
        raise RunError(
            "the runs were not trained on the same data, so one may have been trained on images that another held out"
        )
    apart = {name: record.data["split"] != basis["split"] for name, record in records.items()}
    timed_before = [row.name for row in saved.detectors if row.min_ms is not None and row.name in runs] if saved else []
    if timed_before:
        raise RunError(f"{timed_before[0]} was timed beside others: measure its accuracy alone with --again")
    if seed != basis["seed"]:
        raise RunError(f"the saved results are of scenes of seed {basis['seed']}, not {seed}")
    timed_bundles = [] if saved else [bundles[name] for name in bundles if not apart[name]]
    machine, latencies = _time(timed_bundles, rounds) if timed_bundles else ({}, {})
    rows, baselines = list[DetectorRow](), dict[str, BySituation]()
    for name, bundle in bundles.items():
        times: Mapping[str, Any] = {} if saved or apart[name] else latencies[bundle.hash]
        measured, measured_baselines = _measure(name, bundle, data, seed)
        rows.append(
            DetectorRow(
                name=name, apart=apart[name], **_describe(records[name], runs[name]), **times, **vars(measured)
            ),
        )
        # Whole frames have the network's size, for the baselines too; those of the first detector are saved.
        baselines = baselines or measured_baselines
    if saved:
        others = [row for row in saved.detectors if row.name not in bundles]
        result = replace(saved, detectors=others + rows)
    else:
        result = DetectorComparison(
            detectors=rows, baselines=baselines, machine=machine, rounds=rounds, judged_on=basis
        )
    results.mkdir(parents=True, exist_ok=True)
    write_json(results / FILE, result.to_dict())
    return result


def _bundle_of(run: Path, record: RunRecord) -> Bundle:
    """Load the bundle in a finished run's folder."""
    path = run / "galaxy-detector"
    if not record.is_finished or not path.is_dir():
        raise RunError(f"{run} is not finished or not exported: galaxy-edge export --int8 {run}")
    bundle = Bundle.load(path, "detect")
    epochs = bundle.manifest.training.get("epochs", record.settings["epochs"])
    if epochs != record.settings["epochs"]:
        raise RunError(
            f"{path} was exported after {epochs} epochs, the run has {record.settings['epochs']}: export it again"
        )
    return bundle


def _describe(record: RunRecord, run: Path) -> dict[str, Any]:
    """Return seed, costs and training effort of a run."""
    return {
        "seed": record.settings["seed"],
        **{key: record.model[key] for key in ("parameters", "macs")},
        "core_hours": record.extra["core_hours"],
        "images": record.settings["images_per_epoch"] * (trained_epochs(run) or record.settings["epochs"]),
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


@dataclass(frozen=True)
class _Measured:
    """What is measured of a bundle: the values of `DetectorRow` with these names."""

    int8_bytes: int
    threshold: float
    fp32: BySituation
    int8: BySituation
    chosen_on: str
    min_precision: float | None
    rule: str
    bundle: str
    started_from: str | None
    ungated: bool
    swallowed: int


def _measure(name: str, bundle: Bundle, data: Path, seed: int) -> tuple[_Measured, dict[str, BySituation]]:
    """Measure the float and the int8 variant of a detector on held-out images.

    Returns:
        The measured values; and the baselines.
    """
    logger.info("evaluating %s", name)
    found = evaluate_variants(
        bundle, data, tuple(KINDS), ENGINE_NAMES[0], 1, lambda done, total: None, held_out=True, seed=seed
    )
    situations = found["fp32"].situations
    measured = _Measured(
        int8_bytes=len(bundle.read("int8.tflite")),
        threshold=found["int8"].threshold,
        fp32={name: _kept(metrics) for name, metrics in situations.items()},
        int8={name: _kept(metrics) for name, metrics in found["int8"].situations.items()},
        chosen_on="half" if "operating" in bundle.manifest.metrics.get("int8", {}) else "all",
        min_precision=bundle.manifest.export.get("min_precision"),
        rule=RULE,
        bundle=bundle.hash,
        started_from=initial_weights(bundle.manifest.training),
        ungated=bool(bundle.failed_gates),
        swallowed=found["int8"].swallowed,
    )
    baselines = {
        baseline: {name: _kept(metrics.baselines[baseline]) for name, metrics in situations.items()}
        for baseline in BASELINES
    }
    return measured, dict[str, BySituation](baselines)


def initial_weights(settings: Mapping[str, Any]) -> str | None:
    """Return the initial weights by the settings of a training.

    None if the settings are not those of a training of ours.
    """
    if "seed" not in settings:
        return None
    weights, imitated = settings.get("weights"), settings.get("imitate")
    if weights:
        return "an exported detector" if str(weights).endswith(".tflite") else str(weights)
    return f"random, imitating {imitated}" if imitated else "random"


def _kept(metrics: DetectionMetrics) -> SavedMetrics:
    return SavedMetrics.from_dict(metrics.to_dict())


def evaluate_again(name: str, path: Path, data: Path, results: Path) -> DetectorComparison:
    """Measure the bundle of a saved row again, by the rules of today, and save it.

    Its costs and latency stay.

    Args:
        name: of the row; path: the bundle's folder, for which the run's own need not be there any more.
        data, results: see `evaluate_detectors`.

    Returns:
        the saved results; those of the first row have the baselines measured again.

    Raises:
        RunError: there is no such row, or the bundle is of another training.
    """
    saved = read_saved(results)
    bundle, basis, row = Bundle.load(path, "detect"), saved.judged_on, saved.row(name)
    if row is None:
        raise RunError(f"there is no '{name}' in {results / FILE}: {', '.join(r.name for r in saved.detectors)}")
    manifest = bundle.manifest
    if manifest.data.hash != basis["data"] or manifest.data.split["seed"] != row.seed:
        raise RunError(f"{path} was trained on other images than '{name}': evaluate its run")
    if manifest.network.parameters != row.parameters:
        raise RunError(f"{path} has {manifest.network.parameters} parameters, '{name}' has {row.parameters}")
    measured, baselines = _measure(name, bundle, data, basis["seed"])
    after = replace(row, **vars(measured))
    result = replace(
        saved,
        detectors=[after if other is row else other for other in saved.detectors],
        baselines=baselines if row is saved.detectors[0] else saved.baselines,
    )
    write_json(results / FILE, result.to_dict())
    return result


def read_saved(results: Path) -> DetectorComparison:
    """Read the saved results.

    Raises:
        RunError: there are none, or the file is damaged.
    """
    path = results / FILE
    if not path.exists():
        raise RunError(f"{path} does not exist, so there is nothing to add to: evaluate without --add first")
    return read_result(path, DetectorComparison, "study evaluate-detectors")
