"""`galaxy-edge run`, as a process: what it writes, what it prints, how it ends."""

import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import zlib

import cv2
import jsonschema
import numpy as np
import pytest
from helpers.command_line import galaxy_edge as command_line
from helpers.images import encode, render
from helpers.schema import FRAME_SCHEMA as SCHEMA


@pytest.fixture
def night(tmp_path):
    """Three pictures: one blob, none, and two."""
    folder = tmp_path / "night"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    (folder / "b.png").write_bytes(encode(render([], 160, 120)))
    (folder / "c.png").write_bytes(encode(render([(30, 30, 10), (120, 80, 10)], 160, 120)))
    return folder


def run(camera, models, out, *more, **how):
    return command_line("run", "--camera", camera, "--models", models, "--out", out, *more, **how)


def rows(out, query):
    with sqlite3.connect(out / "events.sqlite") as base:
        return base.execute(query).fetchall()


def test_json_lines_keep_the_contract(night, tiny_models, tmp_path):
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


def test_everything_is_left_behind(night, tiny_models, tmp_path):
    out = tmp_path / "out"
    done = run(night, tiny_models, out)
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
    assert "frames a second" in done.stdout and "peak memory" in done.stdout
    assert str(out / "events.sqlite") in done.stdout.replace("\n", "")


def test_a_second_run_overwrites_nothing(night, tiny_models, tmp_path):
    out = tmp_path / "out"
    run(night, tiny_models, out)
    first = (out / "frames-0001.jsonl").read_text()
    assert run(night / "a.png", tiny_models, out).returncode == 0
    assert (out / "frames-0001.jsonl").read_text() == first
    assert len((out / "frames-0002.jsonl").read_text().splitlines()) == 1
    assert rows(out, "SELECT id, frames FROM run") == [(1, 3), (2, 1)]


def test_a_bad_picture_is_reported_counted_and_skipped(night, tiny_models, tmp_path):
    (night / "aa.jpg").write_bytes(encode(render([], 64, 64), ".jpg")[:-50])
    done = run(night, tiny_models, tmp_path / "out", "--json")
    assert done.returncode == 0
    assert "skipped aa.jpg: the JPEG is truncated" in done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert rows(tmp_path / "out", "SELECT bad_pictures FROM run") == [(1,)]


def test_a_name_that_is_no_text_is_told_as_text(night, tiny_models, tmp_path):
    """Names from other systems: one of them ended all writing, with a traceback, and the run said that all was well."""
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
    (b"demo", b"out\xff", 0, r"out\xff/annotated-0001.mp4 cannot be written"),
])  # fmt: skip
def test_a_video_whose_name_is_no_text_does_not_end_the_process(tiny_models, tmp_path, camera, out, code, message):
    """OpenCV crashed over it, in the middle of a run where it was the output folder's."""
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
    strict = run(
        night, tiny_models, tmp_path / "out", "--json", "--min-score", "1", "--max-frames", "2", "--threads", "2"
    )
    lines = [json.loads(line) for line in strict.stdout.splitlines()]
    assert len(lines) == 2 and not any(line["detections"] for line in lines)


