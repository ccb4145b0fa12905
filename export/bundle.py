"""Export a run: convert, measure, gate, and write the bundle beside its place before it takes it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..models.bundle import FORMAT, GOLDEN, MANIFEST, Bundle
from ..runtime.engine import load
from ..training.run import read_record
from .convert import ExportError, describe_outputs, to_tflite
from .gates import Gate, accuracy_kept, is_int8, measure

NAMES = {"classify": "galaxy-classifier", "detect": "galaxy-detector"}
GOLDEN_INPUTS = 8
NMS_IOU = 0.5
MAX_DETECTIONS = 100


def export(
    run: Path, out: Path | None, say: Callable[[str], None], force: bool = False
) -> tuple[Path, list[Gate], dict[str, Any]]:
    """Make a bundle of a finished run.

    Args:
        run: a run folder.
        out: the bundle's folder; by default ``RUN/galaxy-detector`` or ``RUN/galaxy-classifier``.
        say: told what is going on.
        force: write the bundle even where a gate failed; its manifest says which.

    Returns:
        The bundle's folder, the gates and the metrics by variant. Where a gate failed (and not `force`), no bundle
        was written and one that was there before is untouched.

    Raises:
        RunError, ExportError: the run is incomplete or cannot be converted.
    """
    record = read_record(run)
    if "model" not in record:
        raise ExportError(f"{run} is not finished: go on with galaxy-edge train ... --resume")
    for needed in ("saved_model", "calibration.npz", "evaluation.npz"):
        if not (run / needed).exists():
            raise ExportError(f"{run} is incomplete: it has no {needed}")
    name = NAMES[record["task"]]
    target = out or run / name
    if target.exists() and not (target / MANIFEST).exists():
        raise ExportError(f"{target} exists and is no bundle: name another --out")
    calibration = _images(run / "calibration.npz")
    say("converting to float32")
    files = {"fp32.tflite": to_tflite(run / "saved_model", None)}
    say(f"quantising to int8 with {len(calibration)} calibration pictures")
    files["int8.tflite"] = to_tflite(run / "saved_model", calibration)

    gates = [is_int8(files["int8.tflite"])]
    beside = target.with_name(f".{target.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        manifest = _manifest(record, name, files)
        _write(beside, manifest, files)
        draft = Bundle.load(beside)
        say("making golden vectors")
        files[GOLDEN] = _golden(draft, _spread(_images(run / "evaluation.npz"), GOLDEN_INPUTS))
        say("measuring every variant on the run's evaluation share")
        metrics, threshold = measure(draft, run / "evaluation.npz")
        gates.append(accuracy_kept(record["task"], metrics))
        if threshold is not None:
            manifest["decode"]["score_threshold"] = round(float(threshold), 4)
        manifest["gates"] = [dataclasses.asdict(gate) for gate in gates]
        manifest["metrics"] = {variant: _without_none(values) for variant, values in metrics.items()}
        _write(beside, manifest, files)
        Bundle.load(beside, record["task"])
        if force or all(gate.passed for gate in gates):
            _replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target, gates, metrics


def _images(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays["images"]
    except (OSError, ValueError, KeyError) as problem:
        raise ExportError(f"{path} cannot be read: {problem}") from None
    if len(images) == 0 or images.max() == 0:
        raise ExportError(f"{path} holds no pictures, or only black ones")
    return images


def _spread(images: np.ndarray, count: int) -> np.ndarray:
    """Pick `count` images evenly from all."""
    return images[np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)]


def _manifest(record: dict[str, Any], name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """Draft the manifest from the run's record; thresholds and metrics are filled in once measured."""
    model = record["model"]
    decode = dict(model["decode"])
    if record["task"] == "detect":
        decode |= {"score_threshold": 0.5, "nms_iou": NMS_IOU, "max_detections": MAX_DETECTIONS}
    return {
        "format": FORMAT,
        "name": name,
        "task": record["task"],
        "version": __version__,
        "created": record["finished"],
        "licence": "Apache-2.0",
        "classes": model["classes"],
        "input": {**model["input"], "dtype": "uint8", "colour": "RGB"},
        "preprocess": model["preprocess"],
        "decode": decode,
        "network": {"parameters": int(model["parameters"]), "macs": int(model["macs"])},
        "training": _without_none(record["settings"]),
        "data": {key: record["data"][key] for key in ("hash", "sets", "split", "sources")},
        "gates": [],
        "metrics": {},
        "variants": {
            file.split(".")[0]: {
                "file": file, "runtime": "tflite", "outputs": describe_outputs(content, model["outputs"])
            }
            for file, content in files.items()
        },
        "files": {},
    }


def _golden(bundle: Bundle, inputs: np.ndarray) -> bytes:
    """Run inputs through every variant and keep the raw outputs; those of int8 must match to the bit anywhere."""
    import io

    arrays = {"inputs": inputs}
    for variant in bundle.variants:
        engine = load(bundle, variant)
        results = [engine(one[None]) for one in inputs]
        for output in results[0]:
            arrays[f"{variant}.{output}"] = np.stack([result[output].values for result in results])
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _write(folder: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the files and a manifest with their hashes, all forced to the disk."""
    import tomli_w

    contents = dict(files)
    contents.setdefault(GOLDEN, b"")
    manifest["files"] = {file: hashlib.sha256(content).hexdigest() for file, content in sorted(contents.items())}
    contents[MANIFEST] = tomli_w.dumps(manifest).encode()
    for file, content in contents.items():
        with (folder / file).open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())


def _replace(beside: Path, target: Path) -> None:
    """Put the new bundle in the old one's place; the old one is gone only when the new one is there."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        os.rename(target, old)
    os.rename(beside, target)
    shutil.rmtree(old, ignore_errors=True)


def _without_none(values: Any) -> Any:
    """Drop what is not defined: TOML has no null."""
    if isinstance(values, dict):
        return {key: _without_none(value) for key, value in values.items() if value is not None}
    return values
