"""Cameras of a Raspberry Pi by the stand-in for Picamera2 in `fake_picamera2`."""

import json
from pathlib import Path

import numpy as np

from .mosaics import scene

LIBRARY = Path(__file__).with_name("fake_picamera2")
SIZE = (64, 48)


def install(monkeypatch, folder, *cameras, **scenario):
    """Attach cameras, each a dictionary for `fake_picamera2.picamera2.sensor.Sensor`.

    Return the log of calls.
    """
    np.save(folder / "scene.npy", scene(SIZE[1], SIZE[0]))
    described = [{"model": "imx477", "scene": str(folder / "scene.npy"), **camera} for camera in cameras]
    (folder / "cameras.json").write_text(json.dumps({"cameras": described, **scenario}))
    log = folder / "calls"
    log.touch()
    monkeypatch.setenv("FAKE_PICAMERA2", str(folder / "cameras.json"))
    monkeypatch.setenv("FAKE_PICAMERA2_LOG", str(log))
    monkeypatch.setenv("PYTHONPATH", f"{LIBRARY}:{LIBRARY.parents[1]}")
    return log
