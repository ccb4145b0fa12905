"""`data noise-model`: a camera's noise from raw exposures, and what is refused."""

import json

import cv2
import numpy as np
import pytest
from helpers.command_line import galaxy_edge_in_process as galaxy_edge
from helpers.mosaics import fits_file


def write_frame(path, seed, shape=(400, 600), **cards):
    """Write an exposure with a fixed pattern of a third of the noise.

    Sky 1200, noise 60.
    """
    fixed = np.random.default_rng(99).normal(0, 20, shape)
    noise = np.random.default_rng(seed).normal(1200, 56.6, shape)
    path.write_bytes(fits_file(np.rint(noise + fixed).astype(np.uint16), **cards))


def test_noise_is_measured_and_saved(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(4):
        write_frame(folder / f"{number}.fits", number, BAYERPAT="GRBG")
    done = galaxy_edge("data", "noise-model", folder, "--json", "--out", tmp_path / "model.json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "model.json").read_text())
    assert result["frames"] == 4 and result["bayer"] == "GRBG" and result["files"][0] == "0.fits"
    assert result["noise"][0] == pytest.approx(60, rel=0.05) and result["sky"][0] == pytest.approx(1200, rel=0.01)
    assert 0.2 < result["pattern"][0] < 0.45 and 0.9 < result["temporal"][0] < 0.98
    table = galaxy_edge("data", "noise-model", folder)
    assert "4 frames, GRBG" in table.stdout and "noise of a pixel" in table.stdout


def test_invalid_set_of_exposures_is_refused(tmp_path):
    """One clear sentence each: 8 bits, two cameras, nothing there."""
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    assert "8 bits" in galaxy_edge("data", "noise-model", tmp_path / "a.png").stderr
    (tmp_path / "two").mkdir()
    write_frame(tmp_path / "two" / "a.fits", 1)
    write_frame(tmp_path / "two" / "b.fits", 2, (300, 500))
    done = galaxy_edge("data", "noise-model", tmp_path / "two")
    assert done.returncode == 2 and "b.fits is of another camera or setting than a.fits" in done.stderr
    assert "does not exist" in galaxy_edge("data", "noise-model", tmp_path / "none").stderr
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.fits").write_bytes(fits_file(np.full((64, 64), 7, np.uint16)))
    assert "has no noise" in galaxy_edge("data", "noise-model", tmp_path / "flat").stderr
