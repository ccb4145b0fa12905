"""YOLO txt: dialects of Darknet, Ultralytics and labelImg, and the extra record."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from galaxy_edge.training.formats.annotation import LabelError
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.yolo import label_path
from helpers.labels import awkward_set, plain_values, single_image_set, write_images


def labelled(
    folder, lines, classes="galaxy\nstar\n", label="m31.txt", image="m31.png", listed="classes.txt", size=(64, 48)
):
    write_images(folder, [image], size)
    for name, text in ((label, lines), (listed, classes)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_line_is_class_centre_and_size_in_shares(tmp_path):
    # Counted by hand: centre at 0.5 * 64 = 32 and 0.25 * 48 = 12, sides of 16 and 12 pixels.
    (image,) = read_labels(labelled(tmp_path, "1 0.5 0.25 0.25 0.25\n")).images
    assert image.classes == ("star",) and image.boxes.tolist() == [[24, 6, 40, 18]]
    assert (image.width, image.height) == (64, 48)


def test_we_write_what_darknet_reads(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "yolo")
    names = (tmp_path / "out" / "labels" / "classes.txt").read_text().split("\n")
    for image in source.images:
        text = (tmp_path / "out" / label_path(f"images/{image.file}")).read_text()
        for line, box, name in zip(text.split("\n"), image.boxes, image.classes, strict=False):
            number, x, y, w, h = line.split(" ")
            assert names[int(number)] == name
            left, top = (
                (float(x) - float(w) / 2) * 64,
                (float(y) - float(h) / 2) * 48,
            )  # as Darknet turns them into pixels
            assert np.allclose([left, top, left + float(w) * 64, top + float(h) * 48], box, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_what_labelimg_rounded_to_six_decimals_comes_back_as_it_was_drawn(tmp_path, seed):
    # labelImg draws whole pixels and prints six decimals.
    rng = np.random.default_rng(seed)
    width, height = rng.integers(300, 5000, 2).tolist()
    x, y = np.sort(rng.integers(0, width + 1, (50, 2))), np.sort(rng.integers(0, height + 1, (50, 2)))
    boxes = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)
    lines = "".join(
        f"0 {(a + c) / 2 / width:.6f} {(b + d) / 2 / height:.6f} {(c - a) / width:.6f} {(d - b) / height:.6f}\n"
        for a, b, c, d in boxes.tolist()
    )
    (image,) = read_labels(labelled(tmp_path, lines, size=(width, height))).images
    assert image.boxes.tolist() == boxes.tolist()


def test_short_numbers_are_not_taken_for_rounded_ones(tmp_path):
    # 0.5 of 65 pixels is 32.5 and nothing else.
    (image,) = read_labels(labelled(tmp_path, "0 0.5 0.5 0.2 0.2\n", size=(65, 45))).images
    assert image.boxes.tolist() == [[26, 18, 39, 27]]
    (tmp_path / "m31.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert read_labels(tmp_path).images[0].boxes.tolist() == [[16.25, 11.25, 48.75, 33.75]]


@pytest.mark.parametrize(
    "label, image, listed, classes, name",
    [
        ("m31.txt", "m31.png", "classes.txt", "galaxy\n", "m31.png"),  # labelImg
        ("labels/m31.txt", "images/m31.png", "labels/classes.txt", "galaxy\n", "m31.png"),  # ours
        (
            "labels/train/m31.txt",
            "images/train/m31.png",
            "data.yaml",
            "names: ['galaxy']\n",
            "train/m31.png",
        ),  # Ultralytics
        (
            "train/labels/m31.txt",
            "train/images/m31.png",
            "data.yaml",
            "nc: 1\nnames:\n- galaxy\n",
            "train/images/m31.png",
        ),
        ("data/obj/m31.txt", "data/obj/m31.png", "obj.names", "galaxy\n", "data/obj/m31.png"),  # Darknet
    ],
)
def test_common_folder_layouts_are_read(tmp_path, label, image, listed, classes, name):
    (annotation,) = read_labels(labelled(tmp_path, "0 0.5 0.5 0.25 0.25\n", classes, label, image, listed)).images
    assert (annotation.file, annotation.classes) == (name, ("galaxy",))
    assert annotation.read_bytes()


@pytest.mark.parametrize(
    "image_path, label",
    [
        ("images/a.jpg", "labels/a.txt"),
        ("x/images/y/images/a.b.png", "x/images/y/labels/a.b.txt"),
        ("a.jpg", "a.txt"),
        ("images.v2/a.jpg", "images.v2/a.txt"),
    ],
)
def test_labels_are_where_ultralytics_looks(image_path, label):
    assert label_path(image_path) == label


def test_image_without_label_is_empty_as_in_ultralytics(tmp_path):
    labelled(tmp_path, "0 0.5 0.5 0.25 0.25\n")
    write_images(tmp_path, ["m31.png", "sky.png"])
    labels = read_labels(tmp_path)
    assert [len(image.boxes) for image in labels.images] == [1, 0]
    assert "without a label file, read as images without objects, as in Ultralytics: 1" in labels.notes[0]


@pytest.mark.parametrize(
    "line, message",
    [
        ("0 0.5 0.5 0.25", "line 2 has 4 numbers, not the 5 of a box"),
        ("0 0.5 0.5 0.25 0.25 0.9", "line 2 has 6 numbers.*scores are not supported"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2", "line 2 has 9 numbers.*outlines"),
        ("0 nan 0.5 0.25 0.25", "line 2 'nan' is not a finite number"),
        ("0 inf 0.5 0.25 0.25", "line 2 'inf' is not a finite number"),
        ("2 0.5 0.5 0.25 0.25", "line 2 names class 2, and there are classes 0 to 1"),
        ("-1 0.5 0.5 0.25 0.25", "line 2 names class -1"),
        ("0.5 0.5 0.5 0.25 0.25", "line 2 names class 0.5"),
        ("galaxy 0.5 0.5 0.25 0.25", "line 2 'galaxy' is not a number"),
    ],
)
def test_broken_lines_say_what_is_wrong_and_where(tmp_path, line, message):
    labelled(tmp_path, f"0 0.5 0.5 0.25 0.25\n{line}\n")
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(tmp_path)
    assert str(caught.value).startswith("m31.txt: ")


def test_bytes_that_are_not_text_are_refused(tmp_path):
    labelled(tmp_path, "0 0.5 0.5 0.25 0.25\n", label="labels/m31.txt", image="images/m31.png")
    (tmp_path / "labels" / "m31.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(LabelError, match=r"labels/m31\.txt"):
        read_labels(tmp_path)


def test_missing_image_of_a_label_is_reported(tmp_path):
    labelled(tmp_path, "0 0.5 0.5 0.25 0.25\n", label="labels/m31.txt", image="images/m31.png")
    (tmp_path / "labels" / "gone.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(LabelError, match=r"labels/gone\.txt: there is no image for") as caught:
        read_labels(tmp_path)
    assert caught.value.kind == "missing picture"


def test_other_text_files_are_ignored(tmp_path):
    tmp_path = tmp_path / "labels" / "of mine"  # a folder of this name above the set means nothing
    labelled(tmp_path, "0 0.5 0.5 0.25 0.25\n")
    (tmp_path / "catalogue.txt").write_text("31 10.68 41.27 3.44 190.0\n")
    (tmp_path / "train.txt").write_text("images/m31.png\n")
    (tmp_path / "README.txt").write_text("five words about these pictures\n")
    assert len(read_labels(tmp_path).images) == 1


def test_missing_list_of_classes_is_reported_with_a_remedy(tmp_path):
    labelled(tmp_path, "0 0.5 0.5 0.25 0.25\n")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(LabelError, match=r"into classes\.txt"):
        read_labels(tmp_path)


def test_edited_line_overrides_the_record(tmp_path):
    # The record keeps flags and exact pixels of boxes that are where it left them; the others are what the lines say.
    boxes = [[1 / 3, 2, 30, 20.1], [5, 6, 50, 40], [10, 10, 20, 20]]
    source = single_image_set(tmp_path / "p", boxes, difficult=[True, True, True])
    write_labels(source, tmp_path / "out", "yolo")
    label = tmp_path / "out" / "labels" / "m31.txt"
    lines = label.read_text().split("\n")
    lines[1] = "0 0.5 0.5 0.25 0.25"
    label.write_text("\n".join([lines[1], lines[0]]) + "\n")  # one changed, one deleted, another order
    (image,) = read_labels(tmp_path / "out").images
    assert image.boxes.tolist() == [[24, 18, 40, 30], boxes[0]]
    assert image.difficult.tolist() == [False, True]


def test_flags_survive_a_program_that_rounds_the_lines(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "yolo")
    for path in (tmp_path / "out" / "labels").rglob("*.txt"):
        if path.name != "classes.txt":
            rows = [line.split() for line in path.read_text().split("\n") if line]
            path.write_text("".join(" ".join([row[0], *(f"{float(n):.6f}" for n in row[1:])]) + "\n" for row in rows))
    assert plain_values(read_labels(tmp_path / "out")) == plain_values(source)


def test_an_image_deleted_with_its_label_is_gone(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "yolo")
    (tmp_path / "out" / "images" / "a" / "same.png").unlink()
    (tmp_path / "out" / "labels" / "a" / "same.txt").unlink()
    assert set(plain_values(source)) - set(plain_values(read_labels(tmp_path / "out"))) == {"a/same.png"}


def test_images_with_other_endings_come_back(tmp_path):
    source = single_image_set(tmp_path / "p", [[1, 2, 3, 4]])
    (tmp_path / "p" / "m31.png").rename(tmp_path / "p" / "m31.webp")
    image = replace(source.images[0], file="m31.webp", member="m31.webp")
    write_labels(replace(source, images=(image,)), tmp_path / "out", "yolo")
    (back,) = read_labels(tmp_path / "out").images
    assert back.plain() == image.plain() and back.read_bytes() == image.read_bytes()


def test_a_damaged_record_is_not_passed_over(tmp_path):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 3, 4]], difficult=[True]), tmp_path / "out", "yolo")
    record = tmp_path / "out" / "galaxy-edge.json"
    whole = record.read_text()
    for text in (
        whole[: len(whole) // 2],
        "[]",
        whole.replace('"box"', '"bax"'),
        whole.replace("[1.0", "[Infinity"),
        whole.replace("m31.png", "../m31.png"),
    ):
        record.write_text(text)
        with pytest.raises(LabelError, match=r"galaxy-edge\.json: is damaged.*difficult flags are lost"):
            read_labels(tmp_path / "out")


def test_ultralytics_finds_images_labels_and_names(tmp_path):
    source = awkward_set(tmp_path / "p")
    write_labels(source, tmp_path / "out", "yolo")
    settings = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert tuple(settings["names"].values()) == source.classes and list(settings["names"]) == list(
        range(len(source.classes))
    )
    assert (tmp_path / "out" / settings["path"] / settings["train"]).is_dir()


def test_the_record_is_one_image_a_line(tmp_path):
    # So that two versions of it can be compared line by line.
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "out", "yolo")
    text = (tmp_path / "out" / "galaxy-edge.json").read_text()
    lines = [line for line in text.split("\n") if line.startswith('{"file"')]
    assert len(lines) == len(json.loads(text)["pictures"]) == 8


def test_absurd_share_is_refused_without_a_warning(tmp_path, recwarn):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 20, 30]]), tmp_path / "out", "yolo")
    (tmp_path / "out" / "labels" / "m31.txt").write_text("0 0.5 0.5 0.2 1e308\n")
    with pytest.raises(LabelError, match=r"line 1 1e\+308 cannot be a position in an image"):
        read_labels(tmp_path / "out")
    assert not recwarn.list
