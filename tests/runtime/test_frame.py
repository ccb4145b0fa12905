"""The frame contract: `pixels` may be superpixels of a mosaic.

What leaves the pipeline is in pixels of the source.
"""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.events.event import RunInfo, events_from_tracks
from galaxy_edge.runtime.events.frame_record import frame_record
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers.tracks import frame, named, output, record

BOX = (30, 21, 51, 40)


def mosaic_frame(height=120, width=160):
    """A frame of superpixels of a mosaic whose pixels are numbered."""
    raw = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    values = replace(frame(1, width=width // 2, height=height // 2), raw=raw, cfa="GRBG", binning=2)
    return replace(values, planes=tuple(np.zeros(values.pixels.shape[:2], np.uint16) for _ in range(3)))


def event_of(source_frame):
    tracks = Tracker(continuous=False).update(source_frame, named([BOX]))
    return events_from_tracks(tracks, RunInfo(1, "1f0c22aa", ("smooth", "spiral")))[0], tracks


def test_frame_of_8_bits_has_the_source_s_own_pixels():
    """Nothing may change for frames without a mosaic."""
    boxes = np.array([BOX], np.float32)
    plain = frame(0)
    assert plain.source_size == (160, 120) and plain.source_boxes(boxes) is boxes


@pytest.mark.parametrize("height, width", [(120, 160), (121, 161)])
def test_records_are_in_pixels_of_the_source(height, width):
    """A script that opens the raw file must find the galaxy at the box.

    Superpixels cut an odd side off.
    """
    line = frame_record(mosaic_frame(height, width), named([BOX]), ("smooth", "spiral"), {})
    assert (line.width, line.height) == (width, height)
    assert line.detections[0].box == [60.0, 42.0, 102.0, 80.0]


def test_event_is_in_pixels_of_the_source():
    """SQL rows, MQTT messages and FITS headers are made of the event."""
    event, _ = event_of(mosaic_frame())
    assert event.box == (60.0, 42.0, 102.0, 80.0) and event.cfa == "GRBG"
    assert event.to_dict()["box"] == [60.0, 42.0, 102.0, 80.0]


def test_better_view_updates_the_box_in_pixels_of_the_source():
    """The box of an event changes with its best view."""
    tracker = Tracker(continuous=True)
    (track,) = tracker.update(mosaic_frame(), named([BOX], score=0.5))
    tracker.update(replace(mosaic_frame(), number=2), named([BOX], score=0.9))
    assert track.best_frame == 2 and track.box.tolist() == [60, 42, 102, 80]


def test_crop_of_a_mosaic_begins_with_the_mosaic_s_pattern():
    """A crop cut at an odd pixel would swap the colours."""
    source = mosaic_frame()
    event, _ = event_of(source)
    y, x = divmod(int(event.raw_cutout[0, 0]), 160)
    assert (y % 2, x % 2) == (0, 0) and np.array_equal(
        event.raw_cutout, source.raw[y:, x:][:56, : event.raw_cutout.shape[1]]
    )
    assert event.raw_cutout.shape == tuple(2 * side for side in event.cutout.shape[:2])


def test_crop_of_a_stack_without_its_mosaic_has_the_size_of_the_pixels():
    """A mean of superpixels has no mosaic; its boxes are still in source pixels."""
    mean = np.zeros((60, 80, 3), np.float32)
    source = replace(mosaic_frame(), raw=mean, cfa=None, stacked=8)
    event, _ = event_of(source)
    assert source.source_size == (160, 120) and event.box == (60.0, 42.0, 102.0, 80.0)
    assert event.raw_cutout.shape == event.cutout.shape


def test_fits_files_of_a_mosaic_name_its_pattern(tmp_path):
    """Without the keyword, every program shows a grey mosaic."""
    fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    source = mosaic_frame()
    out = output(tmp_path, fits=True)
    out.writer.want("saved/one.png")
    out.frame(source, named([BOX]), record(1))
    out.events(event_of(source)[1])
    out.close(1, 0)
    with fits.open(tmp_path / "saved/one.fits") as units:
        assert units[0].header["BAYERPAT"] == "GRBG" and np.array_equal(units[0].data, source.raw)
    with fits.open(tmp_path / "crops/0001/00001.fits") as units:
        header = units[0].header
        assert header["BAYERPAT"] == "GRBG" and (header["X0"], header["Y1"]) == (60.0, 80.0)
    assert cv2.imread(str(tmp_path / "saved/one-16bit.png"), cv2.IMREAD_UNCHANGED).shape == (120, 160)
