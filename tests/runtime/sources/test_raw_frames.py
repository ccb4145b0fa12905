"""Check raw frames of telescopes as sources.

Mosaics, calibration frames among lights, two cameras, runs.
"""

import json

import cv2
import numpy as np
import pytest
from galaxy_edge.errors import ImageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.images.development import Development, develop_planes
from galaxy_edge.models.raw.stretch import Stretch
from galaxy_edge.runtime.inference.detector import Detector
from galaxy_edge.runtime.recording.retention import RetainedFiles
from galaxy_edge.runtime.session import RunConfig, Session
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.watched_folder import WatchedFolderSource
from helpers.mosaics import fits_file, mosaic_of, scene


def write_light(path, seed=1, size=(128, 160), **cards):
    path.write_bytes(fits_file(mosaic_of(scene(*size, seed)), **{"BAYERPAT": "GRBG", "IMAGETYP": "Light", **cards}))


def test_frames_of_a_folder_carry_their_mosaic(tmp_path):
    """Stacking needs the planes, crops the mosaic, and boxes its size."""
    write_light(tmp_path / "a.fits", EXPTIME=10.0)
    (frame,) = open_source(str(tmp_path))
    assert frame.binning == 2 and frame.cfa == "GRBG" and frame.source_size == (160, 128)
    assert [plane.shape for plane in frame.planes] == [(64, 80)] * 3 and frame.header["EXPTIME"] == 10.0


def test_calibration_frames_are_logged_and_skipped(tmp_path, caplog):
    """Capture programs put darks into the folder of the night.

    Nothing is wrong with them.
    """
    write_light(tmp_path / "a.fits")
    write_light(tmp_path / "b.fits", IMAGETYP="Dark Frame")
    write_light(tmp_path / "c.fits", IMAGETYP="FLAT")
    source = open_source(str(tmp_path))
    assert [frame.source for frame in source] == ["a.fits"]
    assert source.bad == 0 and source.skipped == 2
    assert caplog.messages == [
        "skipped b.fits: it is a dark frame, not a light (IMAGETYP = 'Dark Frame')",
        "skipped c.fits: it is a flat frame, not a light (IMAGETYP = 'FLAT')",
    ]


def test_folder_of_darks_gives_no_frames_and_no_error(tmp_path):
    """Nothing is damaged: every file could be read."""
    write_light(tmp_path / "a.fits", IMAGETYP="Dark")
    assert list(open_source(str(tmp_path))) == []


def test_single_dark_says_what_it_is(tmp_path):
    """A dark named explicitly is an error, unlike one among a folder's files."""
    write_light(tmp_path / "a.fits", IMAGETYP="Dark")
    with pytest.raises(ImageError, match="it is a dark frame, not a light"):
        open_source(str(tmp_path / "a.fits"))


def test_watched_folder_skips_calibration_frames(tmp_path, caplog):
    """Capture programs write flats at the start of the night.

    They do not count as damaged.
    """
    write_light(tmp_path / "a.fits", IMAGETYP="Flat")
    write_light(tmp_path / "b.fits", BAYERPAT="XYZW")
    source = WatchedFolderSource(tmp_path, poll_seconds=0.05)
    frame = next(iter(source))
    assert frame.source == "b.fits" and frame.number == 0 and source.bad == 0 and frame.binning == 2
    assert caplog.messages[0].startswith("skipped a.fits: it is a flat frame")
    assert caplog.messages[1].startswith("b.fits: BAYERPAT = 'XYZW' is not a Bayer pattern")


def test_warning_about_a_header_is_logged_once(tmp_path, caplog):
    """A night has a thousand frames of the same camera."""
    for name in ("a.fits", "b.fits", "c.fits"):
        write_light(tmp_path / name, BAYERPAT="XYZW")
    assert len(list(open_source(str(tmp_path)))) == 3 and len(caplog.messages) == 1


