"""Check the Raspberry Pi's cameras against a stand-in for Picamera2.

It runs in the child process that a run uses.

Not verified on hardware: the stand-in has the order of calls, names, types and errors of Picamera2's own source.
"""

import datetime
import os

import numpy as np
import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources import camera as camera_module
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.picamera import camera as picamera
from galaxy_edge.runtime.sources.picamera import process
from helpers.mosaics import mosaic_of, scene
from helpers.raspberry_pi import SIZE, install

SCENE = scene(SIZE[1], SIZE[0])


@pytest.fixture
def attach(monkeypatch, tmp_path):
    monkeypatch.setattr(camera_module.time, "sleep", lambda seconds: None)
    return lambda *cameras, **scenario: install(monkeypatch, tmp_path, *cameras, **scenario)


def first_frame(address):
    frames = iter(open_source(address))
    try:
        return next(frames)
    finally:
        frames.close()


def mirrored(array, hflip, vflip):
    array = array[:, ::-1] if hflip else array
    return array[::-1] if vflip else array


@pytest.mark.parametrize(("camera", "options", "order", "bits"), [
    ({}, "", "RGGB", 12),  # a Pi 4
    ({}, "&hflip=1", "GRBG", 12),  # libcamera changes the order without an error
    ({"order": "BGGR"}, "&hflip=1&vflip=1", "RGGB", 12),
    ({"compresses": True}, "", "RGGB", 12),  # packed, although words were asked for
    ({"compresses": True, "bits": 10}, "&vflip=1", "GBRG", 10),
    ({"pi5": True}, "", "RGGB", 16),  # a Pi 5 makes words of 16 bits of any depth
    ({"order": "R"}, "", None, 12),
])  # fmt: skip
def test_raw_values_are_read_exactly_in_every_format(attach, camera, options, order, bits):
    log = attach(camera)
    frame = first_frame(f"picamera2?raw=1{options}")
    seen = mirrored(SCENE, "hflip" in options, "vflip" in options)
    expected = mosaic_of(seen, order) if order else np.rint(seen[..., 1]).astype(np.uint16)
    depth = camera.get("bits", 12)
    assert np.array_equal(frame.raw, np.minimum(expected, 2**depth - 1) << (bits - depth))
    assert frame.cfa == order and frame.source == "picamera2" and frame.binning == (2 if order else 1)
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert [call for call in calls if call != "set_controls"] == ["open", "configure", "start", "stop", "close"]


def test_colour_images_have_red_and_blue_in_order(attach):
    """libcamera's RGB888 is blue, green, red in the memory."""
    attach({})
    frame = first_frame("picamera2?size=64x48")
    assert frame.raw is None and frame.pixels.shape == (48, 64, 3)
    expected = np.clip(SCENE / 64, 0, 255).astype(np.uint8)
    assert np.array_equal(frame.pixels, expected) and expected[24, 32, 0] > expected[24, 32, 2]


def test_long_exposure_is_not_cut_to_a_frame_of_video_and_is_in_the_header(attach):
    attach({})
    before = datetime.datetime.now(datetime.UTC)
    frame = first_frame("picamera2?raw=1&exposure=2min&gain=8.5")
    assert frame.header == {"INSTRUME": "imx477", "EXPTIME": 120.0, "GAIN": 8.5, "DIGIGAIN": 1.0, "CCD-TEMP": 31.0}
    since = (before - frame.time).total_seconds()
    assert 119 < since < 121 + 120  # it began two minutes before it was read
    attach({"thermometer": False})
    assert "CCD-TEMP" not in first_frame("picamera2?exposure=100us&size=64x48").header


def test_fixed_white_balance_rate_and_mode_reach_the_camera(attach):
    log = attach({})
    frame = first_frame("picamera2:0?raw=1&mode=32x24:10&wb=2.1,1.6&exposure=20ms&rate=25")
    assert frame.raw.shape == (24, 32) and frame.raw.max() < 1024 and frame.source == "picamera2:0"
    assert '"AwbEnable": false, "ColourGains": [2.1, 1.6]' in log.read_text()
    assert '"FrameDurationLimits": [40000, 40000]' in log.read_text().splitlines()[-4]


