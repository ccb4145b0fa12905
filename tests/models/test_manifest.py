"""The record of a manifest gives back the file that it was read from."""

import tomllib
from pathlib import Path

import pytest
from galaxy_edge.export.bundle_writer import draft_of
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.models.manifest import BundleError, Manifest
from galaxy_edge.models.manifest_check import read_manifest

OLD = Path(__file__).parent.parent / "data" / "version-0.1.0"
FILES = [
    *(shipped_bundle_path(name) / "bundle.toml" for name in ("galaxy-detector", "galaxy-detector-raw")),
    shipped_bundle_path("galaxy-classifier") / "bundle.toml", OLD / "detector-bundle.toml", OLD / "classifier-bundle.toml",
]  # fmt: skip


def read(path: Path) -> Manifest:
    return read_manifest(path, path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_written_back_it_has_every_key_and_value(path):
    """The shipped bundles, and those of the first version."""
    assert read(path).to_dict() == tomllib.loads(path.read_text(encoding="utf-8"))


def test_keys_of_others_and_rare_ones_are_kept():
    """Tables for a training, a split, metrics and an export may hold anything."""
    tables = tomllib.loads(FILES[0].read_text(encoding="utf-8"))
    tables["training"]["their_setting"] = {"depth": [1, 2]}
    tables["data"]["split"]["their_seed"] = 7
    tables["metrics"]["int8"]["their_metric"] = 0.5
    tables["export"] |= {"their_tool": "v2", "rescue": {"int8": "percentile"}}
    tables["decode"] |= {"galaxy_class": 0, "tile_threshold": 0.6}
    tables["ungated"] = True
    tables.pop("files")
    manifest = draft_of(tables)
    assert manifest.to_dict() == tables | {"files": dict(manifest.files)}
    assert manifest.fallbacks == {"int8": "percentile"} and manifest.decode.tile_threshold == 0.6


def test_decode_is_that_of_the_task():
    """A detector has no temperature, and a classifier no anchors.

    Asking for them is an error with a message.
    """
    detector, classifier = read(FILES[0]), read(FILES[2])
    assert detector.detector_decode.anchors.min_level == 3 and classifier.classifier_decode.temperature > 1
    with pytest.raises(BundleError, match="galaxy-detector is a model for the task 'detect'"):
        detector.classifier_decode  # noqa: B018
    with pytest.raises(BundleError, match="not 'detect'"):
        classifier.detector_decode  # noqa: B018


def test_golden_outputs_of_one_variant_are_read_alone():
    """A start needs those of the network that it runs.

    The others take time to unpack.
    """
    bundle = Bundle.load(shipped_bundle_path("galaxy-classifier"))
    assert set(bundle.golden("int8")) == {"inputs", "int8.logits"}
    assert set(bundle.golden()) == {"inputs", "int8.logits", "fp32.logits"}
