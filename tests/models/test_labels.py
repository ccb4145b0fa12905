"""The order of the classes is a contract with data sets and shipped models."""

import pytest
from galaxy_edge.models.labels import CLASSES, COARSE, EXCLUDED_LABEL, GALAXY10, class_index_from_galaxy10, coarse_group


def test_nine_of_the_ten_classes_are_named():
    assert len(GALAXY10) == len(set(GALAXY10)) == 10
    assert len(CLASSES) == 9
    assert set(GALAXY10) - set(CLASSES) == {"edge_on_boxy_bulge"} == {GALAXY10[EXCLUDED_LABEL]}


def test_g10_label_and_class_index_name_the_same_class():
    # The shift by one above the dropped class is where an off-by-one would hide.
    for g10, name in enumerate(GALAXY10):
        index = class_index_from_galaxy10(g10)
        assert index == -1 if g10 == EXCLUDED_LABEL else CLASSES[index] == name


@pytest.mark.parametrize("g10", [-1, -10, 5, 10, 255])
def test_label_without_a_class_is_minus_one(g10):
    # -1 is "not labelled" in the tables; Python's negative indices must not turn it into the last class.
    assert class_index_from_galaxy10(g10) == -1


def test_every_class_has_the_coarse_group_of_galaxy_zoo():
    groups = [coarse_group(name) for name in GALAXY10]
    assert groups == ["disk_no_spiral"] + ["smooth"] * 3 + ["edge_on"] * 3 + ["spiral"] * 3
    assert set(groups) == set(COARSE)


@pytest.mark.parametrize("group", COARSE)
def test_coarse_group_is_its_own_group(group):
    # Data sets label some images by group only.
    assert coarse_group(group) == group


@pytest.mark.parametrize("name", ["star", "Spiral_tight", "barred_spiral"])
def test_a_class_of_another_set_is_its_own_group(name):
    # Models trained on other classes are measured by coarse group too.
    assert coarse_group(name) == name
