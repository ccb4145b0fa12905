"""Every error in a labelled set is found, named and reported once.

A valid set has none.
"""

import json

import numpy as np
import pytest
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.formats.annotation import ImageAnnotation, build_dataset, raise_error
from galaxy_edge.training.formats.check import KINDS, check, describe_classes
from galaxy_edge.training.formats.registry import conversion_notes, read_labels, write_labels
from helpers.images import encode, render
from helpers.labels import single_image_set


def sky(number, width=80, height=60):
    """A field of stars of its own, without noise that encoding would change."""
    rng = np.random.default_rng([number, 9])
    return render([(*rng.uniform(5, (width - 5, height - 5)), rng.uniform(1, 2.5)) for _ in range(14)], width, height)


def clean(folder, count=6):
    """Write images of different fields, a box in each, and give the set."""
    found = []
    for number in range(count):
        name = f"{number}.png"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(encode(sky(number)))
        found.append(
            ImageAnnotation(
                name, 80, 60, [[10, 10, 30 + number, 40]], ("galaxy",), [False], archive=folder, member=name
            )
        )
    return build_dataset("test", found, raise_error)


def kinds(path, kind=None):
    return [(issue.kind, issue.file) for issue in check(path, kind)[1]]


@pytest.mark.parametrize("kind", ["voc", "yolo", "coco", "csv"])
def test_a_clean_set_is_clean(tmp_path, kind):
    write_labels(clean(tmp_path / "p"), tmp_path / "out", kind)
    labels, found = check(tmp_path / "out")
    assert found == [] and len(labels.images) == 6 and describe_classes(labels) == []


def spoiled(folder, text=lambda text: text, name="2.xml"):
    path = folder / name
    path.write_text(text(path.read_text()))


@pytest.mark.parametrize(
    "spoil, wanted",
    [
        (lambda out: spoiled(out, lambda text: text[:200]), [("unreadable label", "2.xml")]),
        (lambda out: (out / "2.png").unlink(), [("missing picture", "2.png")]),
        (lambda out: (out / "2.png").write_bytes(b""), [("broken picture", "2.png")]),
        (lambda out: (out / "2.png").write_bytes((out / "2.png").read_bytes()[:900]), [("broken picture", "2.png")]),
        (lambda out: (out / "2.png").write_bytes(encode(sky(50, 81, 60))), [("size differs", "2.png")]),
        (lambda out: spoiled(out, lambda text: text.replace("<xmax>32", "<xmax>80.5")), [("box outside", "2.png")]),
        (lambda out: spoiled(out, lambda text: text.replace("<ymin>10", "<ymin>-0.5")), [("box outside", "2.png")]),
        (lambda out: spoiled(out, lambda text: text.replace("<xmax>32", "<xmax>10")), [("box without area", "2.png")]),
        (lambda out: spoiled(out, lambda text: text.replace("<xmax>32", "<xmax>-4")), [("box without area", "2.png")]),
        (
            lambda out: spoiled(out, lambda text: text.replace("<name>galaxy", "<name>glaxy")),
            [("unknown class", "2.png")],
        ),
        (lambda out: (out / "copy.xml").write_text((out / "2.xml").read_text()), [("file name twice", "2.png")]),
        (lambda out: (out / "4.png").write_bytes((out / "2.png").read_bytes()), [("same picture twice", "4.png")]),
        (
            lambda out: (out / "4.png").write_bytes(encode(np.clip(sky(2)[::-1] * 1.1, 0, 255).astype(np.uint8))),
            [("near duplicate", "4.png")],
        ),
    ],
)
def test_every_fault_is_found_and_nothing_else(tmp_path, spoil, wanted):
    write_labels(clean(tmp_path / "p"), tmp_path / "out", "voc")
    spoil(tmp_path / "out")
    assert kinds(tmp_path / "out") == wanted


def test_a_jpeg_that_is_cut_short_is_broken(tmp_path):
    # Some decoders return it with a grey bottom.
    labels = single_image_set(tmp_path / "p", [[1, 2, 30, 40]], name="m31.jpg")
    write_labels(labels, tmp_path / "out", "voc")
    path = tmp_path / "out" / "m31.jpg"
    path.write_bytes(path.read_bytes()[:-40])
    assert kinds(tmp_path / "out") == [("broken picture", "m31.jpg")]


