"""Splits and folds: no galaxy in two parts, repeatable, near duplicates found."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from galaxy_edge.models.manifest import TrainingData
from galaxy_edge.training.data.crops import network_input
from galaxy_edge.training.data.errors import DataError
from galaxy_edge.training.data.near_duplicates import near_duplicates
from galaxy_edge.training.data.splits import (
    SplitIndices,
    holdout_indices,
    k_fold_indices,
    split_hash,
    warn_of_other_split,
)
from galaxy_edge.training.formats.read_set import read_set


def galaxy(seed, size=88, is_round=True):
    """A smooth galaxy on noisy sky with a few stars.

    Those of one shape differ in nothing but stars and noise.
    """
    rng = np.random.default_rng([seed, 7])
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    turn = rng.uniform(0, np.pi)
    ratio = 1.0 if is_round else 0.5
    radius = np.hypot(x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / ratio) / size
    light = 200 * np.exp(-8 * radius)
    for _ in range(8):
        at = rng.uniform(-0.45, 0.45, 2) * size
        light = light + rng.uniform(30, 120) * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 3)
    colours = light[..., None] * rng.uniform(0.8, 1.0, 3) + rng.normal(12, 4, (size, size, 3))
    return np.clip(colours, 0, 255).astype(np.uint8)


def encoded(image, quality):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


TWINS = {
    "itself": lambda image: image.copy(),
    "re-encoded": lambda image: encoded(image, 60),
    "smaller": lambda image: cv2.resize(image, (69, 69), interpolation=cv2.INTER_AREA),
    "larger": lambda image: cv2.resize(image, (424, 424)),
    "cropped off the middle": lambda image: image[1:85, 4:],
    "brighter": lambda image: np.clip(image * 1.25 + 12.0, 0, 255).astype(np.uint8),
    "other colours": lambda image: np.ascontiguousarray(image[:, :, ::-1]),
    "turned": lambda image: np.rot90(image),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and turned": lambda image: np.rot90(image[:, ::-1]),
    "turned back and mirrored": lambda image: np.rot90(image, 3)[:, ::-1],
    "all at once": lambda image: encoded(cv2.resize(np.rot90(image[3:, :-3], 2), (60, 60)), 75),
}


@pytest.mark.parametrize("name", TWINS)
def test_duplicate_is_found_among_galaxies_of_the_same_shape(name):
    # All are round and smooth: only their stars and noise differ.
    images = [galaxy(seed) for seed in range(30)]
    groups = near_duplicates([*images, TWINS[name](images[11])])
    assert groups[30] == groups[11]
    assert len(np.unique(groups)) == 30


def test_similar_images_are_not_duplicates():
    images = np.stack([galaxy(seed, is_round=seed % 2 == 0) for seed in range(200)])
    assert np.array_equal(near_duplicates(images), np.arange(200))


def test_duplicates_of_a_duplicate_are_one_group_in_any_order():
    first = galaxy(0)
    images = [galaxy(1), first, galaxy(2), encoded(first, 70), np.rot90(encoded(first, 50))]
    assert near_duplicates(images).tolist() == [0, 1, 2, 1, 1]
    assert near_duplicates(images[::-1]).tolist() == [0, 0, 1, 0, 2]


def test_images_without_structure_are_duplicates_only_if_equal():
    black, grey = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 90, np.uint8)
    assert near_duplicates([black, grey, black.copy()]).tolist() == [0, 1, 0]
    assert near_duplicates([]).tolist() == []


def test_real_duplicates_between_surveys_are_found(shared_data):
    # Two renderings of one galaxy, found by eye: other colours, framing and contrast. The thin edge-on is the hardest.
    pairs = [
        ("PGC0065375.jpg", "gz2_subbarao/GZ2_00110.jpg"),
        ("PGC0046809.jpg", "gz2_subbarao/GZ2_00035.jpg"),
        ("PGC0053335.jpg", "gz2_lev/253465.jpg"),
        ("PGC0054849.jpg", "kag_emle/571422.jpg"),
        ("PGC0023474.jpg", "kag_arpit/124882.jpg"),
    ]
    wanted = {name for pair in pairs for name in pair}
    samples = [*read_set(shared_data / "efigi"), *read_set(shared_data / "gz_frames")]
    seen = [sample for index, sample in enumerate(samples) if sample.file in wanted or index % 40 == 0]
    groups = near_duplicates(np.stack([network_input(sample.load(), sample.boxes, 0.3, 69) for sample in seen]))
    indices = {sample.file: index for index, sample in enumerate(seen)}
    for first, other in pairs:
        assert groups[indices[first]] == groups[indices[other]]
    assert len(np.unique(groups)) == len(seen) - len(pairs)


def many(count=3000, seed=0):
    """Return ids, groups of one to four, and labels that agree within a group.

    The five classes have shares of 5 % to 40 %.
    """
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(0, count // 2, count))
    labels = rng.choice(5, count, p=[0.4, 0.3, 0.15, 0.1, 0.05])[groups]
    ids = [hashlib.sha256(f"{seed} {index}".encode()).hexdigest() for index in range(count)]
    return ids, groups, labels


def parts_of(found, count):
    parts = np.full(count, -1)
    for number, part in enumerate((found.train, found.validation, found.test)):
        assert (parts[part] == -1).all()
        parts[part] = number
    assert (parts >= 0).all()
    return parts


def test_split_has_its_shares_and_parts_no_group():
    ids, groups, labels = many()
    parts = parts_of(holdout_indices(ids, groups, labels, (0.12, 0.2), 3), len(ids))
    for group in np.unique(groups):
        assert len(np.unique(parts[groups == group])) == 1
    assert np.bincount(parts) / len(ids) == pytest.approx([0.68, 0.12, 0.2], abs=0.03)


def test_split_is_by_content_not_by_position():
    ids, groups, labels = many()
    parts = parts_of(holdout_indices(ids, groups, labels, (0.12, 0.2), 3), len(ids))
    order = np.random.default_rng(1).permutation(len(ids))
    mixed = holdout_indices([ids[index] for index in order], 7000 - groups[order], labels[order], (0.12, 0.2), 3)
    assert np.array_equal(parts_of(mixed, len(ids)), parts[order])


def test_added_images_move_no_other():
    ids, groups, labels = many()
    more_ids, more_groups, more_labels = many(500, 1)
    before = parts_of(holdout_indices(ids, groups, labels, (0.12, 0.2), 3), len(ids))
    after = holdout_indices(
        ids + more_ids,
        np.concatenate([groups, more_groups + 10_000]),
        np.concatenate([labels, more_labels]),
        (0.12, 0.2),
        3,
    )
    assert np.array_equal(parts_of(after, len(ids) + 500)[: len(ids)], before)


def test_another_seed_is_another_split():
    ids, groups, labels = many()
    first, other = (holdout_indices(ids, groups, labels, (0.12, 0.2), seed).test for seed in (3, 4))
    # Test parts drawn apart share one image in five, as chance has it.
    assert len(np.intersect1d(first, other)) / len(first) == pytest.approx(0.2, abs=0.06)


def test_split_hash_depends_on_images_and_parts():
    ids, groups, labels = many(400)
    found = holdout_indices(ids, groups, labels, (0.2, 0.2), 0)
    order = np.random.default_rng(0).permutation(400)
    mixed_ids = [ids[index] for index in order]
    mixed = holdout_indices(mixed_ids, groups[order], labels[order], (0.2, 0.2), 0)
    assert split_hash(found, ids) == split_hash(mixed, mixed_ids)
    moved = SplitIndices(np.append(found.train, found.test[0]), found.validation, found.test[1:])
    assert split_hash(moved, ids) != split_hash(found, ids)


def test_class_missing_in_a_part_is_named():
    ids, groups, labels = many()
    labels = labels.copy()
    labels[np.isin(groups, np.unique(groups)[:1])] = 6
    with pytest.raises(
        DataError,
        match=rf"'spiral_tight' has {np.sum(labels == 6)} images of 1 galaxy, and none of them is in the",
    ):
        holdout_indices(ids, groups, labels, (0.12, 0.2), 3)
    # Images without a class need not be everywhere, and a part that is not wanted needs no image.
    labels[labels == 6] = -1
    assert len(holdout_indices(ids, groups, labels, (0.12, 0.0), 3).test) == 0


def test_shares_must_leave_training_images():
    with pytest.raises(ValueError, match=r"0.5 and 0.5"):
        holdout_indices(*many(10), (0.5, 0.5), 0)


def test_folds_are_whole_groups_and_even_in_every_class():
    ids, groups, labels = many()
    dealt = k_fold_indices(ids, groups, labels, 5, 0)
    judged = np.concatenate([test for _, test in dealt])
    assert np.array_equal(np.sort(judged), np.arange(len(ids)))
    for train, test in dealt:
        assert np.array_equal(np.union1d(train, test), np.arange(len(ids)))
        assert not np.intersect1d(groups[train], groups[test]).size
    counts = np.array([np.bincount(labels[test], minlength=5) for _, test in dealt])
    # Within a group: no fold can be asked to have more of a class than the largest group above another.
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= np.bincount(groups).max()


def test_folds_are_as_even_as_those_of_sklearn():
    # An independent way to the same end: ours must not be less even, class by class.
    selection = pytest.importorskip("sklearn.model_selection")
    ids, groups, labels = many(600)
    other = selection.StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, groups)

    def unevenness(dealt):
        return np.std([np.bincount(labels[test], minlength=5) for _, test in dealt], axis=0).sum()

    assert unevenness(k_fold_indices(ids, groups, labels, 5, 0)) <= unevenness(other)


def test_folds_are_by_content_and_each_repeat_deals_again():
    ids, groups, labels = many(600)
    order = np.random.default_rng(1).permutation(600)
    mixed = k_fold_indices([ids[index] for index in order], groups[order], labels[order], 5, 0)
    for (_, test), (_, other) in zip(k_fold_indices(ids, groups, labels, 5, 0), mixed, strict=True):
        assert np.array_equal(test, np.sort(order[other]))
    again, fresh, reseeded = (
        k_fold_indices(ids, groups, labels, 5, seed, repeat)[0][1] for seed, repeat in ((0, 0), (0, 1), (1, 0))
    )
    assert np.array_equal(again, k_fold_indices(ids, groups, labels, 5, 0)[0][1])
    assert not np.array_equal(again, fresh) and not np.array_equal(again, reseeded)


def test_too_few_different_images_for_folds():
    ids, groups, labels = many(600)
    labels = np.where(groups < 3, 8, labels)
    with pytest.raises(DataError, match=r"'spiral_loose' has \d+ images, too few different ones for 5 folds"):
        k_fold_indices(ids, groups, labels, 5, 0)
    with pytest.raises(ValueError, match="k is 1"):
        k_fold_indices(ids, groups, labels, 1, 0)


@pytest.mark.parametrize(("sets", "split", "warned"), [
    ({"efigi": 3, "mine": 2}, {"seed": 1, "hash": "a"}, False),
    ({"efigi": 3, "mine": 2}, {"seed": 2, "hash": "b"}, True),
    ({"mine": 2}, {"seed": 2, "hash": "b"}, False),
    ({"efigi": 3}, {"seed": 1, "folds": 3, "fold": 0}, True),
])  # fmt: skip
def test_a_network_of_another_split_of_the_same_sets_is_warned_of(sets, split, warned, caplog):
    """It may have been trained on the other one's validation images."""
    trained = TrainingData("0", {"efigi": 9, "gz_frames": 2}, {"seed": 1, "hash": "a", "train": 7}, ())
    warn_of_other_split(Path("bundle"), trained, sets, split)
    assert bool(caplog.records) == warned
    assert ("bundle was trained on another split of efigi, perhaps on images" in caplog.text) == warned
