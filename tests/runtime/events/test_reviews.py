"""Answers about events are stored, and read as labels for training."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.events.queries import Query, prune_events, query_events
from galaxy_edge.runtime.events.reviews import delete_review, read_reviews, save_review
from galaxy_edge.runtime.recording.output_folder import OutputFolder
from galaxy_edge.runtime.tracking.association import cut_out
from galaxy_edge.training.formats.registry import read_labels
from galaxy_edge.training.formats.reviewed_events import box_in_crop
from helpers.tracks import ABOUT, CLASSES, FAST, track, until

SCENE = np.random.default_rng(4).integers(0, 255, (200, 300, 3), dtype=np.uint8)


@pytest.fixture
def events(tmp_path):
    """Four events with crops in the output folder of a run that has ended."""
    folder = tmp_path / "run"
    out = OutputFolder(folder, ABOUT, CLASSES, video=False, floor=0, limits=FAST)
    out.events([track(number, number, ended=True) for number in (1, 2, 3, 4)])
    until(lambda: sum(event.crop is not None for event in query_events(folder, Query())) == 4)
    out.close(5, 0)
    return folder, query_events(folder, Query())


def test_answer_replaces_an_earlier_one_and_survives_its_event(events):
    """The crop is copied: a quota may delete the original."""
    folder, (event, *_) = events
    save_review(folder, event, "right")
    second = save_review(folder, event, "wrong", "smooth")
    (stored,) = read_reviews(folder)
    assert stored == second and stored.name == "smooth" and stored.predicted == "spiral"
    prune_events(folder, Query())
    assert read_reviews(folder) == [stored] and (folder / stored.crop).is_file()
    delete_review(folder, stored.event)
    assert read_reviews(folder) == [] and not (folder / stored.crop).exists()


def test_answers_become_labelled_images(events, tmp_path):
    """What is not a galaxy has no box; a wrong one without its class is left out."""
    (folder, found), out = events, tmp_path / "labels"
    answers = [("right", None), ("wrong", "smooth"), ("not_galaxy", None), ("wrong", None)]
    for event, (verdict, name) in zip(found, answers, strict=True):
        save_review(folder, event, verdict, name)
    done = CliRunner().invoke(cli, ["data", "from-reviews", str(folder), str(out)])
    assert done.exit_code == 0, done.output
    assert "images: 3 (1 not a galaxy); classes: spiral 1, smooth 1" in done.output
    assert "1 wrong without the true class" in done.output
    labels = read_labels(out)
    assert [image.classes for image in labels.images] == [("spiral",), ("smooth",), ()]


def test_answer_that_comes_before_the_crop_is_not_lost(events, tmp_path):
    """Crops are written a moment after their events."""
    (folder, (event, *_)), out = events, tmp_path / "labels"
    save_review(folder, replace(event, crop=None), "right")
    assert read_reviews(folder)[0].crop is None
    done = CliRunner().invoke(cli, ["data", "from-reviews", str(folder), str(out)])
    assert done.exit_code == 0 and "images: 1 (0 not a galaxy); classes: spiral 1" in done.output
    assert [image.file for image in read_labels(out).images] == [f"{event.id}.png"]


def test_folder_without_answers_is_refused(tmp_path):
    (folder := tmp_path / "run").mkdir()
    done = CliRunner().invoke(cli, ["data", "from-reviews", str(folder), str(tmp_path / "labels")])
    assert done.exit_code != 0 and "has no answers" in str(done.output) + str(done.exception)


@pytest.mark.parametrize("binning", [1, 2])
@pytest.mark.parametrize("box", [[50, 40, 90, 100], [1, 2, 40, 30], [260, 150, 299, 199]])
def test_box_in_crop_is_where_the_tracker_cut(box, binning):
    """The box shows the same pixels in the crop and in the frame."""
    frame_box = np.array(box, float)
    crop = cut_out(SCENE, frame_box)
    x0, y0, x1, y1 = box_in_crop(tuple(frame_box * binning), crop.shape[1], crop.shape[0]).round().astype(int)
    assert (crop[y0:y1, x0:x1] == SCENE[box[1] : box[3], box[0] : box[2]]).all()


def test_a_file_that_is_being_created_has_no_answers(tmp_path):
    """SQLite creates the file before the table; a page may read it in between."""
    (tmp_path / "reviews.sqlite").touch()
    assert read_reviews(tmp_path) == []


def test_a_database_of_something_else_is_an_error(tmp_path):
    with closing(sqlite3.connect(tmp_path / "reviews.sqlite")) as database:
        database.execute("CREATE TABLE stars (name TEXT)")
    with pytest.raises(UsageError, match="cannot be read: no such table: review"):
        read_reviews(tmp_path)
