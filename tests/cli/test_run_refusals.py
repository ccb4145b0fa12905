"""Invalid input of `galaxy-edge run`.

A one-line message each, and existing files stay unchanged.
"""

import shutil
import struct
import zlib

import pytest
from helpers.command_line import galaxy_edge as command_line
from helpers.images import encode, render
from helpers.runs import rows, run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--camera", "nothing"], 2, "'nothing' does not exist"),
        (["--camera", "97"], 2, "/dev/video97 cannot be opened as a camera: it does not exist"),
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
    """Every refusal says what is wrong, before anything is written."""
    more = [] if "--models" in arguments else ["--models", tiny_models]
    more += [] if "--out" in arguments else ["--out", tmp_path / "out"]
    done = command_line("run", *arguments, *more, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "frames-0001.jsonl").exists()


@pytest.mark.parametrize("wrong", [["--camera", "nothing"], ["--camera", "demo", "--out", "/proc/nowhere"]])
def test_a_run_that_cannot_begin_leaves_the_trace_of_the_last_one(tiny_models, tmp_path, wrong):
    """A typing error must not delete a measurement."""
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
        (spoil_task, "task 'classify', not 'detect'"),
    ],
)
def test_wrong_models_get_one_clear_line(night, tiny_models, tmp_path, spoil, message):
    """A damaged or wrong bundle is named by its folder."""
    models = shutil.copytree(tiny_models, tmp_path / "models")
    spoil(models / "galaxy-detector")
    done = run(night, models, tmp_path / "out")
    assert done.returncode == 1 and message in done.stderr
    assert len(done.stderr.splitlines()) == 1 and str(models / "galaxy-detector") in done.stderr


@pytest.mark.parametrize("size", [(1, 1), (40000, 40000)])
def test_absurd_sizes_get_one_clear_line(tiny_models, tmp_path, size):
    """The header alone decides, before memory is allocated for the pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "x.png").write_bytes(content + b"\0\0\0\0IEND\xaeB`\x82")
    done = run(tmp_path / "x.png", tiny_models, tmp_path / "out")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"x.png: {size[0]}x{size[1]} pixels is too" in done.stderr


def test_an_output_folder_that_is_a_file_is_refused(night, tiny_models, tmp_path):
    """The folder cannot be created where a file exists."""
    (tmp_path / "out").write_text("a file")
    done = run(night, tiny_models, tmp_path / "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_an_event_file_that_is_not_one_is_renamed_and_named(night, tiny_models, tmp_path):
    """It may be something that the user needs; the run continues with a new file."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "events.sqlite").write_bytes(b"my diary, not a database" * 100)
    done = run(night, tiny_models, tmp_path / "out")
    (aside,) = (tmp_path / "out").glob("events-unreadable-*")
    assert done.returncode == 0 and str(aside) in done.stderr and aside.read_bytes().startswith(b"my diary")
    assert rows(tmp_path / "out", "SELECT count(*) > 0 FROM event") == [(1,)]


def test_show_without_a_display_says_so(night, tiny_models, tmp_path):
    """The error comes before the run, e.g. over ssh."""
    done = run(night, tiny_models, tmp_path / "out", "--show", env={"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert done.returncode == 2 and "needs a display" in done.stderr


def test_a_trace_does_not_replace_its_source(tmp_path, tiny_models):
    """A mixed-up argument must not destroy an image."""
    (tmp_path / "sky.png").write_bytes(encode(render([(40, 30, 6)], 80, 60)))
    before = (tmp_path / "sky.png").read_bytes()
    done = command_line(
        "run", "--camera", "sky.png", "--models", tiny_models, "--profile", tmp_path / "sky.png", cwd=tmp_path
    )
    assert done.returncode == 2 and "would replace the source 'sky.png'" in done.stderr
    assert (tmp_path / "sky.png").read_bytes() == before
