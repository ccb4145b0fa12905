"""Third-party detectors of several classes.

`--galaxy-class` is required, detections of other classes are dropped.
"""

import numpy as np
import pytest
import tomli_w
from galaxy_edge.export.class_labels import choose_galaxy_class, fit_to_network, read_labels
from galaxy_edge.export.errors import ExportUsage
from galaxy_edge.export.settings import Settings
from galaxy_edge.models.bundle import Bundle
from galaxy_edge.models.manifest import BundleError
from galaxy_edge.runtime.inference.detector import Detector
from helpers.command_line import galaxy_edge_in_process
from helpers.multi_class import write_multi_class
from helpers.third_party import imported


@pytest.fixture(scope="module", params=[True, False], ids=["decoded", "raw"])
def network(request, tmp_path_factory):
    """A TFLite file of three classes, and whether it decodes its boxes itself."""
    folder = tmp_path_factory.mktemp("several")
    return write_multi_class(folder, request.param)


def options(network, labels, **more):
    (network.parent / "labels.txt").write_text(labels)
    return {"labels": network.parent / "labels.txt", "decode": network.parent / "decode.toml", **more}


def test_only_the_chosen_class_becomes_a_galaxy(network, tmp_path):
    """A bright square is a galaxy; all that is dark is a person or a dog."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[16:24, 40:48] = 250
    for name, count in (("galaxy", 1), ("1", 1), ("GALAXY", 1)):
        given = options(network, "person\ngalaxy\ndog\n", galaxy_class=name)
        assert imported(network, tmp_path / name, Settings(()), **given).passed
        bundle = Bundle.load(tmp_path / name, "detect")
        found = Detector(bundle, bundle.default_variant)(image)
        assert len(found.boxes) == count and found.boxes[0] == pytest.approx([36, 12, 52, 28], abs=1)
        assert bundle.manifest.detector_decode.galaxy_class == 1 and bundle.classes == ("person", "galaxy", "dog")
    given = options(network, "person\ngalaxy\ndog\n", galaxy_class="person")
    assert imported(network, tmp_path / "person", Settings(()), **given).passed
    others = Detector(Bundle.load(tmp_path / "person"), Bundle.load(tmp_path / "person").default_variant)(image)
    assert len(others.boxes) > 1  # of the dark


@pytest.mark.parametrize(
    ("labels", "galaxy_class", "words"),
    [
        (
            "person\ngalaxy\ndog\n",
            None,
            r"3 classes: name the galaxies with --galaxy-class \(0 person, 1 galaxy, 2 dog",
        ),
        ("person\ngalaxy\ndog\n", "star", "star is not a class"),
        ("person\ngalaxy\ndog\n", "3", "3 is not a class"),
        ("person\n???\ndog\n", "1", "1 is not a class"),
        ("person\n???\ndog\n", "???", "is not a class"),
        ("galaxy\n", None, "there are 1 labels, and the network has 3 classes"),
        ("galaxy\ngalaxy\ndog\n", "galaxy", "several classes are called galaxy"),
        ("a\nb\nc\nd\n", "a", "there are 4 labels, and the network has 3"),
    ],
)
def test_what_is_not_clear_is_refused(network, tmp_path, labels, galaxy_class, words):
    """No bundle is written whose galaxies might be something else."""
    with pytest.raises(ExportUsage, match=words):
        imported(network, tmp_path / "out", Settings(()), **options(network, labels, galaxy_class=galaxy_class))
    assert not (tmp_path / "out").exists()


def test_entries_without_a_class_keep_the_numbers_of_the_others(network, tmp_path):
    """Label maps have ??? for unused numbers and for the background before class 1."""
    for number, labels in enumerate(
        ("???\ngalaxy\n???\n", "???\nperson\ngalaxy\ndog\n", "0 person\n1  galaxy\n2 dog\n")
    ):
        given = options(network, labels, galaxy_class="galaxy")
        assert imported(network, tmp_path / str(number), Settings(()), **given).passed
        assert Bundle.load(tmp_path / str(number)).manifest.detector_decode.galaxy_class == 1


def test_lists_of_labels(tmp_path):
    """Line numbers are class numbers, also after an empty line.

    A byte-order mark is not part of the first name.
    """
    path = tmp_path / "labels.txt"
    path.write_bytes("galaxy\n\nstar\n\n".encode("utf-8-sig"))
    assert read_labels(path, b"", "onnx-fp32") == ["galaxy", "???", "star"]
    path.write_text("0 galaxy\n2 star cluster\n")
    assert read_labels(path, b"", "onnx-fp32") == ["galaxy", "???", "star cluster"]
    assert fit_to_network(["???", "galaxy"], 1) == ["galaxy"]
    assert choose_galaxy_class(["???", "galaxy"], None) == 1


def test_the_command_names_the_classes(network, tmp_path):
    """The refusal is one line, and the option is known."""
    given = options(network, "person\ngalaxy\ndog\n")
    arguments = ["export", "--from", network, "--task", "detector", "--labels", given["labels"]]
    arguments += ["--decode", given["decode"], "--out", tmp_path / "out"]
    done = galaxy_edge_in_process(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and "1 galaxy" in done.stderr and "Traceback" not in done.stderr
    assert galaxy_edge_in_process(*arguments, "--galaxy-class", "galaxy", cwd=tmp_path).returncode == 0


def test_an_old_bundle_that_does_not_say_is_not_run(network, tmp_path):
    """Imported before: every class was a galaxy.

    One that calls a class galaxy is understood.
    """
    given = options(network, "person\ngalaxy\ndog\n", galaxy_class="galaxy")
    imported(network, tmp_path / "out", Settings(()), **given)
    manifest = Bundle.load(tmp_path / "out").manifest.to_dict()
    del manifest["decode"]["galaxy_class"]
    (tmp_path / "out" / "bundle.toml").write_text(tomli_w.dumps(manifest))
    variant = Bundle.load(tmp_path / "out").default_variant
    assert Detector(Bundle.load(tmp_path / "out"), variant)._galaxy_class == 1
    manifest["classes"] = ["person", "nebula", "dog"]
    (tmp_path / "out" / "bundle.toml").write_text(tomli_w.dumps(manifest))
    with pytest.raises(BundleError, match="does not state which are galaxies"):
        Detector(Bundle.load(tmp_path / "out"), variant)
    manifest["decode"]["galaxy_class"] = 3
    (tmp_path / "out" / "bundle.toml").write_text(tomli_w.dumps(manifest))
    with pytest.raises(BundleError, match="not the index of one"):
        Bundle.load(tmp_path / "out")
