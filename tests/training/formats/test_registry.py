"""Conversion from any format to any other and back is lossless.

Boxes, classes, flags, names, sizes, properties.
"""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.formats.registry import conversion_notes, detect, detect_all, read_labels, write_labels
from helpers.labels import CLASSES, FORMATS, NAMES, awkward_set, plain_values, single_image_set, write_images


def need(*kinds):
    if "tfrecord" in kinds:
        pytest.importorskip("tensorflow", reason="needs the train extra")


def contents(labels):
    return {image.file: image.read_bytes() for image in labels.images}


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_every_pair_of_formats_is_lossless(tmp_path, first, second):
    need(first, second)
    source = awkward_set(tmp_path / "source", seed=FORMATS.index(first) * 7 + FORMATS.index(second))
    write_labels(source, tmp_path / "one", first)
    first_copy = read_labels(tmp_path / "one")
    assert first_copy.format == first
    assert plain_values(first_copy) == plain_values(source)
    write_labels(first_copy, tmp_path / "two", second)
    two = read_labels(tmp_path / "two")
    assert two.format == second
    assert plain_values(two) == plain_values(source)
    write_labels(two, tmp_path / "back", first)
    back = read_labels(tmp_path / "back")
    assert plain_values(back) == plain_values(source)
    assert contents(back) == contents(source)  # the images' bytes are never touched
    assert [image.file for image in back.images] == sorted(NAMES)
    assert back.classes == CLASSES  # in their order, which numbers mean in YOLO, COCO and TFRecord


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("seed", range(6))
def test_random_boxes_come_back_to_the_last_bit(tmp_path, kind, seed):
    # Sizes that no power of two divides, so that every share of the image is rounded.
    need(kind)
    rng = np.random.default_rng([seed, 11])
    size = tuple(rng.integers(17, 90, 2).tolist())
    boxes = rng.uniform(-5, 95, (60, 4)) * 10.0 ** rng.integers(-6, 1, (60, 1))
    boxes[:, 2:] += boxes[:, :2]
    source = single_image_set(tmp_path / "source", boxes, size=size, difficult=rng.random(60) < 0.5)
    write_labels(source, tmp_path / "out", kind)
    (image,) = read_labels(tmp_path / "out").images
    assert np.array_equal(image.boxes, boxes)
    assert np.array_equal(image.difficult, source.images[0].difficult)


@pytest.mark.parametrize(
    "key",
    [
        "file",
        "set",
        "kind",
        "boxes_complete",
        "width",
        "n_boxes",
        "class",
        "difficult",
        "uxmin",
        "ubox_flag",
        "xmin",
        "pose",
        "truncated",
        "depth",
        "segmented",
        "database",
        "verified",
        "coco",
        "area",
        "g10",
        "g10_p",
        "more",
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_properties_with_names_that_a_format_has_too_come_back(tmp_path, kind, key):
    # As CVAT's attributes, which people name as they like.
    need(kind)
    source = single_image_set(tmp_path / "p", [[1, 2, 30, 40]] * 8, name="x.png", difficult=[False, True] * 4)
    values = ("x", "0", "1", "ok", "", 3, None, {"a": [1]})
    for about in values:
        image = replace(source.images[0], extras=tuple({key: value} for value in values), about={key: about})
        labels = replace(source, images=(image,))
        folder = tmp_path / f"{values.index(about)}"
        write_labels(labels, folder, kind)
        assert plain_values(read_labels(folder)) == plain_values(labels), about


@pytest.mark.parametrize("kind", FORMATS)
def test_a_set_without_a_single_box_survives(tmp_path, kind):
    need(kind)
    source = single_image_set(tmp_path / "source", [], name="sub/sky.jpg")
    write_labels(source, tmp_path / "out", kind)
    back = read_labels(tmp_path / "out")
    assert plain_values(back) == plain_values(source)
    assert read_set(tmp_path / "out")[0].kind == "negative"


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "tfrecord"])
def test_labels_alone_keep_names_and_sizes(tmp_path, kind):
    source = awkward_set(tmp_path / "source")
    write_labels(source, tmp_path / "out", kind, images="none")
    back = read_labels(tmp_path / "out", kind)
    assert plain_values(back) == plain_values(source)
    assert "cannot be trained on" in conversion_notes(back, kind, "none")[-1]
    with pytest.raises(DataError, match=r"not there|does not exist"):
        write_labels(back, tmp_path / "again", kind)


@pytest.mark.parametrize("kind", ["voc", "yolo", "coco"])
def test_linked_images_lead_to_their_bytes(tmp_path, kind):
    source = awkward_set(tmp_path / "source")
    write_labels(source, tmp_path / "out", kind, images="link")
    back = read_labels(tmp_path / "out")
    assert contents(back) == contents(source)
    links = [path for path in (tmp_path / "out").rglob("*.png") if path.is_symlink()]
    assert links and all(path.resolve().is_relative_to((tmp_path / "source").resolve()) for path in links)


@pytest.mark.parametrize("kind", ["csv", "tfrecord"])
def test_formats_that_contain_images_cannot_link_them(tmp_path, kind):
    need(kind)
    source = awkward_set(tmp_path / "source")
    with pytest.raises(DataError, match="--images copy"):
        write_labels(source, tmp_path / "out", kind, images="link")
    assert not (tmp_path / "out").exists()


def test_images_in_a_zip_cannot_be_linked(tmp_path):
    write_labels(awkward_set(tmp_path / "source"), tmp_path / "csv", "csv")
    with pytest.raises(DataError, match=r"inside .*images\.zip.*--images copy"):
        write_labels(read_labels(tmp_path / "csv"), tmp_path / "out", "voc", images="link")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind, name", [("coco", "boxes.json"), ("tfrecord", "boxes.tfrecord")])
