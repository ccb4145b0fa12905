"""Pretrained weights from the run folder of a classifier."""

from __future__ import annotations

from pathlib import Path

from keras import layers

from ..keras_file import load_keras_file
from ..run import network_hash, read_record
from .folded import Folded, WeightsError


def folded_from_run(folder: Path) -> list[Folded]:
    """Read the convolutions of a finished run of the recipe ``mobilenet``.

    They are in the order of the network.

    Raises:
        RunError: the folder is not a run folder. WeightsError: the run is of another network, or not finished.
    """
    record = read_record(folder)
    if record.settings.get("network") != "mobilenet" or not (folder / "model.keras").is_file():
        raise WeightsError(f"{folder} is not a finished run of train classifier --recipe mobilenet")
    network_hash(folder)
    model = load_keras_file(folder / "model.keras")
    read = [layer for layer in model.layers if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)]
    return [Folded(layer.name, *layer.get_weights()) for layer in read]
