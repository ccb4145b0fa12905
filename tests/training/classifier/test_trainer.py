"""Loss and training steps of the classifier compared with slow implementations.

Contents of a checkpoint.
"""

import errno
import zipfile
from dataclasses import replace

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from galaxy_edge.models.decode import softmax
from galaxy_edge.training.classifier.attributes import ATTRIBUTES, with_attributes
from galaxy_edge.training.classifier.batches import Batch
from galaxy_edge.training.classifier.recipe import RECIPES, build
from galaxy_edge.training.classifier.report_networks import L1, L2
from galaxy_edge.training.classifier.schedules import Cycles
from galaxy_edge.training.classifier.trainer import TEACHER_SHARE, ClassifierTrainer
from helpers.tiny_recipe import TINY

SIMPLE = replace(RECIPES["simple"], size=32, batch=8)
# What experts said of eight images; here and there they said nothing, of the last two nothing at all.
SAID = np.random.default_rng(9).choice([0, 0.25, 0.5, 0.75, 1, np.nan], (8, len(ATTRIBUTES))).astype(np.float32)
SAID[6:] = np.nan


def batch_of(seed, size, count=8, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "inputs": rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8),
        "targets": np.eye(9, dtype=np.float32)[rng.integers(0, 9, count)],
        "soft": np.zeros((count, 9), np.float32),
        "attributes": np.zeros((count, 0), np.float32),
        "weights": np.ones(count, np.float32),
        "share": np.ones(count, np.float32),
    }
    return Batch(**values | changes)


SOFT = np.random.default_rng(2).dirichlet(np.ones(9), 8).astype(np.float32)
GROUPS = np.stack([np.isin(np.arange(9), chosen) for chosen in ([0], [6, 7, 8], [1, 2, 3], [4], [4, 5], [8], [1], [2])])
VOTES = np.random.default_rng(3).dirichlet(np.full(9, 0.3), 8).astype(np.float32)
VOTES[0] = np.eye(9)[4]  # unanimous: the same as a class
LOSSES = {
    "plain": ({}, 0.0),
    "smoothing": ({}, 0.1),
    "class weights": ({"weights": np.linspace(0.2, 3, 8, dtype=np.float32)}, 0.0),
    "coarse groups": ({"targets": GROUPS.astype(np.float32)}, 0.05),
    "votes": ({"targets": VOTES}, 0.0),
    "votes of some": ({"targets": np.where(np.arange(8)[:, None] % 2, VOTES, GROUPS).astype(np.float32)}, 0.05),
    "mixup": ({"share": np.linspace(0, 1, 8, dtype=np.float32) ** 2}, 0.0),
    "teacher": ({"soft": SOFT}, 0.0),
    "teacher of some": ({"soft": SOFT * (np.arange(8, dtype=np.float32) % 2)[:, None]}, 0.0),
    "all": (
        {"soft": SOFT, "share": np.linspace(0.9, 0.1, 8, dtype=np.float32), "targets": GROUPS.astype(np.float32)},
        0.05,
    ),
}


def slow_loss(network, batch, smoothing):
    """Loop over the images, in double precision."""
    inputs, total, last = batch.inputs.astype(np.float32), 0.0, len(batch.share) - 1
    for index, share in enumerate(batch.share):
        mixed = inputs[index] * share + inputs[last - index] * (1 - share)
        chances = softmax(np.asarray(network(mixed[None], training=False), np.float64))[0]
        fits = []
        for label_index in (index, last - index):
            targets = batch.targets[label_index]
            votes = (targets * np.log(chances)).sum()
            label_fit = votes if np.isclose(targets.sum(), 1) else np.log(chances[targets > 0].sum())
            label_fit *= batch.weights[label_index]
            taught = TEACHER_SHARE if batch.soft[label_index].any() else 0.0
            fits.append((1 - taught) * label_fit + taught * (batch.soft[label_index] * np.log(chances)).sum())
        fit = share * fits[0] + (1 - share) * fits[1]
        total -= (1 - smoothing) * fit + smoothing * np.log(chances).mean()
    return total / len(batch.share)