def test_single_file_contains_its_images(tmp_path, kind, name):
    need(kind)
    source = awkward_set(tmp_path / "source")
    write_labels(source, tmp_path / "out" / name, kind)
    back = read_labels(tmp_path / "out" / name)
    assert plain_values(back) == plain_values(source)
    assert contents(back) == contents(source)
    assert [found.name for found in detect_all(tmp_path / "out")] == [kind]


@pytest.mark.parametrize("kind", ["voc", "yolo"])
def test_two_images_that_would_share_a_label_are_refused(tmp_path, kind):
    # a.png and a.jpg: one XML, one txt for both, in every program that reads these formats.
    write_images(tmp_path / "source", ["x/a.png", "x/a.jpg"])
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 3, 4]], name="x/a.png"), tmp_path / "coco", "coco")
    content = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    content["images"].append({"id": 2, "file_name": "x/a.jpg", "width": 64, "height": 48})
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(content))
    (tmp_path / "coco" / "images" / "x" / "a.jpg").write_bytes((tmp_path / "source/x/a.jpg").read_bytes())
    with pytest.raises(DataError, match="differ in the suffix only"):
        write_labels(read_labels(tmp_path / "coco"), tmp_path / "out", kind)
    assert not (tmp_path / "out").exists()


def test_format_is_detected_by_content_not_by_name(tmp_path):
    for kind in ("voc", "yolo", "coco", "csv"):
        write_labels(awkward_set(tmp_path / "source"), tmp_path / "same" / kind[::-1], kind)
        assert detect(tmp_path / "same" / kind[::-1]).name == kind
    assert detect(tmp_path / "source") is None
    with pytest.raises(DataError, match=r"known format.*--from"):
        read_labels(tmp_path / "source")
    with pytest.raises(DataError, match="does not exist"):
        read_labels(tmp_path / "nowhere")


def test_a_folder_with_two_formats_asks_which(tmp_path):
    source = single_image_set(tmp_path / "p", [[1, 2, 30, 40]], name="m31.png")
    write_labels(source, tmp_path / "both", "voc")
    (tmp_path / "both" / "m31.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(DataError, match=r"several formats \(voc, yolo\).*--from"):
        read_labels(tmp_path / "both")
    assert read_labels(tmp_path / "both", "voc").images[0].boxes.tolist() == [[1, 2, 30, 40]]
    assert read_labels(tmp_path / "both", "yolo").images[0].boxes.tolist() == [[24, 18, 40, 30]]


def test_several_files_of_one_kind_ask_which(tmp_path):
    for name in ("train", "val"):
        write_labels(single_image_set(tmp_path / "p", [[1, 2, 30, 40]]), tmp_path / f"{name}.json", "coco")
    with pytest.raises(DataError, match="2 COCO files"):
        read_labels(tmp_path)


def test_content_that_other_programs_do_not_read_is_reported(tmp_path):
    source = single_image_set(
        tmp_path / "p", [[1, 2, 30, 40.5], [3, 3, 9, 9]], difficult=[True, False], about={"boxes_complete": "0"}
    )
    assert any("YOLO has no flag: 1" in line for line in conversion_notes(source, "yolo"))
    assert any("truncates when it saves: 1" in line for line in conversion_notes(source, "voc"))
    assert any("some galaxies boxed" in line for line in conversion_notes(source, "coco"))
    assert conversion_notes(source, "csv") == []


def test_every_shared_set_survives_every_format(tmp_path, shared_data):
    # Not only labels: what a network is trained on is the same, down to licence, class and ignored boxes.
    from galaxy_edge.training.formats.annotation import AnnotatedDataset

    for name in ("deepsky_frames", "lco_messier"):
        whole = read_labels(shared_data / name)
        labels = AnnotatedDataset(whole.format, whole.images[:60], whole.classes)
        wanted = {sample.file: sample for sample in read_set(shared_data / name)}
        for kind in ("voc", "yolo", "coco", "csv"):
            write_labels(labels, tmp_path / name / kind, kind)
            assert plain_values(read_labels(tmp_path / name / kind)) == plain_values(labels)
            for sample in read_set(tmp_path / name / kind):
                other = wanted[sample.file]
                for what in ("set", "kind", "label", "coarse", "complete"):
                    assert getattr(sample, what) == getattr(other, what), (sample.file, what)
                assert np.array_equal(sample.boxes, other.boxes) and np.array_equal(sample.ignore, other.ignore)
                assert sample.digest() == other.digest()


def test_all_but_tfrecord_work_without_tensorflow(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "voc", "voc")
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # as where they are not installed
from galaxy_edge.cli.main import main
for arguments in (["check", "voc"], ["convert", "voc", "yolo", "--to", "yolo"], ["convert", "yolo", "csv", "--to", "csv"],
                  ["convert", "csv", "coco", "--to", "coco"], ["preview", "coco", "--out", "sheet.png"],
                  ["split", "nowhere", "parts", "--folds", "2"], ["convert", "voc", "out", "--to", "tfrecord"]):
    sys.argv = ["galaxy-edge", "data", *arguments]
    try:
        main()
    except SystemExit as end:
        print("exit", end.code)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert [line for line in done.stdout.split("\n") if line.startswith("exit")] == ["exit 1", "exit 2", "exit 2"]
    assert "nowhere does not exist" in done.stderr
    assert "TFRecords need the extra [train]: " in done.stderr and "galaxy-edge[train]" in done.stderr
    assert (tmp_path / "sheet.png").exists()
