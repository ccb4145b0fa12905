"""Attributes of EFIGI are read as in its table; a missing value stays missing."""

import csv

import numpy as np
import pytest
from galaxy_edge.training.classifier.attributes import ATTRIBUTES, read_attributes
from galaxy_edge.training.data.errors import DataError


def test_attribute_values_and_invisible_attributes():
    said = read_attributes({"T": "-6.0", "Arm_Curvature": "-1.0", "Inclination": "0.25", "Arm_Rotation": "1.0"})
    known = dict(zip(ATTRIBUTES, said.tolist(), strict=True))
    assert known["T"] == 0 and known["Inclination"] == 0.25 and np.isnan(known["Arm_Curvature"])
    assert np.isnan(known["Bulge_to_Total"]), "not in the table"
    assert read_attributes({"T": "11"})[0] == 1
    assert np.isnan(read_attributes({})).all()
    assert np.isnan(read_attributes({"T": "nan", "Bar_Length": " "})).all(), "empty cells as pandas writes them"


@pytest.mark.parametrize("value", ["none", "inf", "0,5"])
def test_an_attribute_that_is_not_a_number_is_named_with_its_image(value):
    with pytest.raises(DataError, match=f"a.png: T is '{value}', not a number"):
        read_attributes({"file": "a.png", "T": value})


def test_attributes_that_depend_on_the_view_are_excluded():
    """A mirrored galaxy turns the other way, and a crop leaves out its neighbours."""
    assert not {"Arm_Rotation", "Contamination", "Multiplicity"} & set(ATTRIBUTES)


def test_real_tables_agree_with_their_classes(shared_data):
    """Tight, medium and loose are steps of the curvature of arms.

    What is read must be that very column.
    """
    with (shared_data / "efigi" / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    curvature = np.array([read_attributes(row)[ATTRIBUTES.index("Arm_Curvature")] for row in rows])
    label = np.array([int(row["g10"]) for row in rows])
    assert (curvature[label == 7] >= 0.75).all() and (curvature[label == 8] == 0.5).all()
    assert (curvature[label == 9] <= 0.25).all()
    everything = np.stack([read_attributes(row) for row in rows])
    assert np.nanmin(everything) >= 0 and np.nanmax(everything) <= 1 and np.isfinite(everything).mean() > 0.7
