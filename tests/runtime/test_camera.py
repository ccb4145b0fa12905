"""A real V4L2 camera, in a virtual machine: it is read, by name and by number, and its loss is survived."""

import json
import os
import re
import sys

import jsonschema
import pytest
import virtual_machine
from test_run import SCHEMA

SCRIPT = """
export PYTHONPATH={path}
echo 1 > /proc/sys/kernel/printk  # the kernel writes to the same console
run="{python} -m galaxy_edge run --models {models} --json"
echo "--- name"; $run --camera /dev/video0 --max-frames 3 --out /run/a 2>/run/error; echo "code $?"
echo "--- number"; $run --camera 0 --max-frames 2 --out /run/a 2>/run/error; echo "code $?"
echo "--- none"; $run --camera 1 --out /run/a 2>&1; echo "code $?"
echo "--- lost"
( while [ ! -s /run/lines ]; do sleep 0.2; done; sleep 1; echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
  wc -l < /run/lines > /run/before; sleep 3; echo vivid.0 > /sys/bus/platform/drivers/vivid/bind
  while ! grep -q "is back" /run/error || [ $(wc -l < /run/lines) -lt $(($(cat /run/before) + 12)) ]; do sleep 0.2; done
  kill -TERM $(cat /run/pid) ) &
$run --camera 0 --out /run/b > /run/lines 2>/run/error & echo $! > /run/pid; wait $!; echo "code $?"
echo "lines $(wc -l < /run/lines)"; grep galaxy-edge: /run/error
{python} -c "import sqlite3; print('frames', sqlite3.connect('/run/b/events.sqlite').execute('SELECT frames FROM run WHERE ended IS NOT NULL').fetchone()[0])"
"""


@pytest.fixture(scope="module")
def told(tiny_models, tmp_path_factory):
    lacking = virtual_machine.missing()
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)} for a virtual machine with a camera")
    folder = tmp_path_factory.mktemp("machine")
    script = SCRIPT.format(python=sys.executable, models=tiny_models, path=os.environ.get("PYTHONPATH", ""))
    printed = virtual_machine.run(virtual_machine.kernel(folder), folder, script)
    return dict(zip(*[iter(re.split(r"^--- (\w+)\n", printed, flags=re.M)[1:])] * 2, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("how", "frames"), [("name", 3), ("number", 2)])
def test_frames_of_a_camera_are_read(told, how, frames):
    lines = [json.loads(line) for line in told[how].splitlines() if line.startswith("{")]
    assert len(lines) == frames and "code 0" in told[how]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
        assert line["source"] == "/dev/video0" and line["width"] >= 320


@pytest.mark.slow
def test_a_camera_that_is_not_there_says_which_are(told):
    assert "there is no camera /dev/video1; there are /dev/video0" in told["none"] and "code 2" in told["none"]


@pytest.mark.slow
def test_a_camera_that_is_pulled_out_and_put_back_goes_on(told):
    assert "code 0" in told["lost"]
    lines = int(re.search(r"lines (\d+)", told["lost"])[1])
    read = int(re.search(r"/dev/video0 stopped delivering after (\d+) frames", told["lost"])[1])
    assert read >= 1 and "/dev/video0 is back" in told["lost"] and lines > 12  # twelve more than before it was lost
    assert f"frames {lines}\n" in told["lost"]
