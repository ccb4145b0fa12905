"""CSV sets are read with the same result after conversion through other formats."""

import csv
import zipfile

import numpy as np
import pytest
from galaxy_edge.training.data.catalogues import detect_layout
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.formats.registry import read_labels, write_labels
from helpers.labelled_sets import make_labelled, make_sets
from helpers.labels import awkward_set, plain_values, single_image_set


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return make_labelled(make_sets(tmp_path_factory.mktemp("sets"), 6, 6, 3), copies=1)


def samples(folder):
    return {
        (sample.set, sample.file): (
            sample.kind,
            sample.label,
            sample.coarse,
            sample.complete,
            sample.boxes.tolist(),
            sample.ignore.tolist(),
            sample.digest(),
        )
        for sample in read_set(folder)
    }


@pytest.mark.parametrize("kind", ["voc", "yolo", "coco", "csv"])
@pytest.mark.parametrize("name", ["gz_frames", "deepsky_frames", "sdss_starfields", "efigi"])
def test_what_networks_are_trained_on_is_the_same_in_every_format(sets, tmp_path, name, kind):
    write_labels(read_labels(sets / name), tmp_path / "out", kind)
    assert samples(tmp_path / "out") == samples(sets / name)
    write_labels(read_labels(tmp_path / "out"), tmp_path / "back", "csv")
    assert samples(tmp_path / "back") == samples(sets / name)
    assert detect_layout(tmp_path / "back") == "labelled"


def test_a_folder_of_sets_is_one_set(sets, tmp_path):
    whole = read_labels(sets)
    assert len(whole.images) == len(read_set(sets))
    write_labels(whole, tmp_path / "out", "voc")
    # Two sets have an image 0.png: the second is distinguished by its set.
    assert {name.split("/")[-1] for _, name in samples(tmp_path / "out")} == {
        name.split("/")[-1] for _, name in samples(sets)
    }
    assert sorted(samples(tmp_path / "out").values(), key=str) == sorted(samples(sets).values(), key=str)


def table(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_columns_of_a_set_come_back(sets, tmp_path):
    write_labels(read_labels(sets / "deepsky_frames"), tmp_path / "voc", "voc")
    write_labels(read_labels(tmp_path / "voc"), tmp_path / "csv", "csv")
    for old, new in zip(
        sorted(table(sets / "deepsky_frames" / "boxes.csv"), key=lambda row: row["file"]),
        table(tmp_path / "csv" / "boxes.csv"),
        strict=True,
    ):
        for key, value in old.items():
            assert new[key] == value or float(new[key]) == float(value)
    assert {row["credit"] for row in table(tmp_path / "csv" / "frames.csv")} == {"rendered"}


def test_a_flag_that_was_changed_outside_wins_over_the_old_row(sets, tmp_path):
    from dataclasses import replace

    whole = read_labels(sets / "deepsky_frames")
    turned = replace(whole, images=tuple(replace(image, difficult=~image.difficult) for image in whole.images))
    write_labels(turned, tmp_path / "out", "csv")
    assert plain_values(read_labels(tmp_path / "out")).keys() == plain_values(turned).keys()
    for annotation in read_labels(tmp_path / "out").images:
        assert annotation.difficult.all() if len(annotation.boxes) else True
    assert not any(len(sample.boxes) for sample in read_set(tmp_path / "out"))


def test_frames_left_out_are_counted(sets, tmp_path):
    import shutil

    shutil.copytree(sets / "deepsky_frames", tmp_path / "set")
    text = (tmp_path / "set" / "frames.csv").read_text()
    (tmp_path / "set" / "frames.csv").write_text(text.replace("n0.png,negative", "n0.png,ambiguous"))
    labels = read_labels(tmp_path / "set")
    assert len(labels.images) == 5 and labels.notes[0].endswith("have galaxies without boxes: 1")


def test_the_zip_is_the_same_every_time(tmp_path):
    for folder in ("one", "two"):
        write_labels(awkward_set(tmp_path / "p"), tmp_path / folder, "csv")
    assert (tmp_path / "one" / "images.zip").read_bytes() == (tmp_path / "two" / "images.zip").read_bytes()


def test_other_classes_are_not_trained_on(tmp_path):
    source = single_image_set(tmp_path / "p", [[1, 2, 20, 30], [30, 2, 40, 20]], ["galaxy", "star"])
    write_labels(source, tmp_path / "out", "csv")
    (sample,) = read_set(tmp_path / "out")
    assert sample.boxes.tolist() == [[1, 2, 20, 30]] and sample.ignore.shape == (0, 4)
    assert plain_values(read_labels(tmp_path / "out")) == plain_values(source)


@pytest.mark.parametrize(
    "name, spoil, message",
    [
        (
            "boxes.csv",
            lambda text: text[: len(text) // 2],
            "the number of columns differs from the header; is the file truncated",
        ),
        ("frames.csv", lambda text: text.rsplit(",", 2)[0], "the number of columns differs from the header"),
        ("boxes.csv", lambda text: text.replace("ubox_flag", "flag"), "no column 'ubox_flag'"),
        ("frames.csv", lambda text: text.replace("m31.png", "../../m31.png"), "leads out of the data set"),
        ("frames.csv", lambda text: text.replace(",64,", ",wide,"), "'wide' x '48', not two whole numbers"),
        ("frames.csv", lambda text: text.replace("m31.png", "m32.png"), "m31.png: boxes.csv has boxes for it"),
        (
            "boxes.csv",
            lambda text: text.replace(",1,2,20,30,", ",nan,2,20,30,"),
            "uxmin of box 1: 'nan' is not a finite",
        ),
        (
            "boxes.csv",
            lambda text: text.replace(",1,2,20,30,", ",1,2,20,wide,"),
            "uymax of box 1: 'wide' is not a number",
        ),
        ("boxes.csv", lambda text: text.replace(",1,2,20,30,", ",1,2,20,,"), "uymax of box 1: '' is not a number"),
        (
            "boxes.csv",
            lambda text: text.replace(",1,2,20,30,", ",1,2,20,1e300,"),
            "1e\\+300 cannot be a position in an image",
        ),
        ("boxes.csv", lambda text: text.replace("galaxy,0", "galaxy,yes"), "difficult of box 1 is 'yes', not 0 or 1"),
        ("frames.csv", lambda text: text + "\0,,,\n", "the number of columns differs from the header"),
    ],
)
def test_broken_tables_say_what_is_wrong(tmp_path, name, spoil, message):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 20, 30]] * 3), tmp_path / "out", "csv")
    path = tmp_path / "out" / name
    path.write_text(spoil(path.read_text()))
    with pytest.raises(DataError, match=message):
        read_labels(tmp_path / "out")


