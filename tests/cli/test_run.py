"""`galaxy-edge run` in a process.

The files it writes, its output and its exit codes.
"""

import json
import os
import signal
import subprocess
import sys

import cv2
import jsonschema
import numpy as np
import pytest
from helpers.command_line import rest_of
from helpers.images import encode, render
from helpers.runs import rows, run
from helpers.schema import FRAME_SCHEMA as SCHEMA


def test_json_lines_keep_the_contract(night, tiny_models, tmp_path):
    """Other programs read these lines.

    They are also what the log in the output folder holds.
    """
    done = run(night, tiny_models, tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
        assert all(
            x1 <= line["width"] and y1 <= line["height"] for _, _, x1, y1 in (d["box"] for d in line["detections"])
        )
        for found in line["detections"]:
            assert found["probability"] == max(found["probabilities"].values())
            assert found["probabilities"][found["class"]] == found["probability"]
            assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert [d["score"] for d in line["detections"]] == sorted(
            (d["score"] for d in line["detections"]), reverse=True
        )
    assert [(line["frame"], line["source"]) for line in lines] == [(0, "a.png"), (1, "b.png"), (2, "c.png")]
    assert [bool(line["detections"]) for line in lines] == [True, False, True]
    x0, y0, x1, y1 = lines[0]["detections"][0]["box"]
    assert x0 < 60 < x1 and y0 < 40 < y1
    assert (tmp_path / "out" / "frames-0001.jsonl").read_text() == done.stdout


def test_a_run_leaves_events_crops_sheet_and_timings(night, tiny_models, tmp_path):
    """What the README promises of the output folder and of the summary."""
    out = tmp_path / "out"
    done = run(night, tiny_models, out, "--timings")
    assert done.returncode == 0, done.stderr
    events = rows(out, "SELECT source, class, probability, x0, x1, crop, first_frame FROM event ORDER BY number")
    assert [event[0] for event in events].count("c.png") >= 2
    for source, name, probability, x0, x1, crop, frame in events:
        assert x1 > x0 and 0 <= probability <= 1 and name and frame == "abc".index(source[0])
        assert cv2.imread(str(out / crop)) is not None
    ((frames, bad, ended, detector),) = rows(out, "SELECT frames, bad_pictures, ended, detector FROM run")
    assert (frames, bad) == (3, 0) and ended and len(detector) == 64
    assert rows(out, "PRAGMA journal_mode") == [("wal",)] and rows(out, "PRAGMA integrity_check") == [("ok",)]
    assert cv2.imread(str(out / "sheet-0001.jpg")).shape[0] >= 480
    for stage in ("read", "preprocess", "detect", "decode", "classify", "write"):
        assert stage in done.stdout
    assert "3 frames in " in done.stdout and "Found " in done.stdout and "peak memory" in done.stdout
    assert str(out / "events.sqlite") in done.stdout.replace("\n", "")


def test_a_second_run_overwrites_nothing(night, tiny_models, tmp_path):
    """A night must never be lost to the next one."""
    out = tmp_path / "out"
    run(night, tiny_models, out)
    first = (out / "frames-0001.jsonl").read_text()
    assert run(night / "a.png", tiny_models, out).returncode == 0
    assert (out / "frames-0001.jsonl").read_text() == first
    assert len((out / "frames-0002.jsonl").read_text().splitlines()) == 1
    assert rows(out, "SELECT id, frames FROM run") == [(1, 3), (2, 1)]


def test_a_bad_image_is_reported_counted_and_skipped(night, tiny_models, tmp_path):
    """One damaged file in a thousand must not end the run, nor go unnoticed."""
    (night / "aa.jpg").write_bytes(encode(render([], 64, 64), ".jpg")[:-50])
    done = run(night, tiny_models, tmp_path / "out", "--json")
    assert done.returncode == 0
    assert "skipped aa.jpg: the JPEG is truncated" in done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert rows(tmp_path / "out", "SELECT bad_pictures FROM run") == [(1,)]


def test_a_name_that_is_not_utf8_is_shown_as_text(night, tiny_models, tmp_path):
    """A name in another encoding must not end all writing.

    It once did so, with a traceback, while the run reported success.
    """
    os.rename(night / "c.png", os.fsencode(night) + b"/c\xff.png")
    (tmp_path / os.fsdecode(b"n\xfe")).mkdir()
    there = night.rename(tmp_path / os.fsdecode(b"n\xfe") / "night")
    for camera, count in ((there, 3), (there / os.fsdecode(b"c\xff.png"), 1)):
        out = tmp_path / f"out-{count}"
        done = run(camera, tiny_models, out, "--json")
        assert done.returncode == 0 and "Traceback" not in done.stderr and "writer failed" not in done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["source"] == r"c\xff.png"
        assert (out / "frames-0001.jsonl").read_text() == done.stdout
        assert (r"c\xff.png",) in rows(out, "SELECT source FROM event")
        assert r"n\xfe" in rows(out, "SELECT source FROM run")[0][0]


@pytest.mark.parametrize(("camera", "out", "code", "message"), [
    (b"sky\xff.mp4", b"out", 2, r"sky\xff.mp4' cannot be opened"), (b"rtsp://localhost/\xff", b"out", 2, "UTF-8"),
    (b"demo", b"out\xff", 0, r"out\xff/annotated-0001.webm cannot be written"),
])  # fmt: skip
def test_a_video_whose_name_is_not_utf8_does_not_end_the_process(tiny_models, tmp_path, camera, out, code, message):
    """OpenCV crashes on it, in the middle of a run if it is the output folder's."""
    (tmp_path / os.fsdecode(b"sky\xff.mp4")).write_bytes(b"a video")
    done = run(
        os.fsdecode(camera),
        tiny_models,
        os.fsdecode(out),
        "--max-frames",
        3,
        cwd=tmp_path,
        env={"PYTHONIOENCODING": "utf-8:backslashreplace"},
    )
    assert done.returncode == code and message in done.stderr


def test_min_score_and_max_frames(night, tiny_models, tmp_path):
    """Both options override the values of the bundle and the source."""
    strict = run(
        night, tiny_models, tmp_path / "out", "--json", "--min-score", "1", "--max-frames", "2", "--threads", "2"
    )
    lines = [json.loads(line) for line in strict.stdout.splitlines()]
    assert len(lines) == 2 and not any(line["detections"] for line in lines)


def test_16_bit_images_carry_their_stretch(tmp_path, tiny_models):
    """Without it nobody could reproduce what the detector saw."""
    (tmp_path / "deep.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)[..., 0].astype(np.uint16) * 200))
    for chosen, kind in (("auto", "asinh-noise"), ("percentile", "asinh")):
        done = run(tmp_path / "deep.png", tiny_models, tmp_path / "out", "--json", "--stretch", chosen)
        line = json.loads(done.stdout)
        jsonschema.validate(line, SCHEMA)
        assert line["stretch"]["kind"] == kind and line["detections"]


def test_a_video_gives_an_annotated_video_and_one_event_an_object(tmp_path, tiny_models):
    """Frames of a video follow from each other, so their objects are tracked."""
    path = tmp_path / "night.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for x in range(50, 80, 2):
        writer.write(render([(x, 60, 12)], 160, 120))
    writer.release()
    out = tmp_path / "out"
    assert run(path, tiny_models, out, "--min-score", "0.9").returncode == 0
    capture = cv2.VideoCapture(str(out / "annotated-0001.webm"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 15
    longest = max(frames for (frames,) in rows(out, "SELECT frames FROM event"))
    assert longest >= 3  # the blob is tracked, not counted again in every frame


def test_ctrl_c_ends_cleanly_with_everything_written(tiny_models, tmp_path):
    """The usual way to end a run.

    Exit code 0, and no frame that was printed is missing.
    """
    folder = tmp_path / "long"
    folder.mkdir()
    for number in range(3000):
        (folder / f"{number:04d}.png").write_bytes(encode(render([(30, 30, 8)], 64, 64)) if number == 0 else b"")
        if number:
            (folder / f"{number:04d}.png").unlink()
            os.link(folder / "0000.png", folder / f"{number:04d}.png")
    out = tmp_path / "out"
    command = ["run", "--camera", folder, "--models", tiny_models, "--out", out, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "galaxy_edge", *map(str, command)],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    for _ in range(20):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, errors = rest_of(process)
    assert process.returncode == 0, errors
    assert "stopped on request" in errors and "Traceback" not in errors
    done = 20 + len(rest.splitlines())
    assert done < 3000
    assert rows(out, "SELECT frames FROM run WHERE ended IS NOT NULL") == [(done,)]
    assert len((out / "frames-0001.jsonl").read_text().splitlines()) == done
    assert (out / "sheet-0001.jpg").exists() and rows(out, "PRAGMA integrity_check") == [("ok",)]


def test_a_reader_that_closes_the_pipe_is_not_an_error(night, tiny_models, tmp_path):
    """Commands such as ``head`` close the pipe early."""
    command = f"{sys.executable} -m galaxy_edge run --camera demo --models {tiny_models} --out {tmp_path}/out --json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert len(done.stdout.splitlines()) == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize(("camera", "more", "env", "why"), [
    ("night", ["--gate", 5], {}, "the images are not consecutive"),
    ("night", [], {"GALAXY_EDGE_RUN_GATE": "5"}, "the images are not consecutive"),
    ("demo", ["--gate", 5, "--stack", 2], {}, "frames are stacked"),
    ("demo", ["--gate", 5], {}, ""),
    ("night", [], {}, ""),
    ("night", ["--gate", 0], {}, ""),  # nothing is asked for
])  # fmt: skip
def test_a_gate_without_effect_is_reported(night, tiny_models, tmp_path, camera, more, env, why):
    """A user who asks for it should know that it does nothing, and why."""
    done = run(night if camera == "night" else camera, tiny_models, tmp_path / "out", "--max-frames", 2, *more, env=env)
    printed = [line for line in done.stderr.splitlines() if "--gate" in line]
    assert done.returncode == 0 and printed == ([f"galaxy-edge: --gate has no effect: {why}"] if why else [])


def test_a_camera_that_stops_ends_the_run_with_everything_written(tiny_models, tmp_path):
    """What was seen until then is a night's work.

    The exit code comes from the failure that is returned.
    """
    from galaxy_edge.runtime.errors import RunFailure
    from galaxy_edge.runtime.session import RunConfig, Session
    from galaxy_edge.runtime.sources.open_source import open_source

    (tmp_path / "a.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))

    class Failing:
        """A camera that delivers three frames and then none."""

        name, continuous, live, length, bad, reopened = "/dev/video0", True, False, None, 0, 0

        def __iter__(self):
            for _ in range(3):
                yield from open_source(str(tmp_path / "a.png"), lambda _: None)
            raise RunFailure("/dev/video0 stopped delivering after 3 frames")

    config = RunConfig(models=tiny_models, out=tmp_path / "out", video=False)
    stats = Session(config, source=Failing()).run()
    assert "stopped delivering" in str(stats.failure) and stats.frames == 3
    assert rows(tmp_path / "out", "SELECT frames FROM run WHERE ended IS NOT NULL") == [(3,)]
    assert rows(tmp_path / "out", "SELECT count(*) FROM event")[0][0] >= 1
