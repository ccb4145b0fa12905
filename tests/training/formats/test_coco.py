"""COCO JSON: validated by pycocotools; files of other programs; incomplete files."""

import json

import numpy as np
import pytest
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.registry import read_labels, write_labels
from helpers.labels import awkward_set, encoded_image, plain_values, single_image_set, write_images

FOREIGN = {
    "info": {"year": 2017},
    "licenses": [{"id": 3, "name": "CC BY"}],
    "images": [
        {"id": 139, "file_name": "m31.png", "width": 64, "height": 48, "license": 3, "coco_url": "http://x/1"},
        {"id": 7, "file_name": "sky.png", "width": 64, "height": 48},
    ],
    "annotations": [
        {
            "id": 90,
            "image_id": 139,
            "category_id": 18,
            "bbox": [10.1, 5.2, 20.2, 30.3],
            "area": 400.5,
            "iscrowd": 0,
            "segmentation": [[1, 2, 3, 4, 5, 6]],
        },
        {"id": 12, "image_id": 139, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 1},
        {"id": 13, "image_id": 139, "category_id": 3, "bbox": [2, 2, 3, 4], "iscrowd": 0, "ignore": 1},
    ],
    "categories": [{"id": 18, "name": "galaxy"}, {"id": 3, "name": "star", "supercategory": "thing"}],
}


def put(folder, content=FOREIGN, name="instances.json"):
    write_images(folder, ["m31.png", "sky.png"])
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def change(**changes):
    """The foreign file with its first image, annotation or category changed."""
    content = json.loads(json.dumps(FOREIGN))
    for key, values in changes.items():
        content[key][0] = {k: v for k, v in (content[key][0] | values).items() if v is not ...}
    return content


def coco(path):
    tool = pytest.importorskip("pycocotools.coco", reason="needs the bench extra")
    return tool.COCO(str(path))


def test_pycocotools_reads_what_we_write(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "coco")
    read = coco(tmp_path / "out" / "annotations.json")
    assert len(read.getAnnIds()) == len(set(read.getAnnIds())) == sum(len(image.boxes) for image in source.images)
    by_name = {image["file_name"]: image for image in read.loadImgs(read.getImgIds())}
    for annotation in source.images:
        image = by_name[annotation.file]
        assert (image["width"], image["height"]) == (annotation.width, annotation.height)
        found = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        corners = np.array([ann["bbox"] for ann in found]).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        assert np.allclose(corners, annotation.boxes, atol=1e-12)
        assert tuple(read.cats[ann["category_id"]]["name"] for ann in found) == annotation.classes
        flags = [bool(ann["iscrowd"]) for ann in found if "coco" not in ann]
        assert flags == [bool(flag) for flag in annotation.difficult]


def test_a_difficult_box_counts_neither_way_in_cocos_own_evaluation(tmp_path):
    # Found is only the difficult one: were it plain, precision would fall; were it left out, it would be a false alarm.
    evaluation = pytest.importorskip("pycocotools.cocoeval", reason="needs the bench extra")
    source = single_image_set(tmp_path / "p", [[2, 2, 20, 20], [30, 10, 60, 40]], difficult=[False, True])
    write_labels(source, tmp_path / "out", "coco")
    truth = coco(tmp_path / "out" / "annotations.json")
    found = truth.loadRes(
        [
            {"image_id": 1, "category_id": 1, "bbox": [2, 2, 18, 18], "score": 0.5},
            {"image_id": 1, "category_id": 1, "bbox": [30, 10, 30, 30], "score": 0.9},
        ]
    )
    judged = evaluation.COCOeval(truth, found, "bbox")
    judged.evaluate()
    judged.accumulate()
    judged.summarize()
    assert judged.stats[1] == pytest.approx(1.0)


def test_file_of_another_program_is_read(tmp_path):
    labels = read_labels(put(tmp_path))
    image, sky = labels.images
    assert image.boxes.tolist() == [[10.1, 5.2, 30.3, 35.5], [1, 2, 4, 6], [2, 2, 5, 6]]  # not 30.299999999999997
    assert image.classes == ("galaxy", "star", "star") and labels.classes == ("galaxy", "star")
    assert image.difficult.tolist() == [False, True, True]
    assert (sky.file, len(sky.boxes)) == ("sky.png", 0)
    assert image.read_bytes() == encoded_image(0)
    assert labels.notes == ("omitted from the file: 'info'", "omitted from the file: 'licenses'")


def test_flags_written_as_text_are_read(tmp_path):
    """As a Python text, "0" is true: every box would be ignored."""
    content = change(annotations={"iscrowd": "0", "ignore": "false"})
    content["annotations"][2] |= {"iscrowd": "0", "ignore": "1"}
    assert read_labels(put(tmp_path, content)).images[0].difficult.tolist() == [False, True, True]


