"""Hard scenes: which are found, and how often they are drawn."""

import numpy as np
import pytest
from galaxy_edge.training.detector.hard_scenes import HardScenes, find_hard_scenes
from galaxy_edge.training.scenes.generator import Scene

GALAXY, STAR = np.array([[10, 10, 30, 30]], np.float32), np.array([[40, 40, 60, 60]], np.float32)
NONE = np.zeros((0, 4), np.float32)


class Source:
    """Draws scenes with a galaxy, half of them with a bright star too."""

    size = 64
    kinds = ("survey", "deepsky")

    def __init__(self, ignore=NONE):
        self.ignore = ignore

    def draw(self, rng, kind=None):
        star = rng.random() < 0.5
        return Scene(np.full((64, 64, 3), 200 if star else 0, np.uint8), GALAXY, self.ignore, kind or "any")


class Teacher:
    """Finds the galaxy, and takes the star for one."""

    identity = "takes stars for galaxies"

    def __init__(self, score=0.4):
        self.score = score

    def detect(self, image):
        if not image.any():
            return GALAXY + 1, np.array([0.9])
        return np.concatenate([GALAXY + 1, STAR]), np.array([0.9, self.score])


def _is_bright(source, numbers):
    hard = HardScenes(source, numbers, 1, 1.0)
    return [bool(hard.draw(np.random.default_rng(seed)).image.any()) for seed in range(20)]


def test_only_scenes_with_a_false_detection_are_hard():
    source = Source()
    numbers = find_hard_scenes(source, Teacher(), 1, {"hash": "data"}, 60)
    assert 15 < len(numbers) < 45 and all(_is_bright(source, numbers))
    np.testing.assert_array_equal(find_hard_scenes(source, Teacher(), 1, {"hash": "data"}, 60), numbers)


def test_scenes_of_other_boxes_or_another_fold_are_searched_again():
    """What was found in other scenes of the same images was used."""
    split = {"seed": 1, "folds": 3, "fold": 0}
    records = [
        {"hash": "same images", "labels": "boxes", "split": split},
        {"hash": "same images", "labels": "corrected boxes", "split": split},
        {"hash": "same images", "labels": "boxes", "split": split | {"fold": 1}},
    ]
    sources = (Source(NONE), Source(STAR), Source(STAR))
    found = [find_hard_scenes(one, Teacher(), 1, data, 60) for one, data in zip(sources, records, strict=True)]
    assert [len(numbers) > 0 for numbers in found] == [True, False, False]


@pytest.mark.parametrize(("source", "teacher"), [(Source(STAR), Teacher()), (Source(), Teacher(0.1))])
def test_ignored_objects_and_low_scores_are_not_hard(source, teacher):
    numbers = find_hard_scenes(source, teacher, 1, {"hash": f"{teacher.score} {len(source.ignore)}"}, 60)
    assert len(numbers) == 0
    assert set(_is_bright(source, numbers)) == {True, False}, "without a hard scene the usual ones are drawn"


def test_the_share_of_hard_scenes_is_kept():
    """The others come from the source as usual; a requested kind is drawn by it too."""
    source = Source()
    numbers = find_hard_scenes(source, Teacher(), 1, {"hash": "data"}, 60)
    hard = HardScenes(source, numbers, 1, 0.4)
    rng = np.random.default_rng(3)
    bright = np.mean([hard.draw(rng).image.any() for _ in range(2000)])
    assert 0.66 < bright < 0.74  # 0.4 + 0.6 / 2
    assert hard.draw(rng, "survey").kind == "survey" and hard.size == 64
