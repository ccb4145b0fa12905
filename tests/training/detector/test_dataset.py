"""Training data of the detector: split, folds and batches."""

import zipfile

import cv2
import numpy as np
import pytest
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.data.sample import Sample
from galaxy_edge.training.data.splits import is_held_out
from galaxy_edge.training.detector.dataset import SceneBatches, split
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes.generator import SceneGenerator
from helpers.labelled_sets import galaxy_frame, make_close_ups
from helpers.small_detector import SMALL


def test_split_is_by_content_and_keeps_shares_apart(sets):
    """The order of the files must not change which samples are held out."""
    samples = read_set(sets)
    train_share, held_out, record = split(samples, 1)
    keys = [{(sample.set, sample.file) for sample in share} for share in (train_share, held_out)]
    assert not keys[0] & keys[1] and keys[0] and keys[1]
    assert record["split"]["train"] + record["split"]["validation"] == sum(record["sets"].values())
    assert record["hash"] == split(list(reversed(samples)), 1)[2]["hash"]
    assert "rendered" in record["sources"]


def test_close_ups_are_trained_on_unless_their_galaxy_is_held_out(sets, tmp_path):
    """A close-up of a held-out galaxy would leak it into the training share."""
    survey = [sample for sample in split(read_set(sets), 1)[1] if sample.set == "gz_frames"]
    box = survey[0].boxes[0]
    middle, side = (box[:2] + box[2:]) / 2, 1.3 * max(box[2:] - box[:2])
    x, y = (int(value) for value in middle - side / 2)
    twin = cv2.resize(survey[0].load()[y : y + int(side), x : x + int(side)], (88, 88))
    folder = make_close_ups(tmp_path, 20) / "efigi"
    with zipfile.ZipFile(folder / "images.zip", "a") as archive:
        archive.writestr("twin.png", cv2.imencode(".png", twin[..., ::-1])[1].tobytes())
    with (folder / "labels.csv").open("a") as table:
        table.write("twin.png,8,spiral\n")
    train_share, held_out, record = split(read_set(sets) + read_set(folder), 1)
    trained = {sample.file for sample in train_share if sample.set == "efigi"}
    assert record["sets"]["efigi"] == len(trained) > 10 and "twin.png" not in trained
    assert not any(sample.set == "efigi" for sample in held_out)
    assert "EFIGI: Baillard et al. 2011, A&A 532, A74" in record["sources"]


def test_every_image_is_held_out_in_one_fold(sets):
    """Cross-validation evaluates an image once, by a network not trained on it."""
    samples = read_set(sets)
    folds = [split(samples, 1, 3, fold) for fold in range(3)]
    held_out = [(sample.set, sample.file) for _, fold_samples, _ in folds for sample in fold_samples]
    assert len(held_out) == len(set(held_out)) == sum(folds[0][2]["sets"].values())
    for train_share, held_share, record in folds:
        assert all(is_held_out(record["split"], sample.digest()) for sample in held_share)
        assert not any(is_held_out(record["split"], sample.digest()) for sample in train_share)


def frames_of_targets(folder, targets=8, frames=5):
    """Write frames of a few galaxies, shifted, each with its own noise."""
    rng, samples = np.random.default_rng(21), []
    for target in range(targets):
        image, box = galaxy_frame(rng, 120)
        for x, y in rng.integers(30, 90, (8, 2)):
            cv2.circle(image, (int(x), int(y)), 1, (220, 220, 220), -1)
        for number in range(frames):
            shift = rng.integers(-4, 5, 2)
            moved = np.roll(image, shift[::-1], (0, 1)) + rng.normal(0, 2, image.shape)
            name = f"{target}_{number}.png"
            cv2.imwrite(str(folder / name), np.clip(moved, 0, 255).astype(np.uint8))
            boxes = (box + np.tile(shift, 2)).astype(np.float32)[None]
            samples.append(Sample("labelled", name, folder, name, boxes=boxes))
    return samples


def target_of(sample):
    return sample.file.split("_")[0]


@pytest.mark.parametrize("shares", [
    [(seed, 0, 0) for seed in range(12)],
    [(3, 2, fold) for fold in range(2)],
])  # fmt: skip
def test_frames_of_one_target_are_in_one_share(tmp_path, shares, caplog):
    """A detector is not measured on a night whose other frames it knows."""
    samples, moved, count = frames_of_targets(tmp_path), 0, 0
    for share in shares:
        caplog.clear()
        train_share, held_out, record = split(samples, *share)
        if caplog.records:
            continue  # by this seed, no target is held back: see below
        assert not {target_of(one) for one in train_share} & {target_of(one) for one in held_out}
        assert all(is_held_out(record["split"], sample.digest()) for sample in held_out)
        assert not any(is_held_out(record["split"], sample.digest()) for sample in train_share)
        assert split(list(reversed(samples)), *share)[2] == record
        moved += len(record["split"].get("moved", ()))
        count += len(held_out)
    assert moved and count, "by their own hashes, the frames would be in both shares"
    if shares[0][1]:
        assert count == len(samples)


@pytest.mark.parametrize("folds", [0, 2])
def test_frames_of_one_target_are_split_by_frame_with_a_warning(tmp_path, caplog, folds):
    """No other galaxy could be held back; the training was refused."""
    samples = frames_of_targets(tmp_path, targets=1, frames=40)
    train_share, held_out, record = split(samples, 1, folds)
    assert train_share and held_out and "moved" not in record["split"]
    assert "frames with boxes: 40, different galaxies: 1; too few to hold some of them back" in caplog.text


def test_batches_are_determined_by_their_number(sets):
    """A resumed run must see what it would have seen."""
    grid = anchor_grid(64, 64, **SMALL.grid)
    batches = SceneBatches(SceneGenerator(read_set(sets), 64), grid, range(4), 1)
    first = [images for images, _, _ in batches.run(0, 4)]
    again = [images for images, _, _ in batches.run(2, 4)]
    np.testing.assert_array_equal(first[2], again[0])
    np.testing.assert_array_equal(first[3], again[1])
    assert not np.array_equal(first[0], first[1])
