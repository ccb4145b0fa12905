"""Check V4L2 cameras with a fake device.

Test_virtual_camera uses the kernel's own camera.
"""

import cv2
import numpy as np
import pytest
from galaxy_edge.devices.v4l2 import structures as v4l2
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources import camera as camera_module
from galaxy_edge.runtime.sources.open_source import open_source
from galaxy_edge.runtime.sources.v4l2 import camera as v4l2_module
from galaxy_edge.runtime.sources.v4l2.raw_formats import RAW_FORMATS
from helpers.fake_v4l2 import FakeDevice
from helpers.mosaics import mosaic_of, scene
from helpers.packed_pixels import packed

WIDTH, HEIGHT = 64, 48
COLOUR = {"YUYV": [(640, 480), (1280, 720)], "MJPG": [(1280, 720)]}


@pytest.fixture
def install(monkeypatch, tmp_path):
    monkeypatch.setattr(camera_module.time, "sleep", lambda seconds: None)

    def install_device(formats, **more):
        device = FakeDevice(formats, **more)
        device.install(monkeypatch, tmp_path)
        return device

    return install_device


class FakeCapture:
    """Behave as OpenCV's capture of a colour camera."""

    def __init__(self, image):
        self.image = image
        self.properties = {cv2.CAP_PROP_FOURCC: v4l2.fourcc("YUYV"), cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FPS: 30}  # fmt: skip

    def isOpened(self):
        return True

    def get(self, property_id):
        return float(self.properties.get(property_id, -1))

    def set(self, property_id, value):
        self.properties[property_id] = value
        return True

    def read(self, image=None):
        return True, self.image.copy()

    def release(self):
        pass


@pytest.fixture
def opencv(monkeypatch):
    bgr = np.zeros((48, 64, 3), np.uint8)
    bgr[..., 0] = 200  # blue, in OpenCV's order
    capture = FakeCapture(bgr)
    monkeypatch.setattr(v4l2_module.cv2, "VideoCapture", lambda *_: capture)
    return capture


def in_memory(values, layout, padding):
    """Return an image's bytes as a camera of this format stores them."""
    if layout.packed:
        rows = packed(values, layout.bits)
    elif layout.bits == 8:
        rows = values.astype(np.uint8)
    else:
        rows = np.frombuffer(values.astype(f"{layout.order}u2").tobytes(), np.uint8).reshape(HEIGHT, -1)
    return np.pad(rows, ((0, 0), (0, padding))).tobytes()


@pytest.mark.parametrize("code", RAW_FORMATS, ids=v4l2.fourcc_text)
def test_raw_values_of_every_format_are_read_exactly(install, code):
    """The rows of most drivers are padded."""
    layout = RAW_FORMATS[code]
    values = (np.arange(HEIGHT * WIDTH, dtype=np.int64) * 5407 % 2**layout.bits).reshape(HEIGHT, WIDTH)
    content = in_memory(values, layout, padding=12)
    install(
        {v4l2.fourcc_text(code): [(WIDTH, HEIGHT)]}, images=[content], row_bytes=layout.row_bytes(WIDTH), padding=12
    )
    frame = next(iter(open_source("0")))
    assert frame.raw.dtype == np.uint16 and np.array_equal(frame.raw, values)
    assert frame.cfa == layout.cfa and frame.binning == (2 if layout.cfa else 1)
    assert frame.stretch["kind"] == "asinh-noise" and frame.header["INSTRUME"] == "Sky Caméra"


def test_bayer_camera_is_developed_in_colour_and_reopened_when_it_is_lost(install, caplog):
    """OpenCV opens no camera that has this format only."""
    content = mosaic_of(scene(HEIGHT, WIDTH), "BGGR").tobytes()
    device = install({"BYR2": [(WIDTH, HEIGHT)]}, images=[content[:-2], content, content])
    source = open_source("/dev/video0")
    frames = iter(source)
    frame = next(frames)
    red, green, blue = (int(level) for level in frame.pixels[12, 16])
    assert red > green > blue and frame.source_size == (WIDTH, HEIGHT)
    next(frames)
    device.images = [content]
    calls, device.calls = device.calls, []
    real_answer = device.answer

    def answer(call, argument):  # plugged in again once it is opened again
        if call == v4l2.QUERY_CAPABILITY:
            device.is_unplugged = False
        return real_answer(call, argument)

    device.answer, device.is_unplugged = answer, True
    assert next(frames).number == 2 and source.reopened == 1 and "is back" in caplog.text
    assert "STREAM_ON" in calls and "REQUEST_BUFFERS" in device.calls
    frames.close()
    assert device.calls[-1] == "STREAM_OFF"


def test_deepest_raw_format_is_chosen_where_there_is_no_colour(install):
    values = np.full((HEIGHT, WIDTH), 900, np.uint16)
    install(
        {"RGGB": [(WIDTH, HEIGHT)], "pRAA": [(WIDTH, HEIGHT)], "RG10": [(WIDTH, HEIGHT)]}, images=[values.tobytes()]
    )
    assert next(iter(open_source("0"))).raw.max() == 900


