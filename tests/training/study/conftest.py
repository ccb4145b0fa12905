"""A small data set with known copies, and its interrupted and resumed study."""

import hashlib

import cv2
import numpy as np
import pytest
from helpers.log_records import recorded
from helpers.tiny_study import FULL, NAMES, PLAIN
from helpers.two_sources import encoded, galaxy

COPIES = {
    "as a JPEG": lambda image: encoded(image, ".jpg", 80),
    "mirrored": lambda image: encoded(image[:, ::-1]),
    "turned, smaller": lambda image: encoded(cv2.resize(np.rot90(image), (58, 58), interpolation=cv2.INTER_AREA)),
}


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """Fifty images per class, with three more copies of every fifth.

    And which files show the same galaxy.
    """
    root = tmp_path_factory.mktemp("classes")
    same = {}
    for kind, name in enumerate(NAMES):
        (root / name).mkdir()
        for number in range(50):
            image = galaxy(kind, number)
            files = {"": encoded(image)}
            if number % 5 == 0:
                files |= {key: make(image) for key, make in COPIES.items()}
            for key, content in files.items():
                suffix = ".jpg" if "JPEG" in key else ".bmp"
                (root / name / f"{number}{key}{suffix}").write_bytes(content)
                same[hashlib.sha256(content).hexdigest()] = (kind, number)
    return root, same


@pytest.fixture(scope="package")
def parts(folder):
    """The split of the data set."""
    from galaxy_edge.training.classifier.dataset_files import load_dataset
    from galaxy_edge.training.classifier.partition import split_dataset

    return split_dataset(load_dataset(folder[0]), 1)


class Killed(Exception):
    """The process is gone."""


@pytest.fixture(scope="package")
def runs(folder, tmp_path_factory):
    """A study that was killed in its second run, resumed, and extended by a recipe.

    Returns:
        The folder; the rows of the second and of the third call; and for each of the three calls its messages, and the
        epochs that it trained.
    """
    from galaxy_edge.training.study.runs import run_many

    out = tmp_path_factory.mktemp("study")
    epochs = [[], [], []]

    def count(number):
        """Return a report that counts the ends of epochs."""
        return lambda values: epochs[number].append(values["epoch"]) if "step" not in values else None

    def kill(values):
        count(0)(values)
        if len(epochs[0]) == 2:
            raise Killed

    with recorded("galaxy_edge.training.study") as first, pytest.raises(Killed):
        run_many({"plain": PLAIN}, folder[0], out, seeds=(1, 2), report=kill)
    trained = (out / "plain/seed1/model.keras").stat().st_mtime_ns
    with recorded("galaxy_edge.training.study") as second:
        resumed = run_many({"plain": PLAIN}, folder[0], out, seeds=(1, 2), report=count(1))
    with recorded("galaxy_edge.training.study") as third:
        extended = run_many({"plain": PLAIN, "full": FULL}, folder[0], out, report=count(2))
    assert (out / "plain/seed1/model.keras").stat().st_mtime_ns == trained
    messages = [[record.getMessage() for record in records] for records in (first, second, third)]
    return out, resumed, extended, messages, epochs