def test_frames_go_on_while_earlier_ones_are_in_use(attach):
    """Camera buffers are released at once, and the shared memory is copied."""
    attach({})
    frames = iter(open_source("picamera2?raw=1"))
    kept = [next(frames) for _ in range(12)]
    frames.close()
    assert [frame.number for frame in kept] == list(range(12))
    assert all(np.array_equal(frame.raw, kept[0].raw) for frame in kept)


@pytest.mark.parametrize(("trouble", "reason"), [
    ({"hangs_after": 2}, "picamera2: it did not answer within"), ({"dies_after": 2}, "picamera2: its process was ended by SIGKILL"),
])  # fmt: skip
def test_camera_that_hangs_or_dies_is_reported_and_started_again(attach, monkeypatch, caplog, trouble, reason):
    """After a cable fault the camera delivers nothing, and stopping it never returns.

    Its process is killed.
    """
    monkeypatch.setattr(process, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(picamera, "LONGEST_AUTOMATIC", 0.001)
    attach(trouble)
    source = open_source("picamera2?raw=1")
    frames = iter(source)
    assert [next(frames).number for _ in range(2)] == [0, 1]
    patience = picamera.FRAME_SECONDS
    monkeypatch.setattr(picamera, "FRAME_SECONDS", 0.1)  # from the third frame on, which never comes
    monkeypatch.setattr(camera_module.time, "sleep", lambda _: monkeypatch.setattr(picamera, "FRAME_SECONDS", patience))
    assert [next(frames).number for _ in range(2)] == [2, 3]
    assert source.reopened == 1 and reason in caplog.text and "picamera2 is back" in caplog.text
    frames.close()


@pytest.mark.parametrize(("address", "message"), [
    ("picamera2:1", r"there is no camera 1; cameras found: 0 \(imx477\)"),
    ("picamera2?gain=30", "picamera2: gain=30 is out of range: 1 to 22.26 in this mode"),
    ("picamera2?raw=1&mode=48x48", "the sensor has no mode 48x48; it has 32x24:10, 64x48:12"),
])  # fmt: skip
def test_what_the_camera_lacks_is_reported_in_one_line(attach, address, message):
    attach({})
    with pytest.raises(UsageError, match=message) as error:
        open_source(address)
    assert "\n" not in str(error.value)


def test_images_that_stay_compressed_are_refused(attach):
    attach({"pi5": True, "compresses": True})
    with pytest.raises(UsageError, match="its images are RGGB_PISP_COMP1, which is not read"):
        open_source("picamera2?raw=1")


def test_camera_that_another_program_holds_can_be_waited_for(attach, caplog):
    attach({"busy": True})
    with pytest.raises(UsageError, match="picamera2 cannot be opened as a camera: another program holds it"):
        open_source("picamera2")
    source = open_source("picamera2", wait=True)
    attach({})
    frames = iter(source)
    assert next(frames).number == 0 and "waiting for it" in caplog.text
    frames.close()


@pytest.mark.parametrize("error", [None, "numpy.dtype size changed, may indicate binary incompatibility"])
def test_absent_library_names_the_package_and_how_an_environment_finds_it(attach, monkeypatch, error):
    """apt's Picamera2 may not load with the environment's numpy.

    Then the system's Python is tried.
    """
    if error:
        attach({}, import_error=error)
    monkeypatch.setattr(process, "SYSTEM_PYTHON", "/usr/bin/python3-that-is-not-there")
    monkeypatch.setattr(picamera, "SYSTEM_PYTHON", "/usr/bin/python3-that-is-not-there")
    with pytest.raises(UsageError) as raised:
        open_source("picamera2", wait=True)
    text = str(raised.value)
    assert "sudo apt install python3-picamera2" in text and "--system-site-packages" in text and "\n" not in text
    assert (error or "") in text


def test_nothing_is_left_behind(attach):
    attach({})
    before = len(os.listdir("/proc/self/fd"))
    first_frame("picamera2?raw=1")
    assert len(os.listdir("/proc/self/fd")) <= before
