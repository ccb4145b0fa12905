"""docs/api.md and the names that the package exports.

The examples of the page are run in order, in one namespace.
"""

import re
import subprocess
import sys

import galaxy_edge
import numpy as np
import pytest
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.frame import Detections
from helpers.paths import ROOT

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
PLAIN = [code for code in EXAMPLES if "supervision" not in code]
CLASSES = ("round", "spiral")


@pytest.fixture
def found():
    boxes = np.array([[0, 0, 5, 6], [1, 2, 9, 9], [4, 4, 6, 8]], np.float32)
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5], [0.875, 0.125]], np.float32)
    return Detections(boxes, np.array([0.9, 0.5, 0.25], np.float32), probabilities, ("M 51", "", "NGC 1"))


def assert_same(one, other):
    for name in ("boxes", "scores", "probabilities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.names == other.names


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    """What a newcomer copies from the page must work as it stands."""
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for code in PLAIN:
        exec(compile(code, "docs/api.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "0 galaxies in a black image" in printed and "4 frames; everything was written" in printed
    assert "no-such-file.png" in printed and (tmp_path / "found" / "events.sqlite").is_file()
    assert len(namespace["found"]) > 0


def test_every_name_is_exported_and_described():
    assert galaxy_edge.__all__ == sorted(galaxy_edge.__all__)
    for name in galaxy_edge.__all__:
        value = getattr(galaxy_edge, name)
        assert value.__name__ == name and value.__doc__ and f"`{name}`" in TEXT
        assert name in dir(galaxy_edge)
    with pytest.raises(AttributeError, match="has no attribute 'Telescope'"):
        _ = galaxy_edge.Telescope


def test_a_bare_import_imports_nothing_more():
    """PEP 562: a start of the command line must not pay for the API."""
    script = "import sys, galaxy_edge; print(*(n for n in sys.modules if n.startswith('galaxy_edge.')), 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("name", ["galaxy-detector", "galaxy-classifier"])
def test_a_network_is_made_of_nothing_of_a_folder_or_of_a_bundle(name):
    network = galaxy_edge.Detector if name == "galaxy-detector" else galaxy_edge.Classifier
    path = shipped_bundle_path(name)
    bundle = Bundle.load(path)
    assert network(bundle).bundle is bundle
    assert network().bundle.hash == network(path).bundle.hash == network(str(path)).bundle.hash == bundle.hash


def test_a_folder_of_the_other_task_is_refused():
    with pytest.raises(BundleError, match="is a model for the task 'classify', not 'detect'"):
        galaxy_edge.Detector(shipped_bundle_path("galaxy-classifier"))


def test_supervision_keeps_everything(found):
    """To supervision and back without loss, also of no detections and of a selection."""
    supervision = pytest.importorskip("supervision", reason="needs the extra supervision")
    converted = found.to_supervision(CLASSES)
    assert converted.class_id.tolist() == [1, 0, 0] and list(converted["class_name"]) == ["spiral", "round", "round"]
    assert_same(Detections.from_supervision(converted), found)
    assert Detections.from_supervision(converted[converted.confidence < 0.3]).names == ("NGC 1",)
    bare = Detections(found.boxes, found.scores)
    assert_same(Detections.from_supervision(bare.to_supervision()), bare)
    for empty in (supervision.Detections.empty(), Detections.empty().to_supervision(CLASSES)):
        assert len(Detections.from_supervision(empty)) == 0
    unsorted = supervision.Detections(xyxy=found.boxes[::-1], confidence=found.scores[::-1])
    np.testing.assert_array_equal(Detections.from_supervision(unsorted).boxes, found.boxes)


def test_the_example_of_supervision_runs():
    pytest.importorskip("supervision", reason="needs the extra supervision")
    namespace = {}
    for code in (EXAMPLES[0], *(code for code in EXAMPLES if code not in PLAIN)):
        exec(compile(code, "docs/api.md", "exec"), namespace)
    assert namespace["annotated"].shape == namespace["frame"].pixels.shape


def test_without_supervision_a_message_says_what_to_install(found, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(galaxy_edge.UserError, match=r"galaxy-edge\[supervision\]"):
        found.to_supervision()