def test_colour_camera_is_read_as_rgb_through_opencv(install, opencv):
    install(COLOUR)
    frame = next(iter(open_source("0")))
    assert cv2.CAP_PROP_CONVERT_RGB not in opencv.properties
    assert frame.raw is None and frame.pixels[0, 0].tolist() == [0, 0, 200]


def test_options_set_format_size_rate_exposure_and_gain(install, opencv):
    device = install(COLOUR)
    open_source("/dev/video0?format=MJPG&size=1280x720&rate=15&exposure=20ms&gain=40&brightness=-3")
    assert opencv.properties[cv2.CAP_PROP_FOURCC] == v4l2.fourcc("MJPG")
    assert (opencv.get(cv2.CAP_PROP_FRAME_WIDTH), opencv.get(cv2.CAP_PROP_FPS)) == (1280, 15)
    assert device.values == {0x009A0901: 1, 0x009A0902: 200, 0x00980913: 40, 0x00980900: -3}
    open_source("/dev/video0?exposure=auto")
    assert device.values[0x009A0901] == 3  # a USB camera has no other automatic mode


def test_options_of_a_raw_camera_are_set_before_it_streams(install):
    content = np.zeros((HEIGHT, WIDTH), np.uint16).tobytes()
    device = install({"GREY": [(8, 8)], "RG12": [(8, 8), (WIDTH, HEIGHT)]}, images=[content])
    frame = next(iter(open_source(f"0?format=RG12&size={WIDTH}x{HEIGHT}&rate=15&exposure=0.5")))
    assert frame.raw.shape == (HEIGHT, WIDTH) and frame.header["EXPTIME"] == 0.5 and device.interval == (1, 15)
    assert device.calls.index("SET_CONTROL") < device.calls.index("STREAM_ON")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("gain=101", "gain=101 is out of range: 0 to 100 in units of the camera"),
        ("exposure=2", "exposure=2 is out of range: 0.0001 to 0.5 s"),
        ("exposure=fast", "exposure=fast is not valid: give seconds, or a time such as 500us, 20ms or 2min, or auto"),
        ("gain=auto", "/dev/video0 has no automatic gain"),
        ("format=RG12", "/dev/video0 has no format RG12; it has YUYV, MJPG"),
        ("size=99x99", "has no size 99x99 in format YUYV; it has 640x480, 1280x720"),
        ("rate=20", "has no rate of 20 frames per second at 640x480; it has 30, 15"),
        ("size=99", "size=99 is not valid: give WIDTHxHEIGHT in pixels"),
        ("brightness=65", "brightness=65 is out of range: -64 to 64"),
        ("auto_exposure=2", r"auto_exposure=2 is not one of 1 \(Manual Mode\), 3 \(Aperture Priority Mode\)"),
        ("exposur=1", "has no option 'exposur'; did you mean 'exposure'"),
        ("gain", "an option is written NAME=VALUE"),
        ("gain=1&gain=2", "the option 'gain' is given twice"),
    ],
)
def test_wrong_option_is_refused_by_name_with_the_range_of_the_device(install, opencv, options, message):
    device = install(COLOUR)
    real_set = opencv.set

    def set_property(property_id, value):  # a driver takes the nearest that it has
        nearest = {cv2.CAP_PROP_FRAME_WIDTH: 640, cv2.CAP_PROP_FRAME_HEIGHT: 480, cv2.CAP_PROP_FPS: 30}
        return real_set(property_id, nearest.get(property_id, value))

    opencv.set = set_property
    with pytest.raises(UsageError, match=message):
        open_source(f"0?{options}", wait=True)  # --wait waits for a camera, not for a better option
    assert device.values == {}


def test_sensor_that_counts_rows_takes_their_number_as_its_exposure(install, opencv):
    """Drivers of bare sensors have no control in units of time."""
    rows = {0x00980911: ("Exposure", 1, 4, 1100, 1, 500, {}), 0x009E0903: ("Analogue Gain", 1, 0, 480, 1, 0, {})}
    device = install(COLOUR, controls=rows)
    open_source("0?exposure=1000&gain=48")
    assert device.values == {0x00980911: 1000, 0x009E0903: 48}
    with pytest.raises(UsageError, match="exposure=1101 is out of range: 4 to 1100 in units of the camera"):
        open_source("0?exposure=1101")
    with pytest.raises(UsageError, match="has no automatic exposure"):
        open_source("0?exposure=auto")


def test_device_that_is_no_camera_is_refused(install):
    """On a Raspberry Pi, /dev/video10 and others are decoders."""
    install(COLOUR, capabilities=0x8000)
    with pytest.raises(UsageError, match="it delivers no images"):
        open_source("0")