def test_all_faults_at_once_in_a_fixed_order(tmp_path):
    write_labels(clean(tmp_path / "p"), tmp_path / "out", "voc")
    out = tmp_path / "out"
    (out / "1.png").unlink()
    spoiled(out, lambda text: text[:200], "0.xml")
    spoiled(out, lambda text: text.replace("<xmax>33", "<xmax>99"), "3.xml")
    found = kinds(out)
    assert found == [("unreadable label", "0.xml"), ("missing picture", "1.png"), ("box outside", "3.png")]
    assert [KINDS.index(kind) for kind, _ in found] == sorted(KINDS.index(kind) for kind, _ in found)


@pytest.mark.parametrize(
    "second, twice",
    [
        ([10.2, 10, 30, 40], True),
        ([10, 10, 30, 40], True),
        ([12, 10, 30, 40], False),
        ([30, 10, 50, 40], False),
    ],
)
def test_a_box_drawn_twice(tmp_path, second, twice):
    # 0.95: a fifth of a pixel at a side of twenty is the same box, two pixels are not.
    write_labels(
        single_image_set(tmp_path / "p", [[10, 10, 30, 40], second], ["galaxy", "star"]), tmp_path / "out", "coco"
    )
    assert kinds(tmp_path / "out") == [("box twice", "m31.png")] * twice


def test_six_decimals_do_not_push_a_box_outside(tmp_path):
    write_labels(single_image_set(tmp_path / "p", [[0, 0, 64, 48]]), tmp_path / "out", "yolo")
    (tmp_path / "out" / "labels" / "m31.txt").write_text("0 0.500000 0.500001 1.000000 1.000000\n")
    assert kinds(tmp_path / "out") == []


def test_broken_files_of_every_format_are_findings(tmp_path):
    put = {"yolo": "labels/m31.txt", "coco": "annotations.json"}
    for kind, name in put.items():
        write_labels(single_image_set(tmp_path / "p", [[1, 2, 30, 40]]), tmp_path / kind, kind)
        (tmp_path / kind / name).write_text("0 0.5 nan" if kind == "yolo" else '{"images": [], "annotations": [{')
        assert kinds(tmp_path / kind) == [("unreadable label", name)]


MANY = {
    "voc": ("m31.xml", lambda text: text.replace("<xmin>1<", "<xmin>nan<").replace("<difficult>0", "<difficult>no")),
    "yolo": ("labels/m31.txt", lambda text: "0 nan .5 .2 .2\n0 .5 .5 .1 .1\n7 .5 .5 .2 .2\n0 .5\n"),
    "coco": ("annotations.json", lambda text: text.replace('"category_id": 1', '"category_id": 9')),
    "csv": (
        "boxes.csv",
        lambda text: text.replace(",1,2,", ",nan,2,").replace(",5,6,", ",,6,").replace(",7,8,", ",7,x,"),
    ),
}


@pytest.mark.parametrize("kind", MANY)
def test_every_fault_in_a_file_is_reported(tmp_path, kind):
    # Otherwise a user fixes one and then meets the next.
    boxes = [[1, 2, 30, 40], [5, 6, 40, 44], [7, 8, 11, 12]]
    write_labels(single_image_set(tmp_path / "p", boxes), tmp_path / "out", kind)
    name, spoil = MANY[kind]
    (tmp_path / "out" / name).write_text(spoil((tmp_path / "out" / name).read_text()))
    found = [issue for issue in check(tmp_path / "out")[1] if issue.kind == "unreadable label"]
    assert len({issue.detail for issue in found}) == 3, found


@pytest.mark.parametrize("text", ["", "[]", '{"images": [', "[" * 100_000])
def test_nearly_empty_coco_file_is_reported_with_its_fault(tmp_path, text):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 30, 40]]), tmp_path / "out", "coco")
    (tmp_path / "out" / "annotations.json").write_text(text)
    for found in (check(tmp_path / "out", "coco")[1], check(tmp_path / "out" / "annotations.json")[1]):
        assert [issue.file for issue in found] == ["annotations.json"] and "not a complete COCO file" in found[0].detail


def test_faulty_tables_are_findings_that_name_file_and_line(tmp_path):
    for name in ("one", "two"):
        write_labels(single_image_set(tmp_path / "p", [[1, 2, 30, 40]] * 3), tmp_path / "sets" / name, "csv")
    table = tmp_path / "sets" / "one" / "boxes.csv"
    lines = table.read_text().split("\n")
    table.write_text("\n".join([lines[0], lines[1][:20], lines[2], lines[3] + ",1", ""]))
    frames = tmp_path / "sets" / "two" / "frames.csv"
    frames.write_text(frames.read_text().replace("galaxy,", "galaxxy,"))
    details = [issue.detail for issue in check(tmp_path / "sets")[1] if issue.kind == "unreadable label"]
    assert len(details) == 2 and "boxes.csv, line 2, 4: " in details[0]
    assert "frames.csv: the kind of m31.png is 'galaxxy'" in details[1]


