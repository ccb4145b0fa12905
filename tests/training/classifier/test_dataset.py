"""Every source of labelled galaxies gives the same kind of data set.

Invalid ones are refused with the reason.
"""

import csv
import os
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from galaxy_edge.models.classification_metrics import classification_metrics
from galaxy_edge.models.labels import CLASSES, GALAXY10
from galaxy_edge.models.preprocess import crop, resize
from galaxy_edge.training.classifier.dataset_files import DECALS, RELEASES, _shows_one_galaxy, load_dataset
from galaxy_edge.training.data.catalogues import VOTE_COLUMNS
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.formats.read_set import read_set
from helpers.labelled_sets import make_labelled
from helpers.two_sources import write_two_sources


def write_hdf5(path, side=69, count=40, **more):
    rng = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        file["images"] = more.get("images", rng.integers(0, 255, (count, side, side, 3), np.uint8))
        file["ans"] = more.get("ans", np.arange(count, dtype=np.uint8) % 10)
    return path


def test_galaxy10_sdss_is_read_and_class_five_dropped(tmp_path):
    path = write_hdf5(tmp_path / "Galaxy10.h5")
    dataset, whole = load_dataset(path), load_dataset(path, keep_boxy=True)
    assert dataset.classes == CLASSES and whole.classes == GALAXY10
    assert len(dataset) == 36 and len(whole) == 40
    # Without the sixth class those behind it move up by one, and keep their names.
    names = [dataset.classes[label] for label in dataset.labels]
    assert names == [GALAXY10[label] for label in np.arange(40) % 10 if label != 5]
    with h5py.File(path) as file:
        assert np.array_equal(whole.images(69)[7], file["images"][7])
        assert np.array_equal(dataset.images(48)[7], resize(file["images"][8], 48, 48))


def test_galaxy10_decals_is_known_by_its_size(tmp_path):
    dataset = load_dataset(write_hdf5(tmp_path / "Galaxy10_DECals.h5", side=256, count=10))
    assert dataset.classes == DECALS and set(dataset.sources) == {"galaxy10_decals"}
    assert dataset.images(69).shape == (10, 69, 69, 3)


def test_file_of_the_size_of_a_release_is_checked_by_its_hash(tmp_path, monkeypatch):
    path = write_hdf5(tmp_path / "Galaxy10.h5")
    monkeypatch.setitem(RELEASES, 40, ("Galaxy10 SDSS", "0" * 64))
    with pytest.raises(DataError, match="not Galaxy10 SDSS as published"):
        load_dataset(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ans": np.full(40, 12)}, "labels run from 12 to 12"),
        ({"ans": np.zeros(39, int)}, "40 images, but 39 labels"),
        ({"images": np.zeros((40, 69, 69), np.uint8)}, r"not \(N, side, side, 3\)"),
        ({"images": np.zeros((40, 69, 69, 3), np.float32)}, "float32"),
        ({"ans": np.arange(40) % 10 + 0.0}, "labels in 'ans' are float64, not whole numbers"),
        ({"ans": np.zeros(0, int), "images": np.zeros((0, 69, 69, 3), np.uint8)}, "holds no images"),
    ],
)
def test_invalid_hdf5_file_is_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_dataset(write_hdf5(tmp_path / "x.h5", **change))


