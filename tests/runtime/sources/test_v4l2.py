"""Deep grey of V4L2 cameras: what OpenCV hands over becomes 16-bit pictures. A kernel's camera is in test_camera."""

import cv2
import numpy as np
import pytest
from galaxy_edge.runtime.sources import v4l2
from galaxy_edge.runtime.sources.v4l2 import RAW_FORMATS, v4l2_camera
from helpers.mosaics import mosaic_of, scene

IMAGE = (np.arange(48 * 64, dtype=np.uint16) * 21).reshape(48, 64)


class Fake:
    """As OpenCV's capture of a camera of one format; `contents` are what its reads give."""

    def __init__(self, mark, contents):
        self.properties = {
            cv2.CAP_PROP_FOURCC: int.from_bytes(mark, "little"), cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48,
        }  # fmt: skip
        self.contents = list(contents)

    def isOpened(self):
        return True

    def get(self, which):
        return float(self.properties.get(which, -1))

    def set(self, which, value):
        self.properties[which] = value
        return True

    def read(self, image=None):
        return (True, self.contents.pop(0)) if self.contents else (False, None)

    def release(self):
        pass


@pytest.fixture
def camera(monkeypatch):
    def plug_in(*captures):
        available = iter(captures)
        monkeypatch.setattr(v4l2.cv2, "VideoCapture", lambda *_: next(available))
        monkeypatch.setattr(v4l2.Path, "exists", lambda _: True)
        return v4l2_camera(0)

    return plug_in


def bytes_of(words):
    """As OpenCV 4.11 gives them: one row."""
    return np.frombuffer(words.tobytes(), np.uint8)[None]


@pytest.mark.parametrize("mark", RAW_FORMATS)
@pytest.mark.parametrize("form", ["bytes in a row", "words"])
def test_words_of_either_byte_order_are_read_exactly(camera, mark, form, caplog):
    order, cfa = RAW_FORMATS[mark]
    lying = IMAGE.astype(order)
    content = bytes_of(lying) if form.startswith("bytes") else np.frombuffer(lying.tobytes(), np.uint16).reshape(48, 64)
    capture = Fake(mark, [content])
    source = camera(capture)
    frame = next(iter(source))
    assert capture.properties[cv2.CAP_PROP_CONVERT_RGB] == 0 and caplog.messages == []
    assert frame.raw.dtype == np.uint16 and np.array_equal(frame.raw, IMAGE)
    assert frame.pixels.shape == ((24, 32, 3) if cfa else (48, 64, 3)) and frame.pixels.dtype == np.uint8
    assert frame.cfa == cfa and frame.binning == (2 if cfa else 1) and frame.stretch["kind"] == "asinh-noise"


def test_a_mosaic_has_the_colours_of_its_format(camera):
    """OpenCV would deliver it in grey or not at all."""
    mosaic = mosaic_of(scene(48, 64), "BGGR")
    frame = next(iter(camera(Fake(b"BYR2", [bytes_of(mosaic)]))))
    red, green, blue = (int(level) for level in frame.pixels[12, 16])
    assert red > green > blue and frame.source_size == (64, 48)


def test_memory_behind_the_image_is_ignored(camera):
    # Drivers round the size of their memory up to whole pages.
    source = camera(Fake(b"Y16 ", [np.pad(bytes_of(IMAGE), ((0, 0), (0, 2048)))]))
    assert np.array_equal(next(iter(source)).raw, IMAGE)


def test_an_incomplete_image_is_never_returned(camera, caplog):
    whole = bytes_of(IMAGE)
    source = camera(Fake(b"Y16 ", [whole[:, :-2]]), Fake(b"Y16 ", [whole]))
    assert np.array_equal(next(iter(source)).raw, IMAGE)
    assert source.reopened == 1 and len(caplog.messages) == 2


def test_a_colour_camera_is_read_as_rgb(camera):
    colour = np.zeros((48, 64, 3), np.uint8)
    colour[..., 0] = 200  # blue, in OpenCV's order
    capture = Fake(b"YUYV", [colour])
    frame = next(iter(camera(capture)))
    assert cv2.CAP_PROP_CONVERT_RGB not in capture.properties
    assert frame.raw is None and frame.pixels[0, 0].tolist() == [0, 0, 200]
