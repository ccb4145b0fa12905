"""The readers of the data sets, on tiny sets written here in each layout."""

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from galaxy_edge.training.data.catalogues import class_votes, detect_layout
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.splits import data_hash, in_share
from galaxy_edge.training.formats.read_set import read_set

BOX = dict(xmin=1, ymin=2, xmax=30, ymax=40, uxmin=4.5, uymin=5, uxmax=20, uymax=21.5, ubox_flag="ok")


def grey_png(level: int, size: int = 16) -> bytes:
    return cv2.imencode(".png", np.full((size, size, 3), (level, 2, 3), np.uint8))[1].tobytes()


def write_zip(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for level, name in enumerate(names):
            archive.writestr(name, grey_png(level))


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def efigi(folder):
    write_zip(folder / "images.zip", ["a.png", "b.png"])
    write_table(
        folder / "labels.csv",
        [dict(file="a.png", g10=6, coarse="edge_on"), dict(file="b.png", g10=-1, coarse="irregular")],
    )


def gz(folder, **changes):
    row = dict(BOX, file="tag/a.png", coarse="smooth", g10=1, g10_p=0.9, box_flag="ok") | changes
    write_zip(folder / "tag.zip", ["a.png"])
    write_table(folder / "index.csv", [row])


def deepsky(folder, **changes):
    write_zip(folder / "images.zip", ["a.png", "b.png", "c.png"])
    write_table(
        folder / "frames.csv",
        [dict(file="a.png", kind="galaxy"), dict(file="b.png", kind="negative"), dict(file="c.png", kind="ambiguous")],
    )
    write_table(folder / "boxes.csv", [dict(BOX, file="a.png", difficult=0) | changes])


def lco(folder):
    write_zip(folder / "images.zip", ["a.png", "b.png"])
    write_table(
        folder / "frames.csv",
        [dict(file="a.png", kind="galaxy", boxes_complete=0), dict(file="b.png", kind="negative", boxes_complete=1)],
    )
    write_table(folder / "boxes.csv", [dict(BOX, file="a.png")])


def starfields(folder):
    write_zip(folder / "images.zip", ["z.png", "a.png"])


LAYOUTS = {
    "efigi": efigi,
    "gz_frames": gz,
    "deepsky_frames": deepsky,
    "lco_messier": lco,
    "sdss_starfields": starfields,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_known_by_its_tables_not_by_its_folder(tmp_path, name):
    LAYOUTS[name](tmp_path / "any")
    assert detect_layout(tmp_path / "any") == name
    assert {sample.set for sample in read_set(tmp_path / "any")} == {name}


def test_folder_of_sets_is_read_whole(tmp_path):
    for name, write in LAYOUTS.items():
        write(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert {sample.set for sample in read_set(tmp_path)} == set(LAYOUTS)


def test_efigi_labels_skip_the_dropped_class(tmp_path):
    # Galaxy10 has ten classes and the network nine: 6 (edge-on without bulge) moves down to 5.
    efigi(tmp_path)
    edge_on, irregular = read_set(tmp_path)
    assert (edge_on.label, edge_on.coarse) == (5, "edge_on")
    assert (irregular.label, irregular.coarse) == (-1, "irregular")
    assert edge_on.boxes.shape == (0, 4)


def test_images_are_rgb(tmp_path):
    efigi(tmp_path)
    sample = read_set(tmp_path)[1]
    # OpenCV wrote blue first.
    assert sample.load()[0, 0].tolist() == [3, 2, 1]


def test_gz_uses_the_unified_box(tmp_path):
    gz(tmp_path)
    (sample,) = read_set(tmp_path)
    assert sample.label == 1
    assert sample.boxes.tolist() == [[4.5, 5, 20, 21.5]]
    assert sample.ignore.shape == (0, 4)
    assert not sample.complete  # neighbours are not boxed


def test_gz_vote_without_majority_keeps_only_its_coarse_group(tmp_path):
    gz(tmp_path, g10_p=0.4)
    (sample,) = read_set(tmp_path)
    assert (sample.label, sample.coarse) == (-1, "smooth")


def test_gz_label_without_votes_is_kept(tmp_path):
    # Labels by the axis ratio carry no vote fraction.
    gz(tmp_path, g10_p="")
    assert read_set(tmp_path)[0].label == 1


@pytest.mark.parametrize(("g10", "label"), [("nan", -1), ("", -1), ("2.0", 2), ("5", -1)])
def test_classes_as_a_column_of_floating_point_numbers(tmp_path, g10, label):
    """Programs write 2.0 and nan where a column has empty cells."""
    gz(tmp_path, g10=g10)
    assert read_set(tmp_path)[0].label == label


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"g10": "spiral"}, "g10 is 'spiral', not a number"),
        ({"g10": "2.5"}, "g10 is '2.5', not a whole number"),
        ({"g10": "inf"}, "g10 is 'inf', not a whole number"),
        ({"g10_p": "most"}, "g10_p is 'most', not a number"),
        ({"file": "a.png"}, "file is 'a.png', not the name of a zip and a file in it"),
    ],
)
def test_gz_cell_that_cannot_be_read_is_quoted(tmp_path, changes, message):
    gz(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        read_set(tmp_path)


def shares(*votes):
    return {f"p{g10}": str(share) for g10, share in enumerate(votes)}


def test_votes_are_shares_of_the_nine_classes():
    """Class 5 is none of them, and not all votes are for a class."""
    votes = class_votes(shares(0.2, 0, 0, 0.4, 0, 0.1, 0.2, 0, 0, 0))
    assert votes.dtype == np.float32 and votes.sum() == pytest.approx(1)
    assert votes.tolist() == pytest.approx([0.25, 0, 0, 0.5, 0, 0.25, 0, 0, 0])


@pytest.mark.parametrize("row", [{}, shares(0.4, *[0] * 9), shares(0.9, *[""] * 9), {"p0": "1"}])
def test_a_row_without_votes_or_with_most_of_them_for_other_things_has_none(row):
    assert not class_votes(row).any()


@pytest.mark.parametrize(
    ("share", "message"), [("most", "not a number"), ("1.5", "not a share"), ("-1", "not a share")]
)
def test_a_vote_that_is_not_a_share_is_named(share, message):
    with pytest.raises(DataError, match=f"a.png: p3 is '{share}', {message}"):
        class_votes(shares(0.5, 0, 0, share, *[0] * 6) | {"file": "a.png"})


@pytest.mark.parametrize("changes", [{"ubox_flag": "old_range"}, {"box_flag": "off_centre"}])
def test_gz_doubtful_box_is_ignored_not_learnt(tmp_path, changes):
    gz(tmp_path, **changes)
    (sample,) = read_set(tmp_path)
    assert sample.boxes.shape == (0, 4)
    assert len(sample.ignore) == 2  # by either rule there is a galaxy somewhere there


def test_gz_without_any_box(tmp_path):
    gz(tmp_path, xmin="", uxmin="", ubox_flag="none", box_flag="none")
    (sample,) = read_set(tmp_path)
    assert sample.boxes.shape == sample.ignore.shape == (0, 4)


def test_deepsky_frames(tmp_path):
    deepsky(tmp_path)
    galaxy, negative = read_set(tmp_path)  # the ambiguous frame is left out
    assert (galaxy.kind, len(galaxy.boxes), galaxy.complete) == ("galaxy", 1, True)
    assert (negative.kind, len(negative.boxes)) == ("negative", 0)


def test_deepsky_difficult_box_is_ignored(tmp_path):
    deepsky(tmp_path, difficult=1)
    assert (len(read_set(tmp_path)[0].boxes), len(read_set(tmp_path)[0].ignore)) == (0, 2)


def test_lco_records_which_frames_are_completely_boxed(tmp_path):
    lco(tmp_path)
    assert [sample.complete for sample in read_set(tmp_path)] == [False, True]


def test_starfields_are_negatives_in_a_fixed_order(tmp_path):
    starfields(tmp_path)
    found = [(sample.file, sample.kind) for sample in read_set(tmp_path)]
    assert found == [("a.png", "negative"), ("z.png", "negative")]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda folder: (folder / "labels.csv").write_text("file,coarse\na.png,smooth\n"), "no column 'g10'"),
        (lambda folder: (folder / "labels.csv").write_text("file,g10,coarse\na.png,x,smooth\n"), "cannot be read"),
        (lambda folder: (folder / "labels.csv").unlink() or (folder / "images.zip").unlink(), "no data set"),
    ],
)
def test_damaged_set_is_reported_with_its_fault(tmp_path, spoil, message):
    efigi(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        read_set(tmp_path)


def test_missing_folder():
    with pytest.raises(DataError, match="not a folder"):
        read_set(Path("nowhere"))


def test_missing_and_broken_images_are_named(tmp_path):
    efigi(tmp_path)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a.png", b"not a picture")
    first, second = read_set(tmp_path)
    with pytest.raises(DataError, match=r"a\.png.*decoded"):
        first.load()
    with pytest.raises(DataError, match=r"has no image 'b\.png'"):
        second.load()


def test_split_goes_by_content(tmp_path):
    # The same image under two names, in two sets, must not be learnt from and validated on.
    gz(tmp_path / "one")
    gz(tmp_path / "two", coarse="spiral")
    first, second = read_set(tmp_path)
    assert first.archive != second.archive
    for seed in range(50):
        assert in_share(first.digest(), 0.5, seed) == in_share(second.digest(), 0.5, seed)


def test_share_is_kept_and_depends_on_the_seed():
    digests = [str(index) for index in range(4000)]
    drawn = {seed: {digest for digest in digests if in_share(digest, 0.12, seed)} for seed in (1, 2)}
    for chosen in drawn.values():
        assert abs(len(chosen) / 4000 - 0.12) < 0.02  # four standard deviations
    assert len(drawn[1] & drawn[2]) < 120  # about 58 by chance
    larger = {digest for digest in digests if in_share(digest, 0.2, 1)}
    assert drawn[1] <= larger  # a larger share only adds


def test_data_hash_does_not_depend_on_order():
    assert data_hash(["b", "a"]) == data_hash(["a", "b"]) != data_hash(["a", "c"])
