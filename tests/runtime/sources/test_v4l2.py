"""Check raw formats of V4L2 cameras with a fake OpenCV capture; test_virtual_camera uses the kernel's camera."""

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.sources import v4l2
from galaxy_edge.runtime.sources.v4l2 import RAW_FORMATS, v4l2_camera
from helpers.mosaics import mosaic_of, scene

IMAGE = (np.arange(48 * 64, dtype=np.uint16) * 21).reshape(48, 64)


class FakeCapture:
    """Behave as OpenCV's capture of a camera with one pixel format; reads return `contents`, then fail."""

    def __init__(self, fourcc, contents):
        self.properties = {
            cv2.CAP_PROP_FOURCC: int.from_bytes(fourcc, "little"), cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48,
        }  # fmt: skip
        self.contents = list(contents)

    def isOpened(self):
        return True

    def get(self, property_id):
        return float(self.properties.get(property_id, -1))

    def set(self, property_id, value):
        self.properties[property_id] = value
        return True

    def read(self, image=None):
        return (True, self.contents.pop(0)) if self.contents else (False, None)

    def release(self):
        pass


@pytest.fixture
def camera(monkeypatch):
    def open_camera(*captures):
        available = iter(captures)
        monkeypatch.setattr(v4l2.cv2, "VideoCapture", lambda *_: next(available))
        monkeypatch.setattr(v4l2.Path, "exists", lambda _: True)
        return v4l2_camera(0)

    return open_camera


def as_opencv_bytes(image):
    """Return an image's bytes in one row, as OpenCV 4.11 delivers raw formats."""
    return np.frombuffer(image.tobytes(), np.uint8)[None]


@pytest.mark.parametrize("fourcc", RAW_FORMATS)
@pytest.mark.parametrize("layout", ["bytes in a row", "words"])
def test_raw_values_of_either_byte_order_are_read_exactly(camera, fourcc, layout, caplog):
    order, cfa = RAW_FORMATS[fourcc]
    in_byte_order = IMAGE.astype(order)
    content = (
        as_opencv_bytes(in_byte_order)
        if layout.startswith("bytes")
        else np.frombuffer(in_byte_order.tobytes(), np.uint16).reshape(48, 64)
    )
    capture = FakeCapture(fourcc, [content])
    source = camera(capture)
    frame = next(iter(source))
    assert capture.properties[cv2.CAP_PROP_CONVERT_RGB] == 0 and caplog.messages == []
    assert frame.raw.dtype == np.uint16 and np.array_equal(frame.raw, IMAGE)
    assert frame.pixels.shape == ((24, 32, 3) if cfa else (48, 64, 3)) and frame.pixels.dtype == np.uint8
    assert frame.cfa == cfa and frame.binning == (2 if cfa else 1) and frame.stretch["kind"] == "asinh-noise"


def test_bayer_format_is_developed_in_colour(camera):
    """OpenCV would deliver it in grey or not at all."""
    mosaic = mosaic_of(scene(48, 64), "BGGR")
    frame = next(iter(camera(FakeCapture(b"BYR2", [as_opencv_bytes(mosaic)]))))
    red, green, blue = (int(level) for level in frame.pixels[12, 16])
    assert red > green > blue and frame.source_size == (64, 48)


def test_padding_after_the_image_is_ignored(camera):
    # Drivers round the size of their memory up to whole pages.
    source = camera(FakeCapture(b"Y16 ", [np.pad(as_opencv_bytes(IMAGE), ((0, 0), (0, 2048)))]))
    assert np.array_equal(next(iter(source)).raw, IMAGE)


def test_incomplete_image_is_never_returned(camera, caplog):
    """The first one of many USB cameras is incomplete and is read again; later, it means that the camera was lost."""
    complete = as_opencv_bytes(IMAGE)
    part = complete[:, :-2]
    source = camera(FakeCapture(b"Y16 ", [part, complete, part]), FakeCapture(b"Y16 ", [complete]))
    frames = iter(source)
    assert all(np.array_equal(next(frames).raw, IMAGE) for _ in range(2))
    assert source.reopened == 1 and len(caplog.messages) == 2


def test_colour_camera_is_read_as_rgb(camera):
    bgr = np.zeros((48, 64, 3), np.uint8)
    bgr[..., 0] = 200  # blue, in OpenCV's order
    capture = FakeCapture(b"YUYV", [bgr])
    frame = next(iter(camera(capture)))
    assert cv2.CAP_PROP_CONVERT_RGB not in capture.properties
    assert frame.raw is None and frame.pixels[0, 0].tolist() == [0, 0, 200]
