"""Unlabelled images have soft targets only, and show no galaxy of the test part."""

import numpy as np
import pytest

pytest.importorskip("keras")

from galaxy_edge.models.labels import CLASSES
from galaxy_edge.training.classifier.dataset_files import load_dataset
from galaxy_edge.training.classifier.partition import split_dataset
from galaxy_edge.training.search import classifier_trial as trial
from galaxy_edge.training.search.classifier_space import START, from_choice
from helpers.two_sources import write_two_sources


def test_unlabelled_images_are_trained_on_unless_their_galaxy_is_held_out(tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    plain = split_dataset(load_dataset(write_two_sources(tmp_path / "without"), unnamed=True), 1)
    parts = split_dataset(load_dataset(write_two_sources(tmp_path / "with", unknown=40), unnamed=True), 1)
    assert parts.record["hash"] == plain.record["hash"]  # they have no say in who is judged
    assert parts.validation.ids == plain.validation.ids and parts.test.ids == plain.test.ids
    train = plain.train
    spirals = [train.ids[index] for index in np.flatnonzero(train.labels == CLASSES.index("spiral_tight"))]
    unknown = [parts.train.ids[index] for index, group in enumerate(parts.train.groups) if not group]
    assert 0 < len(spirals) < 40 and sorted(unknown) == sorted(spirals)
    # Without a teacher there is nothing to learn from them.
    assert sorted(parts.train.take(parts.train.informative).ids) == sorted(plain.train.ids)


def test_search_trial_uses_labelled_images_only(tmp_path, monkeypatch):
    data = write_two_sources(tmp_path, unknown=40)
    fed = []

    def feed(recipe, dataset, network, seed):
        fed.append(dataset)
        raise StopIteration

    monkeypatch.setattr(trial, "BatchLoader", feed)
    with pytest.raises(StopIteration):
        trial.Trial(data)(from_choice(START), lambda *_: None)
    parts = split_dataset(load_dataset(data, unnamed=True), 1)
    assert 0 < len(fed[0]) < len(parts.train) and fed[0].ids == parts.train.take(parts.train.informative).ids
