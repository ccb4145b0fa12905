"""Saved crops and frames have the pixels, and the depth, of what was processed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from galaxy_edge.models.images.stretch import to_rgb8
from galaxy_edge.runtime.events.queries import Query, query_events
from galaxy_edge.runtime.imaging.downscale import downscale_with_boxes
from galaxy_edge.runtime.monitoring.controls import Controls, TooSoon
from galaxy_edge.runtime.recording.retention import RetainedFiles
from galaxy_edge.runtime.tracking.tracker import Tracker
from helpers import tracks
from helpers.tracks import frame, named, output, record, track


def test_crops_as_fits_hold_the_same_pixels(tmp_path):
    """Measurements are made on the FITS file; its header says what it shows."""
    fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    out = output(tmp_path, fits=True)
    event = track(3, ended=True)
    event.cutout = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    out.events([event])
    out.writer.want("saved/one.png")
    out.frame(frame(1, level=77), named(), record(1))
    out.close(1, 0)
    with fits.open(tmp_path / "saved/one.fits") as units:
        assert units[0].data.shape == (3, 120, 160) and units[0].header["DATE-OBS"] == "2026-11-22T21:00:01.000"
    with fits.open(tmp_path / "crops/0001/00003.fits") as units:
        assert (np.moveaxis(units[0].data, 0, 2) == event.cutout).all()
        assert units[0].header["CLASS"] == "spiral"
        assert units[0].header["DATE-BEG"] == "2026-11-22T21:00:00.000"


def test_class_name_beyond_ascii_is_escaped_in_fits(tmp_path, monkeypatch):
    """FITS headers are ASCII.

    An accent in the class name of a user's model ended all writing.
    """
    fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    monkeypatch.setattr(tracks, "CLASSES", ("smooth", "serrée"))
    out = output(tmp_path, fits=True)
    out.events([track(3, ended=True)])
    out.close(1, 0)
    assert [event.name for event in query_events(tmp_path, Query())] == ["serrée"]
    with fits.open(tmp_path / "crops/0001/00003.fits") as units:
        assert units[0].header["CLASS"] == r"serr\xe9e"


def test_requested_frame_is_saved_whole(tmp_path):
    """The next frame is saved, without annotations, and only once."""
    out = output(tmp_path)
    out.writer.want("saved/one.png")
    out.frame(frame(1, level=77), named(), record(1))
    out.frame(frame(2, level=88), named(), record(2))
    out.close(2, 0)
    image = cv2.imread(str(tmp_path / "saved/one.png"))
    assert image.shape == (120, 160, 3) and (image == 77).all()


@pytest.mark.parametrize("colours", [(), (3,)])
def test_frame_of_more_than_8_bits_is_saved_at_full_depth(tmp_path, colours):
    """The processed image is stretched; measurements need the values of the sensor."""
    fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    raw = np.random.default_rng(1).integers(0, 65536, (120, 160, *colours), dtype=np.uint16)
    pixels, stretch = to_rgb8(raw)
    out = output(tmp_path, fits=True)
    out.writer.want("saved/one.png")
    out.frame(replace(frame(1), pixels=pixels, stretch=stretch, raw=raw, stacked=8), named(), record(1))
    out.close(1, 0)
    kept = cv2.imread(str(tmp_path / "saved/one-16bit.png"), cv2.IMREAD_UNCHANGED)
    assert kept.dtype == np.uint16 and np.array_equal(kept if kept.ndim == 2 else kept[..., ::-1], raw)
    assert np.array_equal(cv2.imread(str(tmp_path / "saved/one.png"))[..., ::-1], pixels)
    with fits.open(tmp_path / "saved/one.fits") as units:
        planes = units[0].data if raw.ndim == 2 else np.moveaxis(units[0].data, 0, 2)
        assert np.array_equal(planes, raw)
        assert units[0].header["NSTACK"] == 8 and units[0].header["STRBLACK"] == pytest.approx(stretch["black"])


def test_crop_as_fits_has_the_depth_of_its_frame(tmp_path):
    """The PNG is stretched to 8 bits.

    Photometry needs the raw values around the object.
    """
    fits = pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    raw = np.random.default_rng(2).integers(0, 65536, (120, 160), dtype=np.uint16)
    pixels, stretch = to_rgb8(raw)
    found = named([(40, 30, 60, 50)])
    tracks = Tracker(continuous=False).update(replace(frame(1), pixels=pixels, stretch=stretch, raw=raw), found)
    out = output(tmp_path, fits=True)
    out.events(tracks)
    out.close(1, 0)
    with fits.open(tmp_path / "crops/0001/00001.fits") as units:
        assert np.array_equal(units[0].data, raw[26:54, 36:64])  # a fifth of its side around it
    assert cv2.imread(str(tmp_path / "crops/0001/00001.png")).shape == (28, 28, 3)


def test_frame_that_16_bits_cannot_hold_is_saved_as_fits_only(tmp_path):
    """Rounding values of 0..1 to integers would lose everything."""
    pytest.importorskip("astropy.io.fits", reason="needs the fits extra")
    raw = np.linspace(0, 1, 120 * 160, dtype=np.float32).reshape(120, 160)
    out = output(tmp_path, fits=True)
    out.writer.want("saved/one.png")
    out.frame(replace(frame(1), raw=raw), named(), record(1))
    out.close(1, 0)
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["one.fits", "one.png"]


@pytest.mark.parametrize("size", [(3840, 2160), (1921, 1080), (2400, 300), (1000, 900), (640, 480), (1, 5)])
def test_downscaled_copy_keeps_boxes_on_their_objects(size):
    """The preview shows boxes on a smaller copy.

    Odd sizes and rounding must not shift them.
    """
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = width // 4, height // 4, width // 2 + 1, height // 2 + 1
    pixels[y0:y1, x0:x1] = 200
    small, found = downscale_with_boxes(pixels, named([(x0, y0, x1, y1)]), 960)
    assert max(small.shape[:2]) <= 960 and not np.shares_memory(small, pixels)
    rows_, columns = np.nonzero(small[..., 0] > 100)
    seen = (columns.min(), rows_.min(), columns.max() + 1, rows_.max() + 1)
    assert np.abs(found.boxes[0] - seen).max() <= 1.5


def test_saved_frames_do_not_replace_the_crops_of_a_night(tmp_path):
    """435 crops were driven out through the page's button in 25 s.

    Saved frames have a share and a rate of their own.
    """
    files = RetainedFiles(tmp_path, quota=1000, floor=0)
    for number in range(7):
        files.stage(f"crops/0001/{number:05d}.png", bytes(100))
    for number in range(5):
        files.stage(f"saved/{number}.png", bytes(100))
        files.publish()
    assert len(list(tmp_path.glob("crops/*/*.png"))) == 7
    assert sorted(path.name for path in tmp_path.glob("saved/*")) == ["3.png", "4.png"]
    out = output(tmp_path / "out")
    controls = Controls(writer=out.writer)
    assert controls.save_frame() == controls.save_frame()  # the same frame
    out.frame(frame(1), named(), record(1))
    with pytest.raises(TooSoon):
        controls.save_frame()
    out.close(1, 0)
