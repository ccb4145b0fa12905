"""Recalibrate a finished classifier, and record the result for its export.

Temperature, abstention threshold and domain limits are chosen again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...models.labels import EXCLUDED_LABEL, GALAXY10
from ..classifier.dataset_files import load_dataset
from ..classifier.domain_limits import calibrate_on_views
from ..classifier.partition import split_dataset
from ..classifier.validation import calibrate_and_measure, compile_forward
from ..keras_file import load_keras_file
from ..run import RunError, lock_run_folder, network_hash, read_record, write_json


def recalibrate(run: Path, data: Path, split_seed: int = 1) -> dict[str, Any]:
    """Recalibrate a finished run, and update its ``run.json``.

    This uses its validation images, and views of them that imitate other telescopes.

    The network stays as it is, so that an export afterwards differs in the bundle's ``[decode]`` alone.

    Args:
        run: folder of a finished run of a classifier.
        data: the data set that it was trained on; split_seed: of its split.

    Returns:
        the ``decode`` section of the network's description before (``before``) and after (``decode``), and what was
        measured (``sure``).

    Raises:
        RunError: the run is not finished, is not a classifier, or was trained on other images.
    """
    with lock_run_folder(run):
        record = read_record(run)
        if record.task != "classify" or not record.is_finished:
            raise RunError(f"{run} is not a finished run of a classifier")
        settings, model = record.settings, record.model
        boxy = GALAXY10[EXCLUDED_LABEL] in model["classes"]
        parts = split_dataset(load_dataset(data, settings["margin"], boxy, unnamed=True), split_seed)
        split = record.data["split"]
        if split.get("hash") != parts.record["hash"]:
            raise RunError(f"{run} was trained on another split of {data}: its validation images are not known")
        if split.get("labels", parts.record["labels"]) != parts.record["labels"]:
            raise RunError(f"{run} was trained with other labels of the validation or test images: train it again")
        network_hash(run)
        network = load_keras_file(run / "model.keras")
        forward, validation = compile_forward(network), parts.validation
        images = validation.images(model["input"]["width"])
        chosen, measured, checked = calibrate_on_views(forward, images, validation, settings["seed"])
        before = dict(model["decode"])
        decode, metrics = calibrate_and_measure(forward(images), validation, run, chosen, checked)
        model["decode"] = decode
        record.metrics.update(metrics | ({"sure": measured} if measured else {}))
        write_json(run / "run.json", record.to_dict())
    return {"before": before, "decode": decode, "sure": measured}
