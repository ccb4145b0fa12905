"""Check the kernel's structures of Video4Linux2, and the list of cameras.

Cameras are listed with their formats and controls.
"""

import json

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.devices import devices
from galaxy_edge.devices.v4l2 import structures as v4l2
from galaxy_edge.devices.v4l2.device import control_name
from galaxy_edge.devices.v4l2.listing import describe_cameras
from helpers.fake_v4l2 import FakeDevice

SIZES = [(640, 480), (1280, 720)]
# As in the kernel's tables of 64-bit computers (strace, v4l2-ctl); each holds the size of its structure.
KERNEL = {
    "QUERY_CAPABILITY": 0x80685600, "ENUM_FORMAT": 0xC0405602, "GET_FORMAT": 0xC0D05604, "SET_FORMAT": 0xC0D05605,
    "REQUEST_BUFFERS": 0xC0145608, "QUERY_BUFFER": 0xC0585609, "QUEUE_BUFFER": 0xC058560F, "DEQUEUE_BUFFER": 0xC0585611,
    "STREAM_ON": 0x40045612, "STREAM_OFF": 0x40045613, "GET_PARAMETERS": 0xC0CC5615, "SET_PARAMETERS": 0xC0CC5616,
    "GET_CONTROL": 0xC008561B, "SET_CONTROL": 0xC008561C, "QUERY_CONTROL": 0xC0445624, "QUERY_MENU": 0xC02C5625,
    "ENUM_SIZES": 0xC02C564A, "ENUM_INTERVALS": 0xC034564B,
}  # fmt: skip


def test_calls_have_the_numbers_of_the_kernel():
    """A structure of another size is another call, which the kernel refuses."""
    assert {name: getattr(v4l2, name) for name in KERNEL} == KERNEL


@pytest.mark.parametrize(("structure", "field", "offset"), [
    (v4l2.Format, "fmt", 8), (v4l2.Buffer, "seconds", 24), (v4l2.Buffer, "sequence", 56), (v4l2.Buffer, "offset", 64),
    (v4l2.Buffer, "length", 72), (v4l2.StreamParameters, "timeperframe", 12), (v4l2.QueryMenu, "item", 8),
    (v4l2.QueryControl, "minimum", 40), (v4l2.FrameInterval, "intervals", 20), (v4l2.PixelFormat, "bytesperline", 16),
])  # fmt: skip
def test_fields_lie_where_the_kernel_has_them(structure, field, offset):
    assert getattr(structure, field).offset == offset


@pytest.mark.parametrize(("text", "code"), [("YUYV", 0x56595559), ("Y16", 0x20363159), ("Y16-BE", 0xA0363159), ("pRAA", 0x41415270)])  # fmt: skip
def test_codes_of_pixel_formats_are_those_of_the_kernel(text, code):
    assert v4l2.fourcc(text) == code and v4l2.fourcc_text(code) == text


@pytest.mark.parametrize("text", ["", "YUYV2", "Ü"])
def test_text_that_is_no_code_is_refused(text):
    with pytest.raises(ValueError, match="is not the code of a pixel format"):
        v4l2.fourcc(text)


def test_names_of_controls_are_those_of_v4l2_ctl():
    assert control_name("White Balance Temperature, Auto") == "white_balance_temperature_auto"


def test_cameras_are_listed_with_formats_sizes_rates_and_controls(monkeypatch, tmp_path):
    """Everything that an option of --camera may be set to.

    A driver's name may hold anything.
    """
    FakeDevice({"YUYV": SIZES, "MJPG": SIZES, "RG10": [(1456, 1088)]}).install(monkeypatch, tmp_path)
    monkeypatch.setattr("galaxy_edge.devices.probe._cameras", lambda dev: ("/dev/video0", "/dev/video77"))
    text = CliRunner().invoke(devices).output
    assert "/dev/video0: Sky Caméra (uvcvideo)\n" in text
    assert "  format=YUYV, MJPG: 640x480 at 30/15, 1280x720 at 30/15\n  format=RG10: 1456x1088 at 30/15\n" in text
    assert "  exposure_time_absolute=1..5000, default 157, now 157\n" in text
    assert "  auto_exposure=1 (Manual Mode), 3 (Aperture Priority Mode), default 3, now 3\n" in text
    answer = json.loads(CliRunner().invoke(devices, ["--json"]).output)
    (camera,) = answer["cameras"]
    assert answer["machine"]["cameras"] == ["/dev/video0", "/dev/video77"]
    assert camera["formats"][2]["sizes"][0] == {"width": 1456, "height": 1088, "smallest": None, "rates": [30.0, 15.0]}
    assert next(c for c in camera["controls"] if c["name"] == "gain")["maximum"] == 100


def test_decoders_are_not_cameras(monkeypatch, tmp_path):
    FakeDevice({}, capabilities=0x04008000).install(monkeypatch, tmp_path)
    assert describe_cameras(["/dev/video0"]) == []
