"""A user's labels as samples: what becomes a galaxy, what is ignored, what is sky."""

import numpy as np
import pytest
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.data import LABELLED, DataError, read_set
from galaxy_edge.training.detector_data import split
from galaxy_edge.training.formats.convert import read_labels, write_labels
from galaxy_edge.training.formats.samples import sample_of
from small_labels import one_picture, put_pictures
from small_sets import make_sets


def sample(tmp_path, boxes, classes=None, **more):
    return sample_of(one_picture(tmp_path / "p", boxes, classes, **more).pictures[0])


def test_galaxies_are_found_difficult_ones_ignored_and_stars_are_sky(tmp_path):
    found = sample(tmp_path, [[1, 2, 20, 30], [5, 5, 9, 9], [30, 2, 40, 20], [40, 2, 50, 20]],
                   ["Galaxy", "galaxy", "star", "spiral_tight"], difficult=[False, True, False, False])
    assert found.boxes.tolist() == [[1, 2, 20, 30], [40, 2, 50, 20]] and found.boxes.dtype == np.float32
    assert found.ignore.tolist() == [[5, 5, 9, 9]]
    assert (found.set, found.kind, found.complete, found.label) == (LABELLED, "galaxy", True, -1)


def test_a_picture_of_stars_alone_is_a_negative(tmp_path):
    assert sample(tmp_path, [[1, 2, 20, 30]], ["star"]).kind == "negative"
    assert sample(tmp_path, []).kind == "negative"


def test_boxes_are_clipped_and_those_without_area_dropped(tmp_path):
    found = sample(tmp_path, [[-5, 2, 20, 99], [70, 2, 80, 9], [5, 5, 5, 9]])
    assert found.boxes.tolist() == [[0, 2, 20, 48]]


def test_one_galaxy_of_a_galaxy10_class_teaches_the_classifier_too(tmp_path):
    one = sample(tmp_path, [[1, 2, 20, 30], [30, 2, 40, 20]], ["spiral_tight", "star"])
    assert CLASSES[one.label] == "spiral_tight"
    assert sample(tmp_path, [[1, 2, 20, 30]] * 2, ["spiral_tight"] * 2).label == -1


def test_other_classes_alone_are_no_data_set_for_the_detector(tmp_path):
    write_labels(one_picture(tmp_path / "p", [[1, 2, 20, 30]], ["glaxy"]), tmp_path / "out", "voc")
    with pytest.raises(DataError, match="no class that is a galaxy, only glaxy: name galaxies 'galaxy'"):
        read_set(tmp_path / "out")


def test_missing_pictures_end_a_training_before_it_begins(tmp_path):
    write_labels(one_picture(tmp_path / "p", [[1, 2, 20, 30]]), tmp_path / "out", "voc", images="none")
    with pytest.raises(DataError, match=r"m31\.png: the picture is not there; galaxy-edge data check"):
        read_set(tmp_path / "out")


def test_a_users_folder_beside_known_sets_is_read_with_them(tmp_path):
    make_sets(tmp_path, 4, 4, 2)
    before = len(read_set(tmp_path))
    write_labels(one_picture(tmp_path.parent / "p", [[1, 2, 20, 30]], name="mine.png"), tmp_path / "mine", "voc")
    (tmp_path / "notes").mkdir()
    put_pictures(tmp_path / "pictures", ["unlabelled.png"])
    found = read_set(tmp_path)
    assert len(found) == before + 1 and [one.file for one in found if one.set == LABELLED] == ["mine.png"]


def test_the_detector_trains_on_a_users_set(tmp_path):
    # It keeps known sets only, and a user's.
    for number in range(40):
        put_pictures(tmp_path / "p" / str(number), [f"{number}.png"], (60 + number, 50))
        write_labels(one_picture(tmp_path / "p", [[1, 2, 20, 30]], name=f"{number}.png", size=(60 + number, 50)),
                     tmp_path / "mine" / str(number), "voc")
    train, held, record = split(read_set(tmp_path / "mine"), 1)
    assert record["sets"] == {"labelled": 40} and len(train) + len(held) == 40 and held


def test_credits_and_licences_are_not_lost_by_another_format(tmp_path):
    # The record of a training names whom to credit, and what may not be trained on stays out.
    (tmp_path / "sets").mkdir()
    make_sets(tmp_path / "sets", 4, 40, 2)
    write_labels(read_labels(tmp_path / "sets" / "deepsky_frames"), tmp_path / "voc", "voc")
    assert split(read_set(tmp_path / "voc"), 1)[2]["sources"] == ["rendered"]
    lco = one_picture(tmp_path / "p", [[1, 2, 20, 30]], about={"set": "lco_messier", "credit": "LCO"})
    write_labels(lco, tmp_path / "lco", "coco")
    assert split(read_set(tmp_path / "lco"), 1)[2]["sets"] == {}
