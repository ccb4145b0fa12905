"""Classes within the intervals of EFIGI's attributes."""

import os
from pathlib import Path

import pytest
from galaxy_edge.training.data.archives import read_csv_rows
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.expert_intervals import plausible_classes

SPIRAL = {
    "T": (3, 2, 4),
    "Inclination": (0.25, 0, 0.5),
    "Bulge_to_Total": (0.25, 0.25, 0.25),
    "Arm_Strength": (0.75, 0.5, 1),
}


def row(**attributes):
    return {f"{name}{part}": str(value) for name, values in attributes.items()
            for part, value in zip(("", "_inf", "_sup"), values, strict=True)}  # fmt: skip


@pytest.mark.parametrize(
    ("curvature", "expected"),
    [
        ((0.75, 0.75, 1), {"spiral_tight"}),
        ((0.75, 0.5, 1), {"spiral_tight", "spiral_medium"}),
        ((0.5, 0.25, 0.75), {"spiral_tight", "spiral_medium", "spiral_loose"}),
    ],
)
def test_an_interval_over_a_boundary_allows_both_classes(curvature, expected):
    assert plausible_classes(row(**SPIRAL, Arm_Curvature=curvature)) == expected


def test_undetermined_attributes_stay_undetermined():
    """A galaxy seen from the edge has no winding."""
    edge = row(T=(2, 1, 3), Inclination=(1, 0.75, 1), Bulge_to_Total=(0.25, 0.25, 0.5), Arm_Strength=(-1, -1, -1),
               Arm_Curvature=(-1, -1, -1))  # fmt: skip
    assert plausible_classes(edge) == {"edge_on_rounded_bulge"}


@pytest.mark.parametrize("value", ["", "Sb", "nan"])
def test_an_interval_that_is_not_a_number_is_named(value):
    broken = row(**SPIRAL, Arm_Curvature=(0.5, 0.25, 0.75)) | {"file": "a.png", "T_inf": value}
    with pytest.raises(DataError, match=f"a.png: T_inf is '{value}', not a number"):
        plausible_classes(broken)


@pytest.mark.skipif("GALAXY_EDGE_DATA" not in os.environ, reason="needs the labelled sets: set GALAXY_EDGE_DATA")
def test_the_labels_of_the_set_follow_the_rules():
    """The class of every galaxy is one of those that its attributes allow."""
    rows = list(read_csv_rows(Path(os.environ["GALAXY_EDGE_DATA"]) / "efigi" / "labels.csv", ("g10_name",)))
    labelled = [entry for entry in rows if entry["g10_name"]]
    assert len(labelled) > 2000 and all(entry["g10_name"] in plausible_classes(entry) for entry in labelled)