@pytest.fixture(scope="module")
def judged_learner():
    keras.utils.set_random_seed(6)  # an unlucky start names all classes alike, and smoothing changes nothing
    network = build(SIMPLE, 9)
    return ClassifierTrainer(network, network, SIMPLE), network.get_weights()


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_loss_of_attributes_agrees_with_a_plain_implementation(share):
    """The loss has a second term: the error of every known attribute."""
    recipe = replace(SIMPLE, attributes=0.7)
    plain = build(recipe, 9)
    both = with_attributes(plain)
    start = both.get_weights()
    batch = batch_of(1, 32, attributes=SAID, share=np.full(8, share, np.float32))
    inputs, total, known = batch.inputs.astype(np.float32), 0.0, np.isfinite(batch.attributes)
    for index in range(8):
        mixed = inputs[index] * np.float32(share) + inputs[7 - index] * np.float32(1 - share)
        predicted = 1 / (1 + np.exp(-np.asarray(both(mixed[None], training=False)[1], np.float64)[0]))
        for source, part in ((index, share), (7 - index, 1 - share)):
            for at in np.flatnonzero(known[source]):
                said = float(batch.attributes[source, at])
                for value, chance in ((said, predicted[at]), (1 - said, 1 - predicted[at])):
                    total += part * (value * np.log(value / chance) if value else 0.0)
    named = slow_loss(plain, batch, 0.0)
    loss = ClassifierTrainer(both, both, recipe, attributes=True).step(batch, 0.0, 0)
    assert loss == pytest.approx(named + 0.7 * total / known.sum(), rel=1e-4)
    assert any(not np.array_equal(old, new) for old, new in zip(start[-2:], both.get_weights()[-2:], strict=True))


def test_attributes_share_all_but_their_own_layer():
    plain = build(SIMPLE, 9)
    both = with_attributes(plain)
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    assert np.array_equal(both(images)[0], plain(images)) and both(images)[1].shape == (3, len(ATTRIBUTES))
    features = plain.get_layer("logits").input.shape[-1]
    assert both.count_params() == plain.count_params() + (features + 1) * len(ATTRIBUTES)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_agrees_with_a_plain_implementation(judged_learner, name):
    learner, start = judged_learner
    learner.network.set_weights(start)
    changes, smoothing = LOSSES[name]
    batch = batch_of(1, 32, **changes)
    expected = slow_loss(learner.network, batch, smoothing)
    assert learner.step(batch, smoothing, 0) == pytest.approx(expected, rel=1e-4)
    if changes or smoothing:  # it is not the plain loss under another name
        learner.network.set_weights(start)
        assert abs(learner.step(batch_of(1, 32), 0.0, 0) - expected) > 1e-3


