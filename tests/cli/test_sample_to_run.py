"""From the drawn sample set to a run, by the commands of docs/training.md."""

import json
import shutil

import pytest
from galaxy_edge.models.bundle import shipped_bundle_path
from helpers.command_line import galaxy_edge


@pytest.mark.slow
def test_a_network_trained_on_the_sample_set_finds_galaxies(tmp_path):
    """A new user can try the whole way without data; TensorFlow prints nothing."""
    pytest.importorskip("official", reason="needs the detector extra")
    commands = [
        ("data", "sample", "sample"),
        (
            *("train", "detector", "--data", "sample", "--out", "trial", "--preset", "nano", "--threads", "1"),
            *("--epochs", "4", "--images", "320"),
        ),
        ("export", "--int8", "trial", "--out", "models/galaxy-detector"),
        ("run", "--camera", "sample", "--models", "models", "--out", "night"),
    ]
    # The classifier of the package: training one too would double the time.
    shutil.copytree(shipped_bundle_path("galaxy-classifier"), tmp_path / "models" / "galaxy-classifier")
    results = [galaxy_edge(*command, cwd=tmp_path, timeout=900) for command in commands]
    for command, result in zip(commands, results, strict=True):
        assert result.returncode == 0, (command, result.stderr)
    lines = results[1].stderr.splitlines()
    assert [line[:9] for line in lines if "map50" in line] == [f"epoch {number}/4" for number in (1, 2, 3, 4)]
    assert sum(line.startswith("expected: about") for line in lines) == 1
    assert not any(noise in results[1].stderr for noise in ("cuInit", "absl::", "I0000", "E0000")), results[1].stderr
    frames = [json.loads(line) for line in (tmp_path / "night" / "frames-0001.jsonl").read_text().splitlines()]
    assert len(frames) == 50 and any(frame["detections"] for frame in frames)
