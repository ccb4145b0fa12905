"""Images to calibrate with are developed as those of a run are."""

import cv2
import numpy as np
import pytest
from galaxy_edge.export.calibration_images import load_calibration_images
from galaxy_edge.models.images.decoder import decode_image
from galaxy_edge.models.images.development import Development
from galaxy_edge.models.preprocess import letterbox
from galaxy_edge.models.raw.stretch import Stretch
from galaxy_edge.training.formats.read_set import read_set


@pytest.fixture
def folder(tmp_path):
    """A labelled folder of one 16-bit image of 64 x 64 pixels.

    A faint source above noise.
    """
    rows, columns = np.mgrid[:64, :64]
    light = 900 * np.exp(-((rows - 30) ** 2 + (columns - 34) ** 2) / 60)
    image = np.random.default_rng(1).normal(1000, 20, (64, 64)) + light
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image.astype(np.uint16))
    (tmp_path / "labels" / "a.txt").write_text("0 0.53 0.47 0.4 0.4\n")
    (tmp_path / "data.yaml").write_text("names: [galaxy]\n")
    return tmp_path


@pytest.mark.parametrize("stretch", [Stretch(), Stretch(black=1.0, softening=8.0, white=50.0)])
def test_the_stretch_of_the_manifest_is_used(folder, stretch):
    """The standard stretch was used, whatever the network was trained with."""
    model = {
        "input": {"width": 64, "height": 64},
        "preprocess": {"kind": "letterbox", "fill": 0, "stretch": stretch.manifest()},
    }
    path = folder / "images" / "a.png"
    wanted = decode_image(path.read_bytes(), "a.png", Development(stretch=stretch)).pixels
    (image,) = load_calibration_images(folder / "images", model, "detect", None, 1)
    assert np.array_equal(image, letterbox(wanted, 64, 64)[0])
    (sample,) = read_set(folder, stretch=stretch)
    assert np.array_equal(sample.load(), wanted)
