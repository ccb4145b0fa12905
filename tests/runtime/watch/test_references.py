"""The files of references."""

import datetime

import numpy as np
import pytest
from galaxy_edge.runtime.watch.references import ReferenceFolder, camera_of
from galaxy_edge.sky.differencing.difference import Image
from galaxy_edge.sky.wcs import Wcs


@pytest.mark.parametrize(
    "header",
    [{"INSTRUME": "Caméra d'été"}, {"INSTRUME": "x" * 59, "FILTER": "L"}, {"INSTRUME": "bell \a"}, {}],
    ids=["letters", "long", "control", "none"],
)
def test_a_later_run_finds_the_reference_of_a_camera(tmp_path, header):
    wcs = Wcs((200.0, 20.0), (32.0, 32.0), np.array([[-0.001, 0], [0, 0.001]]), 64, 64)
    image = Image(np.random.default_rng(1).normal(100, 5, (64, 64)).astype(np.float32), wcs)
    time = datetime.datetime(2026, 3, 20, 21, tzinfo=datetime.UTC)
    made = ReferenceFolder(tmp_path).create(image, "M 94", camera_of(header), time)
    found = ReferenceFolder(tmp_path).find(wcs, camera_of(header))
    assert found is not None and found.path == made.path and found.stacks == 1
    assert ReferenceFolder(tmp_path).find(wcs, camera_of({"INSTRUME": "another"})) is None
