"""Batches are repeatable and balanced, and each view has its image's label."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("keras")

from galaxy_edge.models.labels import CLASSES, COARSE, coarse_group
from galaxy_edge.training.classifier.balancing import STRATEGIES
from galaxy_edge.training.classifier.batches import BatchLoader
from galaxy_edge.training.classifier.dataset import GalaxyDataset
from galaxy_edge.training.classifier.recipe import Recipe, build
from galaxy_edge.training.data.crops import COARSE_WEIGHT, draw_weights, network_input

COUNTS = (12, 3, 6, 3, 3, 3, 3, 3, 4)
"""Images of each class: the mean is four and four ninths."""


def make_dataset(counts=COUNTS, coarse=("spiral",) * 8 + ("edge_on",) * 2):
    """Uniform images, each of its own level, which identifies a view's image.

    Some with a coarse group only.
    """
    labels = np.repeat([*range(len(counts)), -1], [*counts, len(coarse)])
    groups = [coarse_group(CLASSES[label]) for label in labels if label >= 0] + list(coarse)
    return GalaxyDataset(
        CLASSES,
        labels,
        tuple(groups),
        tuple(f"{index:04x}" for index in range(len(labels))),
        ("even",) * len(labels),
        tuple(lambda index=index: (np.full((88, 88, 3), 4 * index, np.uint8), None) for index in range(len(labels))),
        0.3,
    )


def make_loader(seed=1, galaxies=None, soft=None, **changes):
    galaxies = galaxies or make_dataset()
    return BatchLoader(Recipe(**{"views": "none", "size": 48, "batch": 4, **changes}), galaxies, None, seed, soft)


def drawn_indices(batches):
    """Return which images were drawn, by their levels."""
    return np.concatenate([batch.inputs[:, 24, 24, 0] for batch in batches]) // 4


def are_equal(first, other):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(first, other, strict=True)
        for name in ("inputs", "targets", "soft", "attributes", "weights", "share")
    )


@pytest.mark.parametrize("balance", STRATEGIES)
def test_seed_and_epoch_give_the_batches(balance):
    def drawn(seed, epoch):
        return list(make_loader(seed, views="sky", balance=balance).epoch(epoch, plain=False))

    first = drawn(1, 3)
    assert are_equal(first, drawn(1, 3))  # by another feed, as after a resume
    assert not are_equal(first, drawn(1, 4)) and not are_equal(first, drawn(2, 3))
    assert len(first) == make_loader(balance=balance).steps
    assert all(batch.inputs.shape == (4, 48, 48, 3) and batch.inputs.dtype == np.uint8 for batch in first)


@pytest.mark.parametrize("balance", STRATEGIES)
def test_every_view_has_the_label_of_its_image(balance):
    galaxies = make_dataset()
    soft = np.random.default_rng(1).dirichlet(np.ones(9), len(galaxies))
    loader = make_loader(galaxies=galaxies, soft=soft, balance=balance)
    batches = list(loader.epoch(0))
    drawn = drawn_indices(batches)
    assert len(np.unique(drawn)) > 9
    assert np.array_equal(np.concatenate([batch.targets for batch in batches]), galaxies.targets()[drawn])
    assert np.concatenate([batch.soft for batch in batches]) == pytest.approx(soft[drawn], abs=1e-6)


def test_without_a_teacher_there_are_no_soft_targets():
    assert not next(make_loader().epoch(0)).soft.any()


def class_counts(balance, epochs=1):
    loader = make_loader(balance=balance, batch=2)
    labels = make_dataset().labels[np.concatenate([drawn_indices(loader.epoch(epoch)) for epoch in range(epochs)])]
    return np.bincount(labels[labels >= 0], minlength=9), np.sum(labels < 0)


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_without_resampling_an_epoch_is_every_labelled_image_once(balance):
    # Images with a coarse label only have no class to be balanced by.
    assert np.array_equal(
        np.sort(drawn_indices(make_loader(balance=balance, batch=2).epoch(5))), np.arange(sum(COUNTS))
    )


def test_full_balance_draws_classes_equally_often():
    counts, coarse = class_counts("full")
    assert counts.tolist() == [4] * 9 and coarse == 0


def test_partial_balance_shows_the_geometric_mean():
    counts, _ = class_counts("partial")
    assert counts.tolist() == np.round(np.sqrt(np.array(COUNTS) * np.mean(COUNTS))).tolist()


def test_root_draws_by_the_root_and_coarse_images_half_as_often():
    counts, coarse = class_counts("root", 80)
    total = counts.sum() + coarse
    chances = np.sqrt([*COUNTS, 8, 2]) * ([1] * 9 + [COARSE_WEIGHT] * 2)
    chances /= chances.sum()
    for found, chance in [*zip(counts, chances, strict=False), (coarse, chances[9:].sum())]:
        assert abs(found - total * chance) < 4 * np.sqrt(total * chance * (1 - chance))


@pytest.mark.parametrize("balance", STRATEGIES)
def test_weights_are_those_of_sklearn_on_what_is_drawn(balance):
    reference = pytest.importorskip("sklearn.utils.class_weight")
    galaxies = make_dataset()
    batches = list(make_loader(galaxies=galaxies, balance=balance, batch=2).epoch(0))
    labels, weights = galaxies.labels[drawn_indices(batches)], np.concatenate([batch.weights for batch in batches])
    if balance in ("weights", "partial"):
        assert weights == pytest.approx(reference.compute_sample_weight("balanced", labels), rel=1e-5)
        assert len(np.unique(weights)) > 2
    else:
        assert (weights == 1).all()


def test_plain_epochs_are_not_mixed_and_others_by_a_beta_share():
    loader = make_loader(mixup=0.2, batch=16)
    assert all((batch.share == 1).all() for batch in loader.epoch(0))
    shares = np.concatenate([batch.share for epoch in range(200) for batch in loader.epoch(epoch, plain=False)])
    assert shares.min() >= 0 and shares.max() <= 1
    # Mean and variance of Beta(0.2, 0.2) are 1/2 and 1 / (4 (2 x 0.2 + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.03) and shares.var() == pytest.approx(1 / 5.6, abs=0.01)
    assert all((batch.share == 1).all() for batch in make_loader(mixup=0).epoch(0, plain=False))


def test_calibration_takes_from_every_class_alike_and_from_no_other():
    loader = make_loader()
    levels = loader.calibration(20)[:, 0, 0, 0] // 4
    counts = np.bincount(make_dataset().labels[levels])
    assert len(levels) == len(np.unique(levels)) == 20  # none twice
    assert counts.min() == 2 and counts.max() == 3  # 20 of nine classes
    # With more wanted than there are, all that have a class.
    assert len(loader.calibration(300)) == sum(COUNTS)


def test_batches_for_statistics_differ_from_all_epochs():
    loader = make_loader(epochs=3)
    settled = list(loader.refresh_batches(4))
    assert [batch.shape for batch in settled] == [(4, 48, 48, 3)] * 4
    for epoch in range(3):
        assert not np.array_equal(settled, [batch.inputs for batch in list(loader.epoch(epoch))[:4]])


@pytest.fixture(scope="module")
def vgg():
    """A cached feed over a VGG-16 with random weights, at the smallest size.

    Its frozen part is the same arithmetic.
    """
    recipe = Recipe(network="vgg_features", size=32, views="turned", balance="none", batch=3, average=0, cached=2)
    network = build(recipe, 9, weights=None)
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (6, 32, 32, 3), np.uint8)
    galaxies = replace(
        make_dataset((1,) * 6 + (0,) * 3, ()), readers=tuple(lambda image=image: (image, None) for image in images)
    )
    galaxies = replace(galaxies, classes=CLASSES[:6])
    return recipe, network, galaxies


def test_cached_features_are_the_frozen_part_of_views(vgg):
    from galaxy_edge.training.augmentation.presets import AUGMENTATIONS

    recipe, network, galaxies = vgg
    loader = BatchLoader(recipe, galaxies, network, 7)
    (batch, _) = list(loader.epoch(0))
    canvases = galaxies.canvases()
    known = []
    for number in range(2):
        # A view depends on the image only, so that folds share the cache.
        seeds = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") for name in galaxies.ids]
        views = np.stack([
            AUGMENTATIONS["turned"](canvas, 32, np.random.default_rng([4, number, seed]))
            for canvas, seed in zip(canvases, seeds, strict=True)
        ])  # fmt: skip
        # Layer by layer by hand, up to the last pooling.
        x = views.astype(np.float32)
        for layer in network.layers[1 : [layer.name for layer in network.layers].index("block5_pool") + 1]:
            x = layer(x)
        known.append(np.asarray(x))
    for features, target in zip(batch.inputs, batch.targets, strict=True):
        index = int(target.argmax())
        gaps = [np.abs(features.astype(np.float32) - view[index]).max() / view[index].max() for view in known]
        assert min(gaps) < 2e-3  # kept in half precision
    # Other images have other features, so that the match above means something.
    assert np.abs(known[0][0] - known[0][1]).max() / known[0][0].max() > 0.01
    # Training the part behind trains the network that is saved.
    assert loader.complete_network(loader.trainable) is network and loader.trainable is not network
    loader.trainable.layers[-1].kernel.assign(np.zeros((64, 9)))
    assert not np.asarray(network.get_layer("logits").kernel).any()


def test_input_is_the_crop_of_the_box_or_the_whole_image():
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 40:60] = 200
    box = np.array([[40, 40, 60, 60]], np.float32)
    assert network_input(image, box, 0.0, 69).min() == 200
    assert network_input(image, box[:0], 0.0, 69).mean() == pytest.approx(200 * 0.04, rel=0.1)


def test_rare_classes_are_drawn_more_often_but_not_equally():
    galaxies = make_dataset()
    weights = draw_weights(galaxies.labels, galaxies.groups)
    assert weights.sum() == pytest.approx(1)
    # The first class has twelve images, the second three.
    assert weights[galaxies.labels == 0].sum() / weights[galaxies.labels == 1].sum() == pytest.approx(2)
    # A coarse group without classes is a kind of its own, and weighs half; one image as any other of its kind.
    kinds = Counter(group for group, label in zip(galaxies.groups, galaxies.labels, strict=True) if label < 0)
    assert set(kinds) < set(COARSE)
    spirals = weights[(galaxies.labels < 0) & (np.array(galaxies.groups) == "spiral")]
    assert spirals.sum() / weights[galaxies.labels == 1].sum() == pytest.approx(COARSE_WEIGHT * np.sqrt(8 / 3))
    assert np.ptp(spirals) == 0
