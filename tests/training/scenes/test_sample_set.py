"""The drawn sample set: labelled, reproducible, and usable by both trainings."""

from collections import Counter

import numpy as np
import pytest
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.detector.dataset import split
from galaxy_edge.training.formats.check import check
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.formats.writing import WriteError
from galaxy_edge.training.scenes.sample_set import SIDE, draw_light, write_sample_set


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "set"
    write_sample_set(folder)
    return folder


def test_sample_set_has_five_images_of_each_class_and_no_errors(sample):
    labels, issues = check(sample)
    assert issues == [] and len(labels.images) == 50
    assert Counter(name for image in labels.images for name in image.classes) == dict.fromkeys(CLASSES, 5)


def test_the_same_seed_gives_the_same_images(sample, tmp_path):
    write_sample_set(tmp_path / "again")
    files = sorted(path.name for path in sample.glob("*.png"))
    assert all((sample / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)
    with pytest.raises(WriteError, match="exists already"):
        write_sample_set(tmp_path / "again")


def test_boxes_hold_the_galaxies():
    """The light in the box, over that of the same sky, is most of the galaxy's."""
    for number, name in enumerate(CLASSES):
        light, box = draw_light(np.random.default_rng(number), name)
        x0, y0, x1, y1 = box.astype(int)
        assert 0 <= x0 < x1 <= SIDE and 0 <= y0 < y1 <= SIDE
        centre = light[(y0 + y1) // 2 - 2 : (y0 + y1) // 2 + 3, (x0 + x1) // 2 - 2 : (x0 + x1) // 2 + 3]
        assert centre.mean() > 10 * np.median(light), name


def test_both_trainings_find_images_in_every_part(sample):
    """A split of so few images by content would often leave a part empty."""
    pytest.importorskip("tensorflow")
    from galaxy_edge.training.classifier.dataset_files import load_dataset
    from galaxy_edge.training.classifier.partition import split_dataset

    parts = split_dataset(load_dataset(sample))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (27, 9, 9)
    train, held_out, _ = split(list(read_set(sample)), seed=1)
    assert len(held_out) == 9 and len(train) == 41