def test_16_bit_pictures_carry_their_stretch(tmp_path, tiny_models):
    (tmp_path / "deep.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)[..., 0].astype(np.uint16) * 200))
    line = json.loads(run(tmp_path / "deep.png", tiny_models, tmp_path / "out", "--json").stdout)
    jsonschema.validate(line, SCHEMA)
    assert line["stretch"]["kind"] == "asinh" and line["detections"]


def test_video_gives_an_annotated_video_and_one_event_an_object(tmp_path, tiny_models):
    path = tmp_path / "night.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
    for x in range(50, 80, 2):
        writer.write(render([(x, 60, 12)], 160, 120))
    writer.release()
    out = tmp_path / "out"
    assert run(path, tiny_models, out, "--min-score", "0.9").returncode == 0
    capture = cv2.VideoCapture(str(out / "annotated-0001.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 15
    longest = max(frames for (frames,) in rows(out, "SELECT frames FROM event"))
    assert longest >= 3  # the blob is followed, not counted anew in every frame


def test_ctrl_c_ends_cleanly_with_everything_written(tiny_models, tmp_path):
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
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "stopped on request" in errors and "Traceback" not in errors
    done = 20 + len(rest.splitlines())
    assert done < 3000
    assert rows(out, "SELECT frames FROM run WHERE ended IS NOT NULL") == [(done,)]
    assert len((out / "frames-0001.jsonl").read_text().splitlines()) == done
    assert (out / "sheet-0001.jpg").exists() and rows(out, "PRAGMA integrity_check") == [("ok",)]


def test_reader_that_has_had_enough_is_no_error(night, tiny_models, tmp_path):
    command = f"{sys.executable} -m galaxy_edge run --camera demo --models {tiny_models} --out {tmp_path}/out --json | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert len(done.stdout.splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_thread_that_fails_is_told_of_in_a_line(tiny_models, tmp_path):
    program = (
        "import sys; from galaxy_edge.cli.main import main; from galaxy_edge.runtime.recording.frame_log import FrameLog; "
        "FrameLog.write = lambda *_: 1 / 0; main()"
    )
    command = [sys.executable, "-c", program, "run", "--camera", "demo", "--models", tiny_models, "--max-frames", "2"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert "unexpected ZeroDivisionError in the thread writer" in done.stderr and "Traceback" not in done.stderr
    # Nobody is to take a night for kept that is not: the exit code says so, and the last line how much is missing.
    assert done.returncode == 1 and len(done.stdout.splitlines()) > 2
    assert done.stderr.splitlines()[-1].startswith("galaxy-edge: output was lost: ")


def test_output_that_the_encoding_cannot_hold_is_escaped_as_json_does(tiny_models, tmp_path):
    """As in a terminal or a service of the C locale. A sign beyond 16 bits is two escapes in JSON."""
    for name in ("é.png", "\N{MILKY WAY}.png"):
        (tmp_path / name).write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    ascii_only, out = {"PYTHONIOENCODING": "ascii"}, tmp_path / "out"
    done = run(tmp_path, tiny_models, out, "--json", env=ascii_only)
    assert done.returncode == 0 and done.stdout.isascii(), done.stderr
    assert [json.loads(line)["source"] for line in done.stdout.splitlines()] == ["é.png", "\N{MILKY WAY}.png"]
    assert [json.loads(line)["source"] for line in (out / "frames-0001.jsonl").read_text().splitlines()] == [
        "é.png",
        "\N{MILKY WAY}.png",
    ]
    done = command_line("events", "list", "--in", out, "--format", "csv", env=ascii_only)
    assert done.returncode == 0 and "\\u00e9.png" in done.stdout, done.stderr
    done = run(tmp_path / "é.png", tiny_models, tmp_path / "é", env=ascii_only)
    assert done.returncode == 0 and "/\\u00e9/events.sqlite" in done.stdout, done.stderr


def test_what_was_lost_is_told_where_the_run_is_interrupted_too(tiny_models, tmp_path):
    program = (
        "import signal; from galaxy_edge.cli.main import main; from galaxy_edge.runtime.recording.frame_log import FrameLog; "
        "from galaxy_edge.runtime.monitoring.progress_line import StatusLine; FrameLog.write = lambda *_: 1 / 0; "
        "StatusLine.update = lambda *_: signal.default_int_handler(2, None); main()"
    )
    command = [sys.executable, "-c", program, "run", "--camera", "demo", "--models", tiny_models]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "galaxy-edge: interrupted"
    assert done.stderr.count("galaxy-edge: output was lost: ") == 1


@pytest.mark.parametrize(("camera", "more", "env", "why"), [
    ("night", ["--gate", 5], {}, "the images do not follow from each other"),
    ("night", [], {"GALAXY_EDGE_RUN_GATE": "5"}, "the images do not follow from each other"),
    ("demo", ["--gate", 5, "--stack", 2], {}, "frames are stacked"),
    ("demo", ["--gate", 5], {}, ""),
    ("night", [], {}, ""),
    ("night", ["--gate", 0], {}, ""),  # nothing is asked for
])  # fmt: skip
def test_a_gate_that_does_nothing_says_so(night, tiny_models, tmp_path, camera, more, env, why):
    done = run(night if camera == "night" else camera, tiny_models, tmp_path / "out", "--max-frames", 2, *more, env=env)
    told = [line for line in done.stderr.splitlines() if "--gate" in line]
    assert done.returncode == 0 and told == ([f"galaxy-edge: --gate has no effect: {why}"] if why else [])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_error(tiny_models, tmp_path, closed):
    command = f"{sys.executable} -m galaxy_edge run --camera demo --models {tiny_models} --out {tmp_path}/out --max-frames 3 --json"
    done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out" / "frames-0001.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--camera", "nothing"], 2, "'nothing' does not exist"),
        (["--camera", "97"], 2, "there is no camera /dev/video97"),
        (["--camera", "demo", "--min-score", "2"], 2, "--min-score"),
        (["--camera", "demo", "--threads", "0"], 2, "--threads"),
        (["--camera", "demo", "--min-score", "nan"], 2, "--min-score"),  # nothing is below it, and nothing above
        (["--camera", "demo", "--gate", "nan"], 2, "--gate"),
        (["--camera", "demo", "--gate", "1e30"], 2, "--gate"),  # longer than a time can be
        (["--camera", "demo", "--stale-after", "inf"], 2, "--stale-after"),
        (["--camera", "demo", "--mqtt-every", "nan"], 2, "--mqtt-every"),
        (["--camera", "demo", "--max-frames", "9" * 20], 2, "--max-frames"),
        (["--camera", "demo", "--mqtt", "mqtt://localhost", "--mqtt-prefix", ""], 2, "--mqtt-prefix is empty"),
        (["--camera", "demo", "--colour"], 2, "No such option"),
        (["--camera", "demo", "--device", "raspberry-pi-6"], 2, "raspberry-pi-6"),
        (["--camera", "demo", "--out", "/proc/nowhere"], 2, "output folder '/proc/nowhere' cannot be"),
        (["--camera", "demo", "--models", "/nowhere"], 2, "--models /nowhere does not exist"),
        ([], 2, "--camera"),
    ],
)
def test_wrong_use_gets_one_clear_line(tiny_models, tmp_path, arguments, code, message):
    more = [] if "--models" in arguments else ["--models", tiny_models]
    more += [] if "--out" in arguments else ["--out", tmp_path / "out"]
    done = command_line("run", *arguments, *more, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "frames-0001.jsonl").exists()


@pytest.mark.parametrize("wrong", [["--camera", "nothing"], ["--camera", "demo", "--out", "/proc/nowhere"]])
def test_a_run_that_cannot_begin_leaves_the_trace_of_the_last_one(tiny_models, tmp_path, wrong):
    (tmp_path / "trace.json").write_text("[]")
    command = ["run", *wrong, "--models", tiny_models, "--profile"]
    assert command_line(*command, "trace.json", cwd=tmp_path).returncode == 2
    assert (tmp_path / "trace.json").read_text() == "[]"
    assert command_line("run", "--camera", "nothing", "--profile", "new.json", cwd=tmp_path).returncode == 2
    assert not (tmp_path / "new.json").exists()


def spoil_file(detector):
    (detector / "int8.tflite").unlink()


def spoil_byte(detector):
    content = bytearray((detector / "int8.tflite").read_bytes())
    content[100] ^= 1
    (detector / "int8.tflite").write_bytes(content)


def spoil_key(detector):
    manifest = detector / "bundle.toml"
    manifest.write_text(manifest.read_text().replace("fill = 0", "fill = 0\nfilling = 1"))


def spoil_task(detector):
    shutil.rmtree(detector)
    shutil.copytree(detector.parent / "galaxy-classifier", detector)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_file, "lacks the file int8.tflite"),
        (spoil_byte, "int8.tflite was changed"),
        (spoil_key, "unknown key 'filling'"),
        (spoil_task, "task 'classify', where 'detect' is wanted"),
    ],
)
def test_wrong_models_get_one_clear_line(night, tiny_models, tmp_path, spoil, message):
    models = shutil.copytree(tiny_models, tmp_path / "models")
    spoil(models / "galaxy-detector")
    done = run(night, models, tmp_path / "out")
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and str(models / "galaxy-detector") in done.stderr


