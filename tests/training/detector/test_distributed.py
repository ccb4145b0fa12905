"""Training in several processes: addresses are checked, parts make up the batch, and two learn what one would."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from galaxy_edge.training.detector.distributed import Workers, WorkersError
from helpers.labelled_sets import make_sets


@pytest.mark.parametrize(("addresses", "index", "message"), [
    (("here",), 0, "'here' is no address"), ((":80",), 0, "no address"), (("a:0",), 0, "no address"),
    (("a:70000",), 0, "no address"), (("a:1", " b:1"), 0, "' b:1' is no address"), (("http://a:1",), 0, "no address"),
    (("a:1", "a:1"), 0, "same address"), (("a:1", "b:1"), 2, "worker 2 is not among 2"),
    ((), 1, "worker 1 is not among 0"),
])  # fmt: skip
def test_workers_that_cannot_be_are_refused(addresses, index, message):
    with pytest.raises(WorkersError, match=message):
        Workers(addresses, index)


def test_parts_make_up_the_batch():
    addresses = ("a:1", "b:1", "c:1")
    places = [place for index in range(3) for place in Workers(addresses, index).part(12)]
    assert places == list(range(12)) and list(Workers().part(5)) == [0, 1, 2, 3, 4]
    with pytest.raises(WorkersError, match="batch of 16 cannot be divided among 3"):
        Workers(addresses).part(16)


def test_each_worker_writes_a_folder_of_its_own(tmp_path):
    assert [Workers(("a:1", "b:1"), index).folder(tmp_path) for index in (0, 1)] == [tmp_path, tmp_path / "worker1"]


SCRIPT = """
import sys
from pathlib import Path
from galaxy_edge.training.detector import train
from galaxy_edge.training.detector_settings import DetectorSettings
from galaxy_edge.training.workers import Workers

settings = DetectorSettings(size=64, width=0.25, fpn_filters=16, head_convs=1, max_level=5, batch=8, epochs=3,
                            images_per_epoch=48, threads=1, learning_rate=1e-3)
addresses = tuple(sys.argv[3].split(",")) if sys.argv[3] else ()
out = Path(sys.argv[2])
train(Path(sys.argv[1]), out, settings, (out / "run.json").exists(), workers=Workers(addresses, int(sys.argv[4])))
"""


def begin(script: Path, data: Path, out: Path, addresses: str, index: int) -> subprocess.Popen:
    words = [sys.executable, str(script), str(data), str(out), addresses, str(index)]
    return subprocess.Popen(words, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})


def losses(folder: Path) -> list[list[float]]:
    return [
        [json.loads(line)[key] for key in ("loss", "class_loss")]
        for line in (folder / "log.jsonl").read_text().splitlines()
    ]


def train_both(script: Path, data: Path, out: Path) -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        addresses = ",".join(f"127.0.0.1:{free.getsockname()[1]}" for free in (one, other))
    pair = [begin(script, data, out, addresses, index) for index in (0, 1)]
    return [process.wait(timeout=900) for process in pair]


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    pytest.importorskip("official.vision", reason="needs tf-models-official (the detector extra)")
    data, script, two = make_sets(tmp_path), tmp_path / "script.py", tmp_path / "two"
    script.write_text(SCRIPT)
    assert train_both(script, data, two) == [0, 0]
    assert begin(script, data, tmp_path / "one", "", 0).wait(timeout=900) == 0
    alone, chief, second = (losses(tmp_path / place) for place in ("one", "two", "two/worker1"))
    assert chief == second and len(alone) == 3
    # The sums are added up in another order, so the curves part slowly; a wrong gradient would part them at once.
    assert np.allclose(chief, alone, rtol=0.003), (chief, alone)
    record = json.loads((two / "run.json").read_text())
    assert (
        record["model"]["parameters"] == json.loads((tmp_path / "one" / "run.json").read_text())["model"]["parameters"]
    )
    assert (two / "saved_model" / "saved_model.pb").is_file()

    # As if stopped when the chief had saved its last epoch, and the other not yet: that epoch is trained once more.
    for place in (two, two / "worker1"):
        record = json.loads((place / "run.json").read_text())
        del record["model"]
        (place / "run.json").write_text(json.dumps(record))
    behind = two / "worker1"
    for part in (behind / "checkpoint").glob("ckpt-3.*"):
        part.unlink()
    (behind / "checkpoint" / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\n')
    log = (behind / "log.jsonl").read_text().splitlines(keepends=True)
    (behind / "log.jsonl").write_text("".join(log[:2]))
    assert train_both(script, data, two) == [0, 0]
    again = losses(two)
    assert again == losses(behind) and again[:2] == chief[:2] and np.allclose(again, chief, rtol=0.003)


def test_a_lost_worker_is_told_in_a_line():
    tf = pytest.importorskip("tensorflow")

    def fail():
        raise tf.errors.UnavailableError(None, None, "Socket closed, in a page of graph")

    with pytest.raises(WorkersError, match=r"another worker has ended.*--resume"), Workers(("a:1", "b:1")).together():
        fail()
    with pytest.raises(tf.errors.UnavailableError), Workers().together():
        fail()