def test_a_group_in_place_of_the_images_is_named(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("images")
        file["ans"] = np.arange(4)
    with pytest.raises(DataError, match="is a group, not a dataset"):
        load_dataset(tmp_path / "x.h5")


def test_folder_that_holds_a_galaxy10_file_is_reported(tmp_path):
    path = write_hdf5(tmp_path / "Galaxy10.h5")
    with pytest.raises(DataError, match=f"name the Galaxy10 file in it, --data {path}"):
        load_dataset(tmp_path)


def test_a_truncated_or_foreign_file_is_named(tmp_path):
    path = write_hdf5(tmp_path / "Galaxy10.h5")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(DataError, match="not a complete HDF5 file"):
        load_dataset(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="not a complete HDF5 file"):
        load_dataset(path)
    with h5py.File(path, "w") as file:
        file["pictures"] = np.zeros(3)
    with pytest.raises(DataError, match="no dataset images and ans"):
        load_dataset(path)
    with pytest.raises(DataError, match="does not exist"):
        load_dataset(tmp_path / "nowhere")


def folders(root, names):
    rng = np.random.default_rng(4)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(3):
            cv2.imwrite(str(root / name / f"{number}.png"), rng.integers(0, 255, (60, 60, 3), np.uint8))
    return root


def test_a_folder_of_the_nine_classes_keeps_their_order(tmp_path):
    dataset = load_dataset(folders(tmp_path, ["spiral_loose", "smooth_round"]))
    assert dataset.classes == ("smooth_round", "spiral_loose")
    (tmp_path / "all").mkdir()
    assert load_dataset(folders(tmp_path / "all", sorted(CLASSES))).classes == CLASSES
    assert set(dataset.groups) == {"spiral", "smooth"}


def test_a_folder_of_other_classes_has_its_own(tmp_path):
    dataset = load_dataset(folders(tmp_path, ["ring", "lens"]))
    assert dataset.classes == ("lens", "ring") and dataset.groups.count("ring") == 3
    # They are measured too: each is a group of its own.
    assert classification_metrics(np.eye(2)[dataset.labels], dataset.labels, dataset.classes).coarse_accuracy == 1.0


def test_a_folder_with_one_class_is_refused(tmp_path):
    with pytest.raises(DataError, match="one class only"):
        load_dataset(folders(tmp_path, ["ring"]))


def test_a_class_without_images_and_an_image_of_two_classes_are_warned_of(tmp_path, caplog):
    """Tables of results would not show it."""
    folders(tmp_path, ["ring", "lens"])
    (tmp_path / "spiral").mkdir()
    (tmp_path / "unmounted").symlink_to(tmp_path / "nothing")
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / "ring" / "copy.png").write_bytes((tmp_path / "lens" / "1.png").read_bytes())
    assert load_dataset(tmp_path).classes == ("lens", "ring")
    empty, twice = caplog.messages
    assert empty.endswith("without images are not classes: spiral, unmounted")
    assert f"{tmp_path / 'lens' / '1.png'} and {tmp_path / 'ring' / 'copy.png'}, for example" in twice


def test_only_files_are_images(tmp_path, caplog):
    """The read of a pipe never ended; the others were unexpected errors."""
    folders(tmp_path, ["ring", "lens"])
    os.mkfifo(tmp_path / "ring" / "pipe.png")
    (tmp_path / "ring" / "folder.png").mkdir()
    (tmp_path / "ring" / "itself.png").symlink_to("itself.png")
    (tmp_path / "lens" / "broken.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "lens" / "good.png").symlink_to(tmp_path / "ring" / "1.png")
    assert np.bincount(load_dataset(tmp_path).labels).tolist() == [4, 3]
    lens, ring, _ = caplog.messages
    assert lens.startswith("1 images of") and lens.endswith("broken.png, for example")
    assert ring.startswith("3 images of") and ring.endswith("folder.png, for example")


def test_hidden_folders_are_no_classes(tmp_path):
    with pytest.raises(DataError, match="holds no data set"):
        load_dataset(folders(tmp_path, [".ring", ".lens"]))
    (tmp_path / ".ring" / "index.csv").touch()
    assert load_dataset(folders(tmp_path, ["ring", "lens"])).classes == ("lens", "ring")


def test_a_broken_image_is_named_when_it_is_read(tmp_path):
    path = folders(tmp_path, ["ring", "lens"]) / "ring" / "1.png"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"1\.png cannot be decoded"):
        load_dataset(tmp_path).images(48)


def test_labelled_sets_give_what_the_runtime_would_cut(tmp_path):
    data = make_labelled(tmp_path)
    dataset = load_dataset(data)
    sample = next(candidate for candidate in read_set(data) if candidate.label >= 0)
    box = np.array([0, 0, *sample.load().shape[1::-1]], float)
    assert np.array_equal(dataset.images(69)[0], resize(sample.load(), 69, 69))
    assert np.array_equal(dataset.images(69)[0], crop(sample.load(), box, 0.0, 69))


def test_a_corrected_box_is_another_crop_of_the_same_image(tmp_path):
    """The hash of data and the split stay; what is cached of the crop does not."""
    root = write_two_sources(tmp_path)
    before = load_dataset(root, unnamed=True)
    table = root / "gz/index.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace(",8,8,56,56", ",4,8,56,56")
    table.write_text("\n".join(lines) + "\n")
    after = load_dataset(root, unnamed=True)
    assert before.hash == after.hash and before.ids == after.ids
    changed = [
        index for index, (old, new) in enumerate(zip(before.crop_ids, after.crop_ids, strict=True)) if old != new
    ]
    assert len(changed) == 1 and after.sources[changed[0]] == before.sources[changed[0]] == "gz_frames"
    assert after.take(changed).crop_ids == (after.crop_ids[changed[0]],)