@pytest.mark.parametrize("size", [(1, 1), (40000, 40000)])
def test_absurd_sizes_get_one_clear_line(tiny_models, tmp_path, size):
    body = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "x.png").write_bytes(content + b"\0\0\0\0IEND\xaeB`\x82")
    done = run(tmp_path / "x.png", tiny_models, tmp_path / "out")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"x.png: {size[0]}x{size[1]} pixels is too" in done.stderr


def test_a_camera_that_stops_ends_the_run_with_everything_written(tiny_models, tmp_path):
    """What was seen until then is a night's work; the exit code comes from the failure that is returned."""
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


def test_an_output_folder_in_the_place_of_a_file(night, tiny_models, tmp_path):
    (tmp_path / "out").write_text("a file")
    done = run(night, tiny_models, tmp_path / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_an_event_file_that_is_none_is_set_aside_and_named(night, tiny_models, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "events.sqlite").write_bytes(b"my diary, not a database" * 100)
    done = run(night, tiny_models, tmp_path / "out")
    (aside,) = (tmp_path / "out").glob("events-unreadable-*")
    assert done.returncode == 0 and str(aside) in done.stderr and aside.read_bytes().startswith(b"my diary")
    assert rows(tmp_path / "out", "SELECT count(*) > 0 FROM event") == [(1,)]


def test_show_without_a_display_says_so(night, tiny_models, tmp_path):
    done = run(night, tiny_models, tmp_path / "out", "--show", env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert done.returncode == 2 and "needs a display" in done.stderr


def test_a_trace_does_not_take_the_place_of_its_source(tmp_path, tiny_models):
    (tmp_path / "sky.png").write_bytes(encode(render([(40, 30, 6)], 80, 60)))
    before = (tmp_path / "sky.png").read_bytes()
    done = command_line(
        "run", "--camera", "sky.png", "--models", tiny_models, "--profile", tmp_path / "sky.png", cwd=tmp_path
    )
    assert done.returncode == 2 and "would replace the source 'sky.png'" in done.stderr
    assert (tmp_path / "sky.png").read_bytes() == before
