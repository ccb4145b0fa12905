"""Situations: each shows what it promises, knows what is in it, and comes out the same again."""

import numpy as np
import pytest
from galaxy_edge.training.data.sample import read_set
from galaxy_edge.training.scenes.evaluation_scenes import COMPOSED, OFF_CENTRE, EvaluationScenes
from helpers.labelled_sets import make_sets

SIZE = 128


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return read_set(make_sets(tmp_path_factory.mktemp("sets")))


@pytest.fixture(scope="module")
def views(samples):
    return list(EvaluationScenes(samples, SIZE, 1, {COMPOSED: 12}))


def test_every_situation_is_there_and_counted(samples, views):
    names = [view.situation for view in views]
    assert set(names) >= {"gz_frames", "deepsky_frames", "sdss_starfields", OFF_CENTRE, COMPOSED}
    assert names.count(COMPOSED) == 12 and len(views) == len(EvaluationScenes(samples, SIZE, 1, {COMPOSED: 12}))
    limited = [
        view.situation for view in EvaluationScenes(samples, SIZE, 1, {"gz_frames": 2, OFF_CENTRE: 3, COMPOSED: 0})
    ]
    assert limited.count("gz_frames") == 2 and limited.count(OFF_CENTRE) == 3 and COMPOSED not in limited


def test_every_box_has_its_frame(views):
    for view in views:
        assert view.scene.image.shape == (SIZE, SIZE, 3) and view.scene.image.dtype == np.uint8
        assert len(view.samples) == len(view.scene.boxes) == len(view.truth.boxes)
        assert view.truth.negative == (not len(view.scene.boxes) and not len(view.scene.ignore))
    assert max(len(view.samples) for view in views if view.situation == COMPOSED) > 1


def test_star_fields_are_known_to_be_empty_and_survey_frames_to_be_incomplete(views):
    assert all(view.truth.negative and view.complete for view in views if view.situation == "sdss_starfields")
    assert not any(view.complete for view in views if view.situation in ("gz_frames", OFF_CENTRE))


def test_off_centre_is_off_centre(views):
    # A constant box in the middle is good for whole survey frames; here it must fail.
    def mean_offset(name):
        centres = [(view.scene.boxes[0, :2] + view.scene.boxes[0, 2:]) / 2 for view in views if view.situation == name]
        return np.mean([np.hypot(*(centre - SIZE / 2)) for centre in centres]) / SIZE

    assert 2 * mean_offset("gz_frames") < mean_offset(OFF_CENTRE)
    for view in views:
        if view.situation == OFF_CENTRE:
            assert view.scene.boxes.min() >= 0 and view.scene.boxes.max() <= SIZE  # whole


def test_the_same_seed_gives_the_same_views(samples, views):
    again = list(EvaluationScenes(samples, SIZE, 1, {COMPOSED: 12}))
    assert all(np.array_equal(one.scene.image, other.scene.image) for one, other in zip(views, again, strict=True))
    other = list(EvaluationScenes(samples, SIZE, 2, {COMPOSED: 12}))
    assert any(not np.array_equal(one.scene.image, two.scene.image) for one, two in zip(views, other, strict=True))


def test_frames_that_cannot_be_judged_are_passed_over(samples):
    unboxed = [sample for sample in samples if sample.kind == "galaxy" and not len(sample.boxes)]
    assert list(EvaluationScenes(unboxed[:3], SIZE, 1)) == [] and len(EvaluationScenes([], SIZE, 1)) == 0
    only_sky = [sample for sample in samples if sample.set == "sdss_starfields"]
    assert {view.situation for view in EvaluationScenes(only_sky, SIZE, 1)} == {"sdss_starfields"}
