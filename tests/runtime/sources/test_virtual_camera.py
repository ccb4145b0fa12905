"""Check a V4L2 camera of the kernel in a virtual machine.

By name, by number, in 10 to 16 bits, and unplugged.
"""

import json
import os
import re
import sys

import jsonschema
import pytest
from helpers import virtual_machine
from helpers.schema import FRAME_SCHEMA as SCHEMA

SCRIPT = """
export PYTHONPATH={path}
echo 1 > /proc/sys/kernel/printk  # the kernel writes to the same console
cat > /run/camera.py <<'END'
{program}
END
{python} /run/camera.py {models} 2>/run/error; cat /run/error
echo "--- lost"
( while [ ! -s /run/lines ]; do sleep 0.2; done; sleep 1; echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
  wc -l < /run/lines > /run/before; sleep 3; echo vivid.0 > /sys/bus/platform/drivers/vivid/bind
  while ! grep -q "is back" /run/error || [ $(wc -l < /run/lines) -lt $(($(cat /run/before) + 12)) ]; do sleep 0.2; done
  kill -TERM $(cat /run/pid) ) &
{python} -m galaxy_edge run --models {models} --json --camera 0 --out /run/b > /run/lines 2>/run/error & echo $! > /run/pid; wait $!; echo "code $?"
echo "lines $(wc -l < /run/lines)"; grep galaxy-edge: /run/error
{python} -c "import sqlite3; print('frames', sqlite3.connect('/run/b/events.sqlite').execute('SELECT frames FROM run WHERE ended IS NOT NULL').fetchone()[0])"
echo "--- number"; head -n 2 /run/lines
"""

# A process takes many seconds to start in the emulator: one runs all commands that end by themselves.
# The kernel's camera offers every format, and colour is preferred.
PROGRAM = """
import contextlib, json, sys
from click.testing import CliRunner
from galaxy_edge.cli.devices import devices
from galaxy_edge.cli.main import main
from galaxy_edge.errors import UsageError
from galaxy_edge.runtime.sources.open_source import open_source
def first(options):
    frames = iter(open_source("0?" + options))
    frame = next(frames)
    frames.close()
    return frame
def run(folder, *options):
    sys.argv = ["galaxy-edge", "run", "--models", models, "--json", "--out", f"/run/{folder}", *options]
    code = 0
    with open("/run/messages", "w+") as messages:
        with contextlib.redirect_stderr(messages):
            try:
                main()
            except SystemExit as exit:
                code = exit.code or 0
        messages.seek(0)
        print("code", code, messages.read(), flush=True)
if __name__ == "__main__":  # a model is first loaded in a process of its own, which imports this
    models = sys.argv[1]
    print("--- name", flush=True)
    run("a", "--camera", "/dev/video0", "--max-frames", "3")
    print("--- none", flush=True)
    run("a", "--camera", "1")
    print("--- deep", flush=True)
    for name in ("GREY", "Y10", "Y12", "Y16", "Y16-BE", "BA81", "RG12", "GB16"):
        frame = first(f"format={name}&size=640x480")
        values = frame.pixels[..., 0] if frame.raw is None else frame.raw
        kind, row, largest = str(values.dtype), values[10, ::20].tolist(), int(values.max())
        print(json.dumps(dict(kind=kind, shape=values.shape, row=row, cfa=frame.cfa, largest=largest)), flush=True)
    print("shape", first("format=YUYV&size=320x180&rate=15&brightness=200").pixels.shape)
    for options in ("gain=999", "size=99x99", "format=pRAA", "rate=77"):
        try:
            first(options)
        except UsageError as error:
            print("refused:", error)
    print(CliRunner().invoke(devices).output, flush=True)
    run("c", "--camera", "0?format=Y16&size=640x480&gain=9", "--max-frames", "2")
"""

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.fixture(scope="module")
def sections(tiny_models, tmp_path_factory):
    missing = virtual_machine.missing()
    if missing:
        pytest.skip(f"needs {', '.join(missing)} for a virtual machine with a camera")
    folder = tmp_path_factory.mktemp("machine")
    path = os.environ.get("PYTHONPATH", "")
    script = SCRIPT.format(python=sys.executable, models=tiny_models, path=path, program=PROGRAM)
    output = virtual_machine.run(virtual_machine.kernel(folder), folder, script)
    return dict(zip(*[iter(re.split(r"^--- (\w+)\n", output, flags=re.M)[1:])] * 2, strict=True))


@pytest.mark.parametrize(("section", "frames"), [("name", 3), ("number", 2)])
def test_frames_of_a_camera_are_read(sections, section, frames):
    lines = [json.loads(line) for line in sections[section].splitlines() if line.startswith("{")]
    end = sections["lost" if section == "number" else section]  # the run that the lines of "number" are from
    assert len(lines) == frames and "code 0" in end, end
    for line in lines:
        jsonschema.validate(line, SCHEMA)
        assert line["source"] == "/dev/video0" and line["width"] >= 320


def test_error_for_a_missing_camera_lists_the_cameras_there_are(sections):
    assert (
        "/dev/video1 cannot be opened as a camera: it does not exist; there are /dev/video0" in sections["none"]
        and "code 2" in sections["none"]
    )


def test_grey_of_10_12_and_16_bits_keeps_all_bits(sections):
    lines = [json.loads(line) for line in sections["deep"].splitlines() if line.startswith("{")]
    grey, *raw_formats = lines[:8]
    assert grey["kind"] == "uint8" and max(grey["row"]) > 100
    for line, bits in zip(raw_formats, (10, 12, 16, 16, 8, 12, 16), strict=True):
        assert line["kind"] == "uint16" and line["shape"] == [480, 640]
        assert 2**bits > line["largest"] > 2 ** (bits - 1)
    for line, bits in zip(raw_formats[:4], (10, 12, 16, 16), strict=True):
        assert line["row"] == [value << bits - 8 for value in grey["row"]]  # the driver draws 8 bits, and moves them up
    assert [line["cfa"] for line in raw_formats] == [None] * 4 + ["BGGR", "RGGB", "GBRG"]
    for line in lines[8:]:
        jsonschema.validate(line, SCHEMA)
        assert line["stretch"]["white"] > 255
    assert len(lines) == 10 and "code 0" in sections["deep"], sections["deep"]


def test_options_set_the_camera_and_are_listed(sections):
    text = sections["deep"]
    assert "shape (180, 320, 3)" in text
    assert "refused: /dev/video0: gain=999 is out of range: 0 to 255" in text
    assert "refused: /dev/video0 has no size 99x99 in format " in text
    assert "refused: /dev/video0 has no format pRAA; it has YUYV, " in text
    assert "refused: /dev/video0 has no rate of 77 frames per second at 640x480; it has 120, 60" in text
    assert re.search(r"/dev/video0: vivid \(vivid\)\n  format=YUYV, .*640x480 at ", text)
    assert "  brightness=0..255, default 128, now 200\n" in text


def test_run_continues_when_a_camera_is_unplugged_and_plugged_in_again(sections):
    assert "code 0" in sections["lost"]
    lines = int(re.search(r"lines (\d+)", sections["lost"])[1])
    read_before = int(re.search(r"/dev/video0 stopped delivering after (\d+) frames", sections["lost"])[1])
    assert read_before >= 1 and "/dev/video0 is back" in sections["lost"]
    assert lines > 12  # the script waits for twelve more than before the loss
    assert f"frames {lines}\n" in sections["lost"]
