"""Evaluation scenes: content, ground truth and repeatability of every situation."""

import numpy as np
import pytest
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes.evaluation_scenes import COMPOSED, OFF_CENTRE, EvaluationScenes
from helpers.labelled_sets import make_sets

SIZE = 128


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    # As Galaxy Zoo frames, larger than the side at which scenes are drawn.
    return read_set(make_sets(tmp_path_factory.mktemp("sets"), survey_side=400))


@pytest.fixture(scope="module")
def views(samples):
    return list(EvaluationScenes(samples, SIZE, 1, {COMPOSED: 12}))


def test_every_situation_is_present_and_counted(samples, views):
    """Progress and limits rely on the length and on the names of the situations."""
    names = [view.situation for view in views]
    assert set(names) >= {"gz_frames", "deepsky_frames", "sdss_starfields", OFF_CENTRE, COMPOSED}
    assert names.count(COMPOSED) == 12 and len(views) == len(EvaluationScenes(samples, SIZE, 1, {COMPOSED: 12}))
    limited = [
        view.situation for view in EvaluationScenes(samples, SIZE, 1, {"gz_frames": 2, OFF_CENTRE: 3, COMPOSED: 0})
    ]
    assert limited.count("gz_frames") == 2 and limited.count(OFF_CENTRE) == 3 and COMPOSED not in limited


def test_every_box_has_its_frame(views):
    """The pipeline's evaluation takes the class of each box from its frame."""
    for view in views:
        assert view.scene.image.shape == (SIZE, SIZE, 3) and view.scene.image.dtype == np.uint8
        assert len(view.samples) == len(view.scene.boxes) == len(view.truth.boxes)
        assert view.truth.negative == (not len(view.scene.boxes) and not len(view.scene.ignore))
    assert max(len(view.samples) for view in views if view.situation == COMPOSED) > 1


def test_star_fields_are_empty_and_survey_frames_incomplete(views):
    """Detections count as false only where all galaxies are boxed."""
    assert all(view.truth.negative and view.complete for view in views if view.situation == "sdss_starfields")
    assert not any(view.complete for view in views if view.situation in ("gz_frames", OFF_CENTRE))


def test_off_centre_galaxies_are_off_centre(views):
    """A constant box in the middle scores well on whole survey frames.

    Here it must fail.
    """

    def mean_offset(name):
        centres = [(view.scene.boxes[0, :2] + view.scene.boxes[0, 2:]) / 2 for view in views if view.situation == name]
        return np.mean([np.hypot(*(centre - SIZE / 2)) for centre in centres]) / SIZE

    assert 2 * mean_offset("gz_frames") < mean_offset(OFF_CENTRE)
    for view in views:
        if view.situation == OFF_CENTRE:
            assert view.scene.boxes.min() >= 0 and view.scene.boxes.max() <= SIZE  # whole


def test_same_seed_gives_the_same_scenes(samples, views):
    """Results of two networks are comparable only on the same scenes."""
    again = list(EvaluationScenes(samples, SIZE, 1, {COMPOSED: 12}))
    assert all(
        np.array_equal(first.scene.image, second.scene.image) for first, second in zip(views, again, strict=True)
    )
    other = list(EvaluationScenes(samples, SIZE, 2, {COMPOSED: 12}))
    assert any(
        not np.array_equal(first.scene.image, second.scene.image) for first, second in zip(views, other, strict=True)
    )


def test_networks_of_all_sizes_see_the_same_scenes(samples, views):
    """Scores of networks with different input sizes are compared."""
    larger = list(EvaluationScenes(samples, 2 * SIZE, 1, {COMPOSED: 12}))
    for small, large in zip(views, larger, strict=True):
        assert small.samples == large.samples and small.situation == large.situation
        np.testing.assert_allclose(2 * small.scene.boxes, large.scene.boxes, rtol=1e-4)
        np.testing.assert_allclose(2 * small.scene.ignore, large.scene.ignore, rtol=1e-4)
        assert large.scene.image.shape == (2 * SIZE, 2 * SIZE, 3)


def test_thresholds_are_chosen_on_other_galaxies_than_they_are_measured_on(views):
    """Otherwise a composed scene shows again what the threshold was chosen with."""
    galaxies = {True: set(), False: set()}
    for view in views:
        galaxies[view.selects] |= {sample.digest() for sample in view.samples}
    assert galaxies[True] and galaxies[False] and not galaxies[True] & galaxies[False]


def test_frames_without_ground_truth_are_skipped(samples):
    """A galaxy without a box can be neither found nor missed."""
    unboxed = [sample for sample in samples if sample.kind == "galaxy" and not len(sample.boxes)]
    assert list(EvaluationScenes(unboxed[:3], SIZE, 1)) == [] and len(EvaluationScenes([], SIZE, 1)) == 0
    only_sky = [sample for sample in samples if sample.set == "sdss_starfields"]
    assert {view.situation for view in EvaluationScenes(only_sky, SIZE, 1)} == {"sdss_starfields"}
