"""FITS headers of crops and stacks: position on the sky, times, history."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.runtime.events.event import RunInfo, events_from_tracks
from galaxy_edge.runtime.imaging.exposures import StackedExposures, exposure_seconds
from galaxy_edge.runtime.recording.fits_writer import event_cards, fits_bytes, frame_cards
from galaxy_edge.runtime.tracking.association import crop_view, cut_out
from galaxy_edge.sky.sip import Sip
from galaxy_edge.sky.wcs import Wcs
from helpers.tracks import CLASSES, frame, track

fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
from astropy.wcs import WCS

TERMS = (np.array([[0, 0, 1e-6], [0, 2e-6, 0], [1e-6, 0, 0]]), np.zeros((3, 3)))
SKY = Wcs((192.72, 41.12), (160.0, 120.0), np.array([[-0.001, 0.0002], [0.0002, 0.001]]), 320, 240)
DISTORTED = replace(SKY, sip=Sip(*TERMS))
HEADER = {"EXPTIME": 10.0, "TELESCOP": "S50", "GAIN": 80, "FILTER": "IR\nCUT", "SIMPLE": True}


def raw_frame(number=0, stacked=False):
    """A Bayer mosaic of 320 x 240 pixels, or a stack of its superpixels."""
    raw = np.arange(240 * 320, dtype=np.uint16).reshape(240, 320)
    raw = raw[::2, ::2].astype(np.float32) if stacked else raw
    return replace(frame(number), raw=raw, binning=2, cfa=None if stacked else "GRBG", header=HEADER, wcs=SKY,
                   source_shape=(240, 320), stacked=3 if stacked else 1)  # fmt: skip


def read(tmp_path, pixels, cards):
    path = tmp_path / "n.fits"
    path.write_bytes(fits_bytes(pixels, cards))
    if shutil.which("fitsverify"):
        done = subprocess.run(["fitsverify", "-q", path], capture_output=True, text=True)
        assert done.returncode == 0 and "verification OK" in done.stdout, done.stdout
    return fits.getheader(path)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("sky", [SKY, DISTORTED], ids=["plain", "distorted"])
def test_a_crop_has_its_own_wcs(tmp_path, stacked, deep, sky):
    """Its pixels are those of the frame, at the same positions on the sky."""
    whole = replace(raw_frame(5, stacked), wcs=sky)
    whole = whole if deep else replace(whole, raw=None)
    box = np.array([40.0, 30.0, 60.0, 50.0])
    crop = cut_out(whole.pixels, box) if whole.raw is None else cut_out(whole.raw, box, whole.raw_binning)
    made = replace_track(crop, crop_view(whole, box), deep)
    header = read(tmp_path, crop, event_cards(made))
    step = 2 if stacked or not deep else 1  # pixels of the source along a side of the crop's
    corner = np.array([[36.0 * 2, 26.0 * 2]])  # a margin of a fifth around the box, in superpixels
    point = corner + step * np.array([[7.0, 5.0]])
    found = WCS(header, naxis=2, fix=False).all_pix2world([[7.5, 5.5]], 1)
    assert np.allclose(found, sky.to_sky(point), atol=1e-7)
    assert header["HISTORY"][-1] == "crop from x = 72, y = 52 of the source's frame"
    assert (header["EXPTIME"] if not stacked else 10.0) == 10.0 and header["TELESCOP"] == "S50"


def replace_track(crop, view, deep):
    found = track(3, ended=True)
    found.cutout, found.view = crop if not deep else found.cutout, view
    found.raw_cutout = crop if deep else None
    return events_from_tracks([found], RunInfo(1, "0a1b2c3d", CLASSES))[0]


def test_a_stack_has_the_sum_of_its_exposures_and_begins_with_its_first_frame(tmp_path):
    exposures = StackedExposures()
    for number in range(5):
        single = raw_frame(number)
        stack = exposures.add(single, replace(raw_frame(number, stacked=True), stacked=min(number + 1, 3)))
    header = read(tmp_path, stack.raw, frame_cards(stack))
    assert (header["EXPTIME"], header["NSTACK"]) == (30.0, 3)
    assert header["DATE-OBS"] == "2026-11-22T21:00:02.000" and header["TIMESYS"] == "UTC"
    assert "mean of 3 frames" in header["HISTORY"][1] and header["FILTER"] == "IR\\x0aCUT"
    assert np.allclose(WCS(header, naxis=2, fix=False).all_pix2world([[80.5, 60.5]], 1), [[192.72, 41.12]])


def test_the_wcs_of_the_sources_header_is_kept(tmp_path):
    single = replace(raw_frame(), wcs=None, header=HEADER | SKY.to_header())
    header = read(tmp_path, single.raw, frame_cards(single))
    assert np.allclose(WCS(header, naxis=2, fix=False).all_pix2world([[160.5, 120.5]], 1), [[192.72, 41.12]])
    assert "CRVAL1" not in frame_cards(replace(single, header=HEADER))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [({"EXPTIME": "10.5"}, 10.5), ({"EXPTIME": -1, "EXPOSURE": 2}, 2.0), ({"EXPTIME": float("nan")}, None), ({}, None)],
)
def test_exposures_that_are_not_usable_are_unknown(header, seconds):
    assert exposure_seconds(header) == seconds