def test_steps_without_decay_are_those_of_adam_in_keras():
    # Keras' own training, with its weights of images and its penalties on kernels, is the reference.
    recipe = replace(RECIPES["l1l2"], size=32)
    ours, theirs = build(recipe, 9), build(recipe, 9)
    start = ours.get_weights()
    theirs.set_weights(start)
    theirs.compile(
        keras.optimizers.Adam(1e-2, global_clipnorm=2.0), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    penalty = sum(L1 * np.abs(kernel).sum() + L2 * (kernel**2).sum() for kernel in start[:-2] if kernel.ndim > 1)
    learner = ClassifierTrainer(ours, ours, recipe)
    learner.optimizer.learning_rate = 1e-2
    for step in range(3):
        batch = batch_of(step, 32, weights=np.linspace(0.3, 2, 8, dtype=np.float32))
        fitted = slow_loss(ours, batch, 0.0) if step == 0 else None
        loss = learner.step(batch, 0.0, step)
        expected = theirs.train_on_batch(batch.inputs.astype(np.float32), batch.targets, sample_weight=batch.weights)
        assert loss == pytest.approx(float(expected), rel=1e-4)
        if fitted is not None:
            assert loss == pytest.approx(fitted + penalty, rel=1e-4) and penalty > 0.01
    assert max(np.abs(value - before).max() for value, before in zip(ours.get_weights(), start, strict=True)) > 0.02
    for ours_value, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert ours_value == pytest.approx(other, abs=2e-4)


@pytest.fixture(scope="module")
def averaging():
    recipe = replace(TINY, decay=0.5, average=0.9)
    return ClassifierTrainer(build(recipe, 9), build(recipe, 9), recipe)


def test_decay_shrinks_kernels_and_nothing_else(averaging):
    # Images without weight give no slope: what moves is decay alone, and the statistics of the normalisation.
    network, optimizer = averaging.network, averaging.optimizer
    for variable in optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    optimizer.learning_rate = 0.01
    rng = np.random.default_rng(0)
    # Biases and normalisation begin at 0 and 1: other values, so that a decay of them would show.
    network.set_weights([value + rng.uniform(0.1, 0.2, value.shape) for value in network.get_weights()])
    start = [np.asarray(variable) for variable in network.trainable_variables]
    averaging.step(batch_of(1, 48, weights=np.zeros(8, np.float32)), 0.0, 0)
    for variable, before in zip(network.trainable_variables, start, strict=True):
        left = 1 - 0.01 * 0.5 if variable.name == "kernel" else 1.0
        assert np.asarray(variable) == pytest.approx(left * before, abs=1e-6), variable.path


def test_average_follows_the_weights(averaging):
    mean = [value.astype(np.float64) for value in averaging.average.get_weights()]
    for step in (*range(4), 200):  # young, it forgets fast; old, by the recipe's decay
        averaging.step(batch_of(step, 48), 0.0, step)
        keep = min(0.9, (1 + step) / (10 + step))
        mean = [keep * old + (1 - keep) * new for old, new in zip(mean, averaging.network.get_weights(), strict=True)]
    for averaged, other in zip(averaging.average.get_weights(), mean, strict=True):
        assert averaged == pytest.approx(other, abs=1e-5)


def test_damaged_checkpoint_is_ignored(tmp_path, caplog):
    path, schedule = tmp_path / "state.npz", Cycles((1e-3,), 4, 4)
    learner = ClassifierTrainer(build(TINY, 9), build(TINY, 9), TINY)
    assert learner.load(path, schedule) == 0
    learner.save(path, 1, schedule)
    other = ClassifierTrainer(build(TINY, 9), build(TINY, 9), TINY)
    start = other.network.get_weights()
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        late = archive.getinfo("best0.npy")
    flipped = bytearray(whole)
    flipped[late.header_offset + late.file_size - 50] ^= 255  # among its numbers, behind all the weights
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"", b"nothing of ours"):
        path.write_bytes(damaged)
        caplog.clear()
        assert other.load(path, schedule) == 0
        assert f"{path} is damaged and is not used" in caplog.text
        # Not half of it either: the training starts again with the same initial weights.
        assert all(np.array_equal(a, b) for a, b in zip(other.network.get_weights(), start, strict=True))
    path.write_bytes(whole)
    assert other.load(path, schedule) == 1
    assert all(
        np.array_equal(a, b) for a, b in zip(other.network.get_weights(), learner.network.get_weights(), strict=True)
    )


def test_the_state_before_a_damaged_one_is_loaded(tmp_path):
    """A night of training is not lost because of the last file."""
    path, schedule = tmp_path / "state.npz", Cycles((1e-3,), 4, 4)
    learner = ClassifierTrainer(build(TINY, 9), build(TINY, 9), TINY)
    learner.save(path, 1, schedule)
    first = learner.network.get_weights()
    learner.step(batch_of(0, 48), 0.0, 0)
    learner.save(path, 2, schedule)
    other = ClassifierTrainer(build(TINY, 9), build(TINY, 9), TINY)
    assert other.load(path, schedule) == 2
    for lose in (lambda: path.write_bytes(path.read_bytes()[:-100]), path.unlink):  # or killed while it is replaced
        lose()
        assert other.load(path, schedule) == 1
        assert all(np.array_equal(*pair) for pair in zip(other.network.get_weights(), first, strict=True))


def test_a_full_disk_leaves_both_states(tmp_path, monkeypatch):
    path, schedule = tmp_path / "state.npz", Cycles((1e-3,), 4, 4)
    learner = ClassifierTrainer(build(TINY, 9), build(TINY, 9), TINY)
    for epoch in (1, 2):
        learner.save(path, epoch, schedule)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(np, "savez", full)
        learner.save(path, 3, schedule)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
