"""Training data of the detector: split, folds and batches."""

import zipfile

import cv2
import numpy as np
from galaxy_edge.models.decode import anchor_grid
from galaxy_edge.training.data.splits import is_held_out
from galaxy_edge.training.detector.dataset import SceneBatches, split
from galaxy_edge.training.formats.read_set import read_set
from galaxy_edge.training.scenes.generator import SceneGenerator
from helpers.labelled_sets import make_close_ups
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


def test_batches_are_determined_by_their_number(sets):
    """A resumed run must see what it would have seen."""
    grid = anchor_grid(64, 64, **SMALL.grid)
    batches = SceneBatches(SceneGenerator(read_set(sets), 64), grid, range(4), 1)
    first = [images for images, _, _ in batches.run(0, 4)]
    again = [images for images, _, _ in batches.run(2, 4)]
    np.testing.assert_array_equal(first[2], again[0])
    np.testing.assert_array_equal(first[3], again[1])
    assert not np.array_equal(first[0], first[1])