def test_frame_with_two_rows_is_reported(tmp_path):
    # Taken for two, its boxes would count twice.
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 30, 40]]), tmp_path / "out", "csv")
    frames = tmp_path / "out" / "frames.csv"
    frames.write_text(frames.read_text() + frames.read_text().split("\n")[1] + "\n")
    assert kinds(tmp_path / "out") == [("file name twice", "m31.png")]


def test_unknown_class_without_a_list_is_a_fault(tmp_path):
    # A misspelt galaxy would be sky to the detector.
    names = ["galaxy", "galxy", "planetary nebula", "Stars"]
    write_labels(
        single_image_set(tmp_path / "p", [[i, 2, i + 9, 40] for i in (1, 15, 30, 45)], names), tmp_path / "out", "voc"
    )
    (tmp_path / "out" / "classes.txt").unlink()
    (found,) = check(tmp_path / "out")[1]
    assert (found.kind, found.file) == (
        "unknown class",
        "m31.png",
    ) and "'galxy' is not a known object of the sky" in found.detail
    (tmp_path / "out" / "classes.txt").write_text("\n".join(names))
    assert kinds(tmp_path / "out") == []


@pytest.mark.parametrize("listed", [("galaxy",), ()])
@pytest.mark.parametrize("kind", ["voc", "csv"])
def test_a_class_that_is_not_in_the_list_is_not_put_there(tmp_path, kind, listed):
    # Else the parts of a split have no fault that the whole has.
    from dataclasses import replace

    labels = single_image_set(tmp_path / "p", [[1, 2, 30, 40], [40, 2, 50, 9]], ["galaxy", "galxy"])
    write_labels(replace(labels, listed=listed), tmp_path / "out", kind)
    assert kinds(tmp_path / "out") == [("unknown class", "m31.png")]
    for other in ("yolo", "coco", "tfrecord"):
        assert "galxy" in conversion_notes(read_labels(tmp_path / "out"), other)[0]


def test_a_cut_tfrecord_is_a_finding(tmp_path):
    pytest.importorskip("tensorflow", reason="needs the train extra")
    write_labels(clean(tmp_path / "p"), tmp_path / "out", "tfrecord")
    path = tmp_path / "out" / "pictures.tfrecord"
    path.write_bytes(path.read_bytes()[:-10])
    labels, found = check(tmp_path / "out")
    assert [issue.kind for issue in found] == ["file cut short"] and len(labels.images) == 5
    path.write_bytes(b"")
    assert [issue.detail for issue in check(tmp_path / "out")[1]] == ["the file is empty"]


def test_a_set_without_an_image_is_a_finding(tmp_path):
    write_labels(clean(tmp_path / "p"), tmp_path / "out", "csv")
    for name in ("frames.csv", "boxes.csv"):
        path = tmp_path / "out" / name
        path.write_text(path.read_text().split("\n")[0] + "\n")
    assert [issue.detail for issue in check(tmp_path / "out")[1]] == ["there is no labelled image in it"]


def test_coco_faults_are_all_reported(tmp_path):
    write_labels(clean(tmp_path / "p"), tmp_path / "out", "coco")
    path = tmp_path / "out" / "annotations.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 9
    content["annotations"][1]["image_id"] = 99
    content["images"].append(content["images"][2] | {"id": 50})
    path.write_text(json.dumps(content))
    assert kinds(tmp_path / "out") == [
        ("unreadable label", "0.png"),
        ("unreadable label", "annotations.json"),
        ("file name twice", "2.png"),
    ]


def test_classes_that_are_not_galaxies_are_noted_without_a_fault(tmp_path):
    write_labels(
        single_image_set(tmp_path / "p", [[1, 2, 30, 40], [40, 2, 50, 9]], ["galaxy", "star"]), tmp_path / "out", "yolo"
    )
    labels, found = check(tmp_path / "out")
    assert found == [] and describe_classes(labels) == ["not galaxies to the detector: star (1)"]


def test_nothing_to_check_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no labels in a known format"):
        check(tmp_path)


def test_real_frames_have_few_faults(shared_data):
    # Four planetary nebulae on black look alike to the comparison of galaxies; a split keeps them together.
    _, found = check(shared_data / "deepsky_frames")
    assert {issue.kind for issue in found} <= {"near duplicate"} and len(found) < 10