def test_truncated_zip_is_refused(tmp_path):
    write_labels(awkward_set(tmp_path / "p"), tmp_path / "out", "csv")
    path = tmp_path / "out" / "images.zip"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match="not a zip file"):
        write_labels(read_labels(tmp_path / "out"), tmp_path / "again", "csv")
    content = bytearray((tmp_path / "p" / "plain.png").read_bytes())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("plain.png", bytes(content))
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 255
    path.write_bytes(bytes(damaged))
    with pytest.raises(DataError, match=r"plain\.png"):
        next(image for image in read_labels(tmp_path / "out").images if image.file == "plain.png").read_bytes()


def test_boxes_of_a_set_are_read_to_the_digit_that_stands_there(tmp_path, shared_data):
    # As float32, in which samples keep them, 398.6 is 398.6000061.
    (m31,) = [image for image in read_labels(shared_data / "deepsky_frames").images if image.file == "m31.jpg"]
    assert np.array_equal(m31.boxes[0], [398.6, 168.0, 435.2, 228.8])
    assert m31.extras[0]["object"] == "NGC0205" and m31.difficult.tolist() == [True, False, False]


def test_tables_that_are_not_utf8_are_refused(tmp_path):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 20, 30]]), tmp_path / "out", "csv")
    for name in ("frames.csv", "boxes.csv"):
        path = tmp_path / "out" / name
        good = path.read_bytes()
        path.write_bytes(good + b"\xe9t\xe9")
        with pytest.raises(DataError, match=f"{name} is not UTF-8 text"):
            read_labels(tmp_path / "out")
        path.write_bytes(b"\xef\xbb\xbf" + good)  # as spreadsheets save them
    assert len(read_labels(tmp_path / "out").images) == 1


def test_numbers_beyond_float32_are_refused_without_a_warning(tmp_path, recwarn):
    write_labels(single_image_set(tmp_path / "p", [[1, 2, 20, 30]]), tmp_path / "out", "csv")
    path = tmp_path / "out" / "boxes.csv"
    path.write_text(path.read_text().replace(",20,30,", ",20,1e300,"))
    with pytest.raises(DataError, match="cannot be a position in an image"):
        read_labels(tmp_path / "out")
    assert not recwarn.list
