"""The stretch and the tiles' threshold in a bundle's manifest.

Valid and invalid values.
"""

import shutil

import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.models.manifest_check import find_decode_fault
from galaxy_edge.models.raw.stretch import Stretch

TABLE = '[preprocess.stretch]\nkind = "asinh-noise"\nblack = 1.5\nsoftening = 4.0\nwhite = 300.0\n\n'


@pytest.fixture
def bundle(tmp_path):
    """A copy of the shipped detector with a stretch and a threshold of tiles.

    A function replaces text in it.
    """
    shutil.copytree(shipped_bundle_path("galaxy-detector"), tmp_path / "b")
    manifest = tmp_path / "b" / "bundle.toml"
    lines = manifest.read_text(encoding="utf-8").split("\n")
    drop = [index for index, line in enumerate(lines) if line.startswith("tile_threshold")]
    lines = [line for index, line in enumerate(lines) if index not in drop]
    text = "\n".join(lines).split("[preprocess.stretch]")
    rest = text[1].partition("\n[")[1:] if len(text) > 1 else ()
    text = text[0] + "".join(rest).removeprefix("\n")
    text = text.replace("[decode]\n", TABLE + "[decode]\ntile_threshold = 0.35\n", 1)
    assert TABLE in text

    def load(old="", new=""):
        assert old in text
        manifest.write_text(text.replace(old, new, 1), encoding="utf-8")
        return Bundle.load(tmp_path / "b", "detect")

    return load


def test_levels_are_those_of_the_formula():
    """The formula is in the documentation."""
    stretch = Stretch(2.0, 3.0, 500.0)
    x = np.linspace(-5, 600, 5001)
    expected = 255 * np.arcsinh(np.maximum(x + 2, 0) / 3) / np.arcsinh(502 / 3)
    assert np.abs(stretch.levels(x) - np.clip(expected, 0, 255)).max() <= 0.75
    assert stretch.levels(np.array([-2.0, 500.0])).tolist() == [0, 255]


def test_sky_is_mid_dark():
    """Noise must neither be clipped nor look like light."""
    assert 15 < int(Stretch().levels(np.zeros(1))[0]) < 50


@pytest.mark.parametrize("table", [
    {}, {"kind": "linear", "black": 2, "softening": 3, "white": 500},
    {"kind": "asinh-noise", "black": 2, "softening": 3}, Stretch().manifest() | {"gamma": 1},
    Stretch().manifest() | {"softening": 0}, Stretch().manifest() | {"white": 1000.0},
])  # fmt: skip
def test_other_tables_are_refused(table):
    """An unknown stretch would show the network images that it was never trained on."""
    with pytest.raises(ValueError):
        Stretch.from_manifest(table)


def test_bundle_names_its_stretch_and_the_threshold_of_tiles(bundle):
    """The network's own stretch is used, not that of this version."""
    found = bundle()
    assert found.stretch == Stretch(1.5, 4.0, 300.0) and found.manifest.detector_decode.tile_threshold == 0.35


def test_bundle_without_a_stretch_has_the_standard_one(bundle):
    """Bundles of earlier versions name none."""
    assert bundle(TABLE).stretch == Stretch()


@pytest.mark.parametrize("old, new", [
    ("tile_threshold = 0.35", "tile_threshold = 1.5"), ("tile_threshold = 0.35", 'tile_threshold = "high"'),
    ("softening = 4.0", "softening = -4.0"), ("softening = 4.0", 'softening = "soft"'), ("black = 1.5\n", ""),
    ("black = 1.5", "black = nan"),
])  # fmt: skip
def test_nonsense_in_the_manifest_is_refused(bundle, old, new):
    """A manifest may come from anybody."""
    with pytest.raises(BundleError):
        bundle(old, new)


def test_decode_table_may_hold_the_threshold_of_tiles(bundle):
    """The tools that write manifests check the table alone."""
    decode = bundle().manifest.decode.to_dict()
    assert find_decode_fault(decode) is None and "tile_threshold" in decode
    assert "tile_threshold" in (find_decode_fault(decode | {"tile_threshold": 2.0}) or "")
    assert "must be of type" in (find_decode_fault(decode | {"tile_threshold": "x"}) or "")
