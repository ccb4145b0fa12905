"""Check options of a Raspberry Pi's camera.

Their form, and what the camera itself refuses, without a child process.
"""

import importlib
import sys

import pytest
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources.picamera import child
from galaxy_edge.runtime.sources.picamera.options import picamera2_settings
from galaxy_edge.runtime.sources.raw_layout import libcamera_layout
from helpers.raspberry_pi import LIBRARY, install


@pytest.fixture
def camera(monkeypatch, tmp_path):
    """Return an opened camera of the stand-in."""

    def open_camera(**description):
        install(monkeypatch, tmp_path, description)
        monkeypatch.syspath_prepend(str(LIBRARY))
        for name in ("picamera2", "picamera2.sensor", "libcamera"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module("picamera2").Picamera2(0)

    yield open_camera
    for name in ("picamera2", "picamera2.sensor", "libcamera"):
        sys.modules.pop(name, None)


def settings(**given):
    return picamera2_settings("picamera2", {}) | given


def configure(camera, **given):
    return child.configure(camera, importlib.import_module("libcamera").Transform, settings(**given))


def test_options_have_their_types():
    options = {"exposure": "500us", "gain": "8", "wb": "2.1,1.6", "raw": "1", "mode": "2028x1520:12", "vflip": "on"}
    assert picamera2_settings("picamera2:1", options) == {
        "exposure": 500e-6, "gain": 8.0, "wb": (2.1, 1.6), "raw": True, "size": None, "mode": (2028, 1520, 12),
        "rate": None, "hflip": False, "vflip": True, "number": 1,
    }  # fmt: skip
    automatic = picamera2_settings("picamera2", {"exposure": "auto", "gain": "auto", "wb": "auto"})
    assert (automatic["exposure"], automatic["gain"], automatic["wb"]) == (None, None, None)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("picamera2:x", {}, "'picamera2:x' is not a camera: give picamera2, or picamera2:N"),
    ("picamera2", {"iso": "100"}, r"picamera2 has no option 'iso' \(it has exposure, gain, wb, raw, size, mode, rate"),
    ("picamera2", {"exposure": "-1"}, "exposure=-1 is not valid: give seconds, or a time such as 500us"),
    ("picamera2", {"size": "641x480"}, "width and height must be even"),
    ("picamera2", {"mode": "2028x1520:x"}, "give WIDTHxHEIGHT or WIDTHxHEIGHT:BITS"),
    ("picamera2", {"wb": "2.1"}, "give the gains of red and blue, such as 2.1,1.6"),
    ("picamera2", {"raw": "yes please"}, "give 1 or 0"),
    ("picamera2", {"raw": "1", "size": "640x480"}, "give mode in place of size"),
])  # fmt: skip
def test_wrong_option_is_refused_by_name(name, options, message):
    with pytest.raises(UsageError, match=message):
        picamera2_settings(name, options)


@pytest.mark.parametrize(("description", "given", "message"), [
    ({"usb": True}, {"raw": True}, "it has no raw images"),
    ({"usb": True}, {"exposure": 1.0}, "its exposure cannot be set"),
    ({"usb": True}, {"rate": 10.0}, "its rate cannot be set"),
    ({"order": "R"}, {"wb": (2.0, 1.5)}, "its white balance cannot be set"),
    ({}, {"exposure": 1.0, "rate": 10.0}, "exposure=1 s is longer than a frame at rate=10"),
    ({}, {"exposure": 1e-5}, "exposure=1e-05 is out of range: 6e-05 to 66 s in this mode"),
    ({}, {"exposure": 100.0, "raw": True, "mode": (32, 24)}, "exposure=100 is out of range: 6e-05 to 66 s in this mode"),
])  # fmt: skip
def test_what_a_camera_does_not_have_is_refused(camera, description, given, message):
    opened = camera(**description)
    wanted = settings(**{key: list(value) if key == "mode" else value for key, value in given.items()})
    with pytest.raises(child.OptionError, match=message):
        configure(opened, **wanted)
        child.controls(opened, wanted)


def test_automatic_exposure_may_be_longer_than_a_frame_of_video(camera):
    opened = camera()
    configure(opened)
    assert child.controls(opened, settings()) == {"FrameDurationLimits": (100, 1_000_000)}
    configure(opened, raw=True)
    raw = child.controls(opened, settings(raw=True, exposure=230.0))
    assert raw == {"ExposureTime": 230_000_000, "FrameDurationLimits": (100, 460_000_000), "AwbEnable": False}


def test_packed_and_compressed_formats_are_not_asked_for():
    names = ("SRGGB12_CSI2P", "BGGR_PISP_COMP1", "R10_CSI2P", "SGRBG16")
    assert [child.unpacked(name) for name in names] == ["SRGGB12", "SBGGR16", "R10", "SGRBG16"]


def test_compressed_images_are_asked_for_again_in_words(camera):
    """A Pi 5 compresses with loss."""
    opened = camera(pi5=True, compresses=True)
    asked = []
    real = opened.sensor.adjust
    opened.sensor.adjust = lambda config: (asked.append(config["raw"]["format"]), real(config))
    stream = configure(opened, raw=True)
    assert asked == ["SRGGB12", "SRGGB16"] and libcamera_layout(stream["format"]) is None


@pytest.mark.parametrize(("name", "bits", "cfa", "is_packed"), [
    ("SRGGB12_CSI2P", 12, "RGGB", True), ("SGBRG10", 10, "GBRG", False), ("SBGGR16", 16, "BGGR", False), ("R8", 8, None, False),
])  # fmt: skip
def test_formats_of_libcamera_are_understood(name, bits, cfa, is_packed):
    layout = libcamera_layout(name)
    assert (layout.bits, layout.cfa, layout.packed) == (bits, cfa, is_packed)
    assert libcamera_layout(f"{name}X") is None