@pytest.mark.parametrize("stretch, kind", [("auto", "asinh-noise"), ("none", "linear"), ("percentile", "asinh")])
def test_run_uses_the_stretch_of_its_options(tmp_path, stretch, kind):
    """The record of each frame gives the stretch that was applied."""
    (tmp_path / "in").mkdir()
    write_light(tmp_path / "in" / "a.fits")
    config = RunConfig(source=str(tmp_path / "in"), out=tmp_path / "out", stretch=stretch)
    Session(config).run()
    (line,) = (tmp_path / "out" / "frames-0001.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["stretch"]["kind"] == kind and record["stretch"]["pattern"] == "GRBG"
    assert (record["width"], record["height"]) == (160, 128)


@pytest.mark.parametrize("stack", [1, 4])
def test_frames_of_two_cameras_in_a_folder_are_processed(tmp_path, stack):
    """Two telescopes write into one share; each change of size begins a new stack."""
    (tmp_path / "in").mkdir()
    write_light(tmp_path / "in" / "a.fits", 1)
    write_light(tmp_path / "in" / "b.fits", 2, (121, 203))
    write_light(tmp_path / "in" / "c.fits", 3)
    grey = np.rint(scene(140, 100)[..., 1]).astype(np.uint16)
    (tmp_path / "in" / "d.fits").write_bytes(fits_file(grey))
    stats = Session(RunConfig(source=str(tmp_path / "in"), out=tmp_path / "out", stack=stack)).run()
    assert stats.failure is None
    lines = [json.loads(line) for line in (tmp_path / "out" / "frames-0001.jsonl").read_text().splitlines()]
    assert [(line["width"], line["height"]) for line in lines] == [(160, 128), (203, 121), (160, 128), (100, 140)]


@pytest.mark.parametrize("kind", ["auto", "none", "percentile"])
def test_stack_is_developed_in_the_same_way(tmp_path, kind):
    """A stack in another stretch would not be what the options ask for."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        write_light(tmp_path / "in" / f"{number}.fits", number)
    config = RunConfig(source=str(tmp_path / "in"), out=tmp_path / "out", stack=4, stretch=kind)
    frames = []
    Session(config).run(lambda frame, *_: frames.append(frame))
    last = frames[-1]
    pixels, record = develop_planes(last.planes, Development(kind))
    assert last.stacked == 3 and np.array_equal(last.pixels, pixels)
    assert last.stretch == {"pattern": "GRBG", "binning": 2} | record | {"hot_pixels": last.stretch["hot_pixels"]}


def test_second_camera_in_a_folder_is_reported_once(tmp_path, caplog):
    """A guide camera's frames in a folder are read, but not stacked with the others."""
    noise = np.random.default_rng(1).normal(1000, 20, (200, 300)).astype(np.uint16)
    for number, (name, part) in enumerate([("ASI533", noise), ("Guide", noise[:100, :160]), ("ASI533", noise)] * 2):
        (tmp_path / f"{number}.fits").write_bytes(fits_file(part, INSTRUME=name))
    frames = list(open_source(str(tmp_path)))
    assert len(frames) == 6
    assert caplog.text.count("from another camera") == 1
    assert "1.fits is from another camera, Guide (160 x 100), than the frames before, ASI533 (300 x 200)" in caplog.text


def test_inputs_of_the_network_are_written_exactly(tmp_path):
    """``save_input`` writes each input of the network unchanged.

    The files count towards the quota.
    """
    (tmp_path / "in").mkdir()
    write_light(tmp_path / "in" / "a.fits")
    config = RunConfig(source=str(tmp_path / "in"), out=tmp_path / "out", tiles="2x1", save_input=True)
    frames = []
    session = Session(config)
    session.run(lambda frame, *_: frames.append(frame))
    names = sorted(path.name for path in (tmp_path / "out" / "inputs").iterdir())
    assert names[0] == "0001-000000-00.png" and len(names) == 3
    saved = cv2.imread(str(tmp_path / "out" / "inputs" / names[0]))[..., ::-1]
    detector = Detector(Bundle.load(shipped_bundle_path("galaxy-detector-raw")))
    assert np.array_equal(saved, detector.preprocess(frames[0].pixels).batch[0])
    retained = RetainedFiles(tmp_path / "out")
    retained.scan()
    assert all(f"inputs/{name}" in retained for name in names)


def test_source_takes_the_stretch_of_the_network(tmp_path):
    """A detector's manifest gives the stretch that its input must have."""
    write_light(tmp_path / "a.fits")
    stretch = Stretch(1.0, 5.0, 100.0)
    (frame,) = open_source(str(tmp_path), development=Development(stretch=stretch))
    assert {key: frame.stretch[key] for key in stretch.manifest()} == stretch.manifest()


def test_message_distinguishes_cameras_of_equal_name_and_size(tmp_path, caplog):
    """The message says which of two unnamed cameras is colour and which monochrome.

    Otherwise "another camera, unnamed (90 x 60), than ... unnamed (90 x 60)" is printed.
    """
    grey = np.random.default_rng(1).normal(1000, 20, (60, 90)).astype(np.uint16)
    for number, data in enumerate([grey, np.stack([grey] * 3), grey]):
        (tmp_path / f"{number}.fits").write_bytes(fits_file(data))
    (tmp_path / "3.fits").write_bytes(fits_file(grey, INSTRUME="Guide"))
    assert len(list(open_source(str(tmp_path)))) == 4
    assert (
        "1.fits is from another camera, unnamed (90 x 60, colour), than the frames before, unnamed (90 x 60);"
        in caplog.text
    )
    assert "3.fits is from another camera, Guide (90 x 60), than the frames before, unnamed (90 x 60);" in caplog.text


def test_unknown_type_of_frame_is_read_and_reported(tmp_path, caplog):
    """Nothing is skipped, or taken for a light, without a message."""
    grey = np.random.default_rng(1).normal(1000, 20, (60, 90)).astype(np.uint16)
    for number, kind in enumerate(["Shutter test", "Light Frame", "", "Shutter test"]):
        (tmp_path / f"{number}.fits").write_bytes(fits_file(grey, IMAGETYP=kind))
    assert len(list(open_source(str(tmp_path)))) == 4
    remarks = [text for text in caplog.messages if "type of frame" in text]
    assert remarks == ["0.fits: IMAGETYP = 'Shutter test' is not a known type of frame; it is read as a light frame"]
