"""docs/labelling.md, as a user follows it.

The report's workflow from labelled images to a measured detector.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.training.formats.annotation import ImageAnnotation, build_dataset, raise_error
from galaxy_edge.training.formats.registry import read_labels, write_labels
from helpers.images import encode
from helpers.labelled_sets import galaxy_frame
from helpers.labels import plain_values
from helpers.paths import ROOT

TEXT = (ROOT / "docs" / "labelling.md").read_text(encoding="utf-8")
BLOCKS = [block.splitlines() for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.M | re.S)]
COMMANDS = [line for block in BLOCKS for line in block]
NETWORKS = ("galaxy-edge train", "galaxy-edge export", "galaxy-edge eval")


def label(folder, count=120):
    """Do what a person does in labelImg.

    Images with whole-pixel boxes, every fourth one without a galaxy.
    """
    rng, found, drawn = np.random.default_rng(3), [], folder.parent / "drawn"
    drawn.mkdir()
    for number in range(count):
        image, box = galaxy_frame(rng, 160)
        boxes = [] if number % 4 == 3 else [np.round(box)]
        if not boxes:
            image = np.clip(8 + rng.normal(0, 1.5, image.shape), 0, 255).astype(np.uint8)
        for x, y in rng.integers(3, 155, (14, 2)):  # stars of its own tell an image from every other
            image[y - 1 : y + 2, x - 1 : x + 2] = rng.integers(90, 255)
        name = f"{number:03d}.png"
        (drawn / name).write_bytes(encode(image))
        found.append(
            ImageAnnotation(
                name,
                160,
                160,
                np.array(boxes).reshape(-1, 4),
                ("galaxy",) * len(boxes),
                [False] * len(boxes),
                archive=drawn,
                member=name,
            )
        )
    write_labels(build_dataset("test", found, raise_error, ["galaxy"]), folder, "voc")


def follow(commands, folder):
    # The commands are run as they stand, only for a moment: the same options, given by the environment.
    env = {
        **os.environ,
        "GALAXY_EDGE_TRAIN_DETECTOR_EPOCHS": "1",
        "GALAXY_EDGE_TRAIN_DETECTOR_IMAGES": "16",
        "GALAXY_EDGE_EXPORT_FORCE": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done_already = set()
    for line in commands:
        # What differs in its folders only takes minutes and shows nothing new: the folds are trained like the rest.
        shape = re.sub(r"\S+/\S+", "PATH", line)
        if line.startswith(NETWORKS) and shape in done_already:
            continue
        done_already.add(shape)
        done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=folder, env=env, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if "--json" in line:
            assert json.loads(done.stdout)["boxes"] > 0


def test_the_steps_of_the_report_are_in_it():
    verbs = [" ".join(line.split()[:3]) for line in COMMANDS]
    for verb in ("data check", "data preview", "data split", "train detector", "eval detector", "data convert"):
        assert f"galaxy-edge {verb}" in verbs
    assert any("--holdout 72/10/18" in line for line in COMMANDS) and any("--folds" in line for line in COMMANDS)


def test_every_command_on_labels_works(tmp_path):
    pytest.importorskip("tensorflow", reason="needs the train extra")
    label(tmp_path / "my-sky")
    follow([line for line in COMMANDS if not line.startswith(NETWORKS)], tmp_path)
    assert (tmp_path / "my-sky.png").stat().st_size > 10_000
    # Through every format and back: nothing lost.
    assert plain_values(read_labels(tmp_path / "my-sky.voc")) == plain_values(read_labels(tmp_path / "my-sky"))


@pytest.mark.slow
def test_the_whole_workflow_works(tmp_path):
    pytest.importorskip("official", reason="needs the detector extra")
    label(tmp_path / "my-sky")
    follow([line for line in COMMANDS if line.startswith((*NETWORKS, "galaxy-edge data split"))], tmp_path)
    record = json.loads((tmp_path / "runs" / "mine" / "run.json").read_text())
    assert set(record["data"]["sets"]) == {"labelled"}
    assert record["settings"]["architecture"] == "quick", "what is shipped is what is trained by default"


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