@pytest.mark.parametrize(("boxes", "ignored", "single"), [(0, 0, True), (1, 2, True), (3, 0, False), (0, 1, False)])
def test_a_frame_of_several_galaxies_is_no_image_of_one(boxes, ignored, single):
    sample = Sample("gz_frames", "a.jpg", Path("x"), "a.jpg", boxes=np.zeros((boxes, 4)), ignore=np.zeros((ignored, 4)))
    assert _shows_one_galaxy(sample, True) == single


def test_the_hash_changes_with_a_label_not_with_the_order(tmp_path):
    dataset = load_dataset(write_hdf5(tmp_path / "a.h5"))
    shuffled = dataset.take(np.random.default_rng(1).permutation(len(dataset)))
    other = load_dataset(write_hdf5(tmp_path / "b.h5", ans=(np.arange(40) + 1) % 10))
    assert dataset.hash == shuffled.hash != other.hash


def test_targets_allow_a_group_where_only_the_group_is_known(tmp_path):
    dataset = load_dataset(folders(tmp_path, ["spiral_loose", "spiral_tight", "smooth_round"]))
    dataset.labels[3] = -1
    allowed = dataset.targets()
    group = dataset.groups[3]
    assert [name for name, is_allowed in zip(dataset.classes, allowed[3], strict=True) if is_allowed] == [
        name for name in dataset.classes if name.startswith(group)
    ]
    assert allowed[3].sum() == 2 and (np.delete(allowed, 3, axis=0).sum(axis=1) == 1).all()
    assert replace(dataset, groups=("",) * len(dataset)).targets()[3].all()  # all, where not even that is known


def test_votes_replace_class_and_group_where_they_are_asked_for(tmp_path):
    dataset = load_dataset(folders(tmp_path, ["spiral_loose", "spiral_tight", "smooth_round"]))
    dataset = replace(dataset, labels=np.full(len(dataset), -1), groups=("",) * len(dataset))
    votes = np.zeros((len(dataset), 3), np.float32)
    votes[1] = 0.5, 0.2, 0.3
    voted = replace(dataset, votes=votes)
    assert voted.informative.tolist() == [1] and not len(dataset.informative)
    assert voted.targets().all() and np.array_equal(voted.targets(by_votes=True)[1], votes[1])
    assert np.array_equal(np.delete(voted.targets(by_votes=True), 1, axis=0), np.delete(dataset.targets(), 1, axis=0))
    assert voted.take([2, 1]).voted.tolist() == [False, True]


@pytest.mark.parametrize(
    ("source", "votes", "allowed"),
    [
        ("folder_gt70pct_votes", "", {"smooth_cigar", "edge_on_rounded_bulge", "edge_on_no_bulge"}),
        ("gz2_weighted_votes", "0", {"edge_on_rounded_bulge", "edge_on_no_bulge"}),
        ("", "", {"edge_on_rounded_bulge", "edge_on_no_bulge"}),
    ],
)
def test_galaxies_of_edge_on_folders_may_be_cigars(tmp_path, source, votes, allowed):
    """Galaxy Zoo 2 calls many galaxies of these folders cigar-shaped."""
    root = write_two_sources(tmp_path)
    table = root / "gz" / "index.csv"
    with table.open(newline="") as stream:
        rows = [row | {"label_source": source} | dict.fromkeys(VOTE_COLUMNS, votes) for row in csv.DictReader(stream)]
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    dataset = load_dataset(root, unnamed=True)
    unnamed = np.flatnonzero(dataset.labels < 0)
    assert len(unnamed) == 12
    for row in dataset.targets()[unnamed]:
        assert {name for name, is_allowed in zip(dataset.classes, row, strict=True) if is_allowed} == allowed


def test_votes_are_read_only_where_they_are_asked_for(tmp_path):
    """Without them, an image of which nothing else is known teaches nothing."""
    root = write_two_sources(tmp_path, unknown=5)
    table = root / "gz" / "index.csv"
    with table.open(newline="") as stream:
        rows = [row | dict.fromkeys(VOTE_COLUMNS, "0.1") for row in csv.DictReader(stream)]
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    without, voted = (load_dataset(root, unnamed=True, votes=votes) for votes in (False, True))
    assert without.votes is None and len(without.informative) == len(without) - 5
    assert voted.voted.sum() == len(rows) and len(voted.informative) == len(voted) == len(without)
    assert np.allclose(voted.targets(by_votes=True)[voted.voted], 1 / 9)