@pytest.mark.parametrize("kind", ["voc", "yolo", "csv"])
def test_properties_of_other_programs_survive_other_formats(tmp_path, kind):
    labels = read_labels(put(tmp_path / "one"))
    write_labels(labels, tmp_path / "two", kind)
    write_labels(read_labels(tmp_path / "two"), tmp_path / "three", "coco")
    content = json.loads((tmp_path / "three" / "annotations.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    for image in FOREIGN["images"]:
        assert image.items() <= images[image["id"]].items()
    names = {category["id"]: category["name"] for category in FOREIGN["categories"]}
    new_names = {category["id"]: category["name"] for category in content["categories"]}
    for old, new in zip(FOREIGN["annotations"], content["annotations"], strict=True):
        for key in ("image_id", "bbox", "iscrowd"):
            assert new[key] == old[key]
        assert new["area"] == old.get("area", 12) and new["segmentation"] == old.get("segmentation", [])
        assert new_names[new["category_id"]] == names[old["category_id"]]


@pytest.mark.parametrize("path", ["m31.png", "images/m31.png", "instances_images/m31.png"])
def test_images_are_found_near_the_file(tmp_path, path):
    (tmp_path / "instances.json").write_text(json.dumps(FOREIGN))
    write_images(tmp_path, [path])
    assert read_labels(tmp_path / "instances.json").images[0].read_bytes() == encoded_image(0)


@pytest.mark.parametrize("path", ["train2017/m31.png", "images/train2017/m31.png", "images/m31.png"])
def test_images_are_found_as_coco_itself_lays_them_out(tmp_path, path):
    write_images(tmp_path, [path])
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(FOREIGN))
    assert read_labels(tmp_path).images[0].read_bytes() == encoded_image(0)


@pytest.mark.parametrize(
    "content, message",
    [
        (json.dumps(FOREIGN)[:300], "not a complete COCO file"),
        ("", "not a complete COCO file"),
        ("[]", "no list 'images'"),
        ("[" * 100_000, "not a complete COCO file"),
        (json.dumps(FOREIGN).replace("10.1", "NaN"), "m31.png: annotation 90: nan is not a finite number"),
        (json.dumps(FOREIGN).replace("10.1", "1e999"), "not a finite number"),
        (change(annotations={"bbox": [1, 2, 3]}), "m31.png: annotation 90: it has no bbox of four numbers"),
        (change(annotations={"bbox": ...}), "annotation 90: it has no bbox"),
        (change(annotations={"bbox": ["a", 2, 3, 4]}), "annotation 90: 'a' is not a number"),
        (change(annotations={"bbox": [True, 2, 3, 4]}), "annotation 90: True is not a number"),
        (change(annotations={"image_id": 4}), "annotation 90 is of image 4, which is not listed"),
        (change(annotations={"image_id": ...}), "annotation 90 is of image None, which is not listed"),
        (change(annotations={"category_id": 4}), "annotation 90: category 4 is not listed"),
        (change(annotations={"attributes": [5]}), "m31.png: annotation 90: its attributes are not an object"),
        (change(images={"attributes": "x"}), "m31.png: its attributes are not an object"),
        (change(annotations={"image_id": [4]}), r"annotation 90 is of image \[4\], which is not listed"),
        (change(annotations={"category_id": [4]}), r"annotation 90: category \[4\] is not listed"),
        (change(images={"id": ...}), "image 1: it has no id"),
        (change(images={"id": [1]}), "image 1: it has no id"),
        (json.dumps(FOREIGN).replace("139", "7"), "id 7 is also that of another image"),
        (change(images={"file_name": "../../m51.png"}), "no image here is called m51.png"),
        (change(images={"file_name": "/etc/passwd"}), "no image here is called passwd"),
        (change(images={"file_name": ...}), "image 1: it has no file_name"),
        (change(images={"file_name": "sky.png"}), r"sky\.png: two labels"),
        (change(images={"width": "wide"}), "'wide' is not a number"),
        (change(images={"width": 0, "file_name": "gone.png"}), r"gone\.png: its size is 0 x 48"),
        (change(categories={"name": ...}), "category 1 lacks its id or name"),
        (change(categories={"name": None}), "category 1 lacks its id or name"),
        (
            FOREIGN | {"categories": [{"id": 3, "name": "galaxy"}, {"id": 3, "name": "star"}]},
            "two categories have the id 3: 'galaxy' and 'star'",
        ),
    ],
)
def test_broken_files_say_what_is_wrong_and_where(tmp_path, content, message):
    put(tmp_path, content)
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(tmp_path / "instances.json", "coco")
    assert "\n" not in str(caught.value)


def test_edges_are_stored_only_where_arithmetic_loses_them(tmp_path):
    source = single_image_set(tmp_path / "p", [[10.1, 0.2, 30.3, 40.4], [1 / 3, 1e-9, 20.1, 0.1 + 0.2], [1, 2, 3, 4]])
    write_labels(source, tmp_path / "out", "coco")
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert ["edges" in annotation for annotation in content["annotations"]] == [False, True, False]
    assert content["annotations"][0]["bbox"] == [10.1, 0.2, 20.2, 40.2]
    content["annotations"][1]["bbox"] = [1, 2, 3, 4]  # an edited box takes precedence
    (tmp_path / "out" / "annotations.json").write_text(json.dumps(content))
    assert read_labels(tmp_path / "out").images[0].boxes[1].tolist() == [1, 2, 4, 6]


def test_ids_of_merged_sets_are_renumbered(tmp_path):
    from dataclasses import replace

    labels = read_labels(put(tmp_path / "one"))
    twice = replace(
        labels, images=(*labels.images, *(replace(image, file=f"x/{image.file}") for image in labels.images))
    )
    write_labels(twice, tmp_path / "two", "coco")
    read = coco(tmp_path / "two" / "annotations.json")
    assert sorted(read.getImgIds()) == [1, 2, 3, 4]
    assert plain_values(read_labels(tmp_path / "two")).keys() == plain_values(twice).keys()


def test_invalid_image_does_not_affect_the_others(tmp_path):
    put(tmp_path, change(images={"id": ...}))
    faults = []
    assert len(read_labels(tmp_path, on_error=faults.append).images) == len(FOREIGN["images"]) - 1
    assert "image 1: it has no id" in str(faults[0])
