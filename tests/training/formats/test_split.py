"""Splits by content: duplicates stay together, independent of names and order.

Every part is a data set.
"""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.splits import in_share
from galaxy_edge.training.formats.annotation import ImageAnnotation, build_dataset, raise_error
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.formats.registry import read_labels, write_labels
from galaxy_edge.training.formats.split import decode_dataset, holdout, k_fold, write_split
from helpers.images import encode
from helpers.labels import plain_values, star_field

SHARES = (0.1, 0.18)


def field(number):
    """A galaxy among stars of its own."""
    image = star_field(number)
    image[20:44, 24:40] = np.maximum(image[20:44, 24:40], 150)
    return image


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Return 120 images: galaxies, every third empty, some with a star.

    Every tenth image has two more shapes.
    """
    folder, found = tmp_path_factory.mktemp("fields"), []
    for number in range(120):
        forms = {"": field(number)}
        if number % 10 == 0:
            forms |= {"_copy": field(number), "_turned": np.rot90(field(number))}
        for suffix, image in forms.items():
            name = f"{number:03d}{suffix}.png"
            (folder / name).write_bytes(encode(np.ascontiguousarray(image)))
            boxes = [] if number % 3 == 0 else [[24, 20, 40, 44]] + [[1, 1, 4, 4]] * (number % 4 == 1)
            classes = ("galaxy", "star")[: len(boxes)]
            found.append(
                ImageAnnotation(
                    name,
                    64,
                    64,
                    np.array(boxes).reshape(-1, 4),
                    classes,
                    [False] * len(boxes),
                    archive=folder,
                    member=name,
                )
            )
    return build_dataset("test", found, raise_error)


@pytest.fixture(scope="module")
def looked(labels):
    return decode_dataset(labels)


def names(part):
    return {image.file for image in part}


def test_every_image_is_in_one_part_and_the_shares_are_kept(labels, looked):
    parts = holdout(looked, SHARES, 1)
    assert list(parts) == ["train", "validation", "test"]
    assert sum(map(len, parts.values())) == len(labels.images)
    assert set.union(*map(names, parts.values())) == {image.file for image in labels.images}
    for name, share in zip(parts, (0.72, 0.10, 0.18), strict=True):
        assert abs(len(parts[name]) / len(labels.images) - share) < 0.09  # two standard deviations of 120


@pytest.mark.parametrize("seed", range(1, 8))
def test_what_shows_the_same_is_on_one_side(looked, seed):
    parts = [names(part) for part in k_fold(looked, 2, seed).values()][1::2]
    for number in range(0, 120, 10):
        same = {f"{number:03d}{suffix}.png" for suffix in ("", "_copy", "_turned")}
        assert sum(bool(same & part) for part in parts) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_training_draws_its_validation_share_within_a_part(looked, seed):
    # It draws by the hash of the content too: were it the same draw, that share would lie in the test part, whole.
    part = holdout(looked, (0.2, 0.2), seed)["train"]
    drawn = sum(in_share(hashlib.sha256(image.read_bytes()).hexdigest(), 0.3, seed) for image in part)
    assert abs(drawn / len(part) - 0.3) < 0.15


def test_names_and_order_do_not_change_the_split(labels, looked):
    renamed = replace(
        labels, images=tuple(replace(image, file=f"x/{image.file[::-1]}") for image in labels.images[::-1])
    )
    other = holdout(decode_dataset(renamed), SHARES, 1)
    for name, part in holdout(looked, SHARES, 1).items():
        assert {image.member for image in other[name]} == {image.member for image in part}


def test_images_added_later_do_not_move_others(labels, looked):
    fewer = decode_dataset(replace(labels, images=labels.images[:100]))
    before, after = holdout(fewer, (0.2, 0.2), 1), holdout(looked, (0.2, 0.2), 1)
    assert all(names(before[name]) <= names(after[name]) for name in before)


def test_seeds_draw_differently_and_repeat_themselves(looked):
    assert names(holdout(looked, SHARES, 1)["test"]) != names(holdout(looked, SHARES, 3)["test"])
    assert names(holdout(looked, SHARES, 3)["test"]) == names(holdout(looked, SHARES, 3)["test"])


def test_folds_share_classes_and_empty_images_evenly(labels, looked):
    dealt = k_fold(looked, 5, 1)
    tests = [dealt[f"fold-{number}/test"] for number in range(1, 6)]
    assert sum(map(len, tests)) == len(labels.images) == len(set.union(*map(names, tests)))
    for number in range(1, 6):
        assert not names(dealt[f"fold-{number}/train"]) & names(dealt[f"fold-{number}/test"])
        assert len(dealt[f"fold-{number}/train"]) + len(dealt[f"fold-{number}/test"]) == len(labels.images)
    for kind in (lambda image: not len(image.boxes), lambda image: "star" in image.classes):
        counts = [sum(map(kind, part)) for part in tests]
        assert max(counts) - min(counts) <= 3  # groups of three are dealt whole


def test_a_class_that_a_part_would_lack_names_a_seed_that_works(labels, looked):
    rare = tuple(
        replace(image, classes=("comet", *image.classes[1:]))
        if image.file in ("001.png", "002.png", "004.png")
        else image
        for image in looked.images
    )
    few = replace(looked, images=rare)
    with pytest.raises(DataError, match=r"of the 3 different images with 'comet' none is in the \w+ part") as caught:
        holdout(few, SHARES, 1)
    seed = int(str(caught.value).split("--seed ")[1].split(",")[0])
    parts = holdout(few, SHARES, seed)
    assert all(any("comet" in image.classes for image in part) for part in parts.values())


def test_class_with_fewer_images_than_parts_is_accepted(labels, looked):
    rare = tuple(
        replace(image, classes=("comet", *image.classes[1:])) if image.file == "001.png" else image
        for image in looked.images
    )
    assert holdout(replace(looked, images=rare), SHARES, 1)
    with pytest.raises(
        DataError, match=r"2 folds need 2 different images of each class, and there are only 1 of 'comet'"
    ):
        k_fold(replace(looked, images=rare), 2, 1)


def test_too_few_images_for_a_split_are_refused(labels):
    few = decode_dataset(replace(labels, images=labels.images[3:5]))
    with pytest.raises(DataError, match=r"no image is in the \w+ part: label more"):
        holdout(few, SHARES, 1)


def test_broken_image_is_refused_in_a_split(labels, tmp_path):
    write_labels(replace(labels, images=labels.images[:3]), tmp_path / "out", "voc")
    (tmp_path / "out" / "000.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"000\.png: .*galaxy-edge data check"):
        decode_dataset(read_labels(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["voc", "yolo", "coco", "csv"])
def test_every_part_is_a_complete_data_set(labels, looked, tmp_path, kind):
    parts = holdout(looked, SHARES, 1)
    images = "copy" if kind == "csv" else "link"
    summary = write_split(labels, parts, {"seed": 1}, tmp_path / "out", kind, images)
    record = json.loads((tmp_path / "out" / "split.json").read_text())
    for name, part in parts.items():
        read = read_labels(tmp_path / "out" / name)
        assert read.format == kind and read.classes == labels.classes
        assert plain_values(read) == {image.file: image.plain() for image in part}
        assert len(read_set(tmp_path / "out" / name)) == len(part) == summary["parts"][name]["pictures"]
        assert record[name] == [image.file for image in part]


@pytest.mark.parametrize("folds", [0, 2])
def test_parts_are_never_read_together(labels, looked, tmp_path, folds):
    """All parts, or both of a fold, are not read as one set.

    Otherwise training images would be in the test.
    """
    parts = k_fold(looked, folds, 1) if folds else holdout(looked, SHARES, 1)
    write_split(labels, parts, {"seed": 1}, tmp_path / "out", "voc", "link")
    for folder in ("out", "out/fold-1") if folds else ("out",):
        for read in (read_set, read_labels):
            with pytest.raises(DataError, match="is a split, whose parts must not be mixed"):
                read(tmp_path / folder)
    assert read_set(tmp_path / "out" / ("fold-1/test" if folds else "test"))
