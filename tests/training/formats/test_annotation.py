"""The annotation type shared by all formats: valid and invalid values."""

import json

import numpy as np
import pytest
from galaxy_edge.training.formats.annotation import (
    ImageAnnotation,
    LabelError,
    annotation_from_json,
    build_dataset,
    normalise_name,
    parse_finite,
    raise_error,
)
from helpers.labels import awkward_set


def labelled(**changes):
    values = {
        "file": "a.png",
        "width": 9,
        "height": 8,
        "boxes": [[1, 2, 3, 4]],
        "classes": ("galaxy",),
        "difficult": [False],
    } | changes
    return ImageAnnotation(**values)


@pytest.mark.parametrize(
    "name, form",
    [
        ("a.png", "a.png"),
        ("./a/b.png", "a/b.png"),
        ("a//b.png", "a/b.png"),
        (" a .png", " a .png"),
        ("a..png", "a..png"),
        ("图像.png", "图像.png"),
    ],
)
def test_names_have_one_form(name, form):
    assert normalise_name(name) == form


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a.png",
        "../a.png",
        "a/../../b.png",
        "a/..",
        "..",
        ".",
        "/",
        "a\\..\\b.png",
        "C:\\a.png",
        "a\nb.png",
        "a\0.png",
        ".a.png",
        "a/.b/c.png",
        "..a.png",
        "a\u2028b.png",
        "a\udcff.png",
        "a\uffff.png",
        "\x85.png",
    ],
)
def test_names_that_lead_elsewhere_or_break_lines_are_refused(name):
    with pytest.raises(ValueError, match=r"leads out|backslash|empty|no label file can hold|hidden"):
        normalise_name(name)
    with pytest.raises(LabelError):
        labelled(file=name)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"boxes": [[1, 2, 3, float("nan")]]}, "cannot be a position in an image"),
        ({"boxes": [[1, 2, 3, float("inf")]]}, "cannot be a position in an image"),
        ({"boxes": [[1, 2, 3, 1e12]]}, "cannot be a position in an image"),
        ({"classes": ()}, "differ"),
        ({"difficult": []}, "differ"),
        ({"extras": ({}, {})}, "differ"),
        ({"classes": ("",)}, "empty"),
        ({"classes": (" galaxy",)}, "begins or ends with a space"),
        ({"classes": ("a\nb",)}, "U\\+000A"),
        ({"width": 0}, "its size is 0 x 8"),
        ({"height": -3}, "its size is 9 x -3"),
        ({"about": {"x": float("nan")}}, "a value"),
        ({"extras": ({"x": "\ud800"},)}, "a value"),
        ({"about": {"x": object()}}, "a value"),
        ({"about": {"a\0": 1}}, "U\\+0000"),
    ],
)
def test_values_that_no_format_can_hold_are_refused(changes, message):
    with pytest.raises(LabelError, match=message):
        labelled(**changes)


def test_plain_values_say_everything(tmp_path):
    for image in awkward_set(tmp_path).images:
        again = annotation_from_json(json.loads(json.dumps(image.plain())))
        assert again.plain() == image.plain() and np.array_equal(again.boxes, image.boxes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("file"),
        lambda values: values.update(width="wide"),
        lambda values: values.update(boxes=3),
        lambda values: values["boxes"][0].update(box=[1, 2, 3]),
        lambda values: values["boxes"][0].update(extras=5),
        lambda values: values.update(width=float("inf")),
        lambda values: values["boxes"].append(None),
    ],
)
def test_a_damaged_record_is_refused(spoil):
    values = labelled().plain()
    spoil(values)
    with pytest.raises(LabelError):
        annotation_from_json(values)
    for other in (None, 5, [], "x"):
        with pytest.raises(LabelError, match="damaged"):
            annotation_from_json(other)


def test_repeated_name_is_reported_and_the_first_kept():
    issues = []
    found = build_dataset("voc", [labelled(), labelled(width=20)], issues.append)
    assert [image.width for image in found.images] == [9] and issues[0].kind == "file name twice"
    with pytest.raises(LabelError, match=r"a\.png: two labels"):
        build_dataset("voc", [labelled(), labelled()], raise_error)


def test_classes_keep_the_order_of_the_sets_own_list():
    found = build_dataset("voc", [labelled(classes=("star",))], raise_error, ["galaxy", "nebula"])
    assert found.classes == ("galaxy", "nebula", "star") and found.listed == ("galaxy", "nebula")


@pytest.mark.parametrize("value", ["nan", "-inf", "1e999", "x", "", None, True, [1], 10**400])
def test_only_finite_numbers_are_numbers(value):
    with pytest.raises(ValueError, match="number"):
        parse_finite(value)
