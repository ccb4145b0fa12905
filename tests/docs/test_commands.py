"""Every command in the documents is run by a test, or a reason is given here.

That commands and options exist is checked for all of them, see test_site.py.
"""

import os
import re
import shlex

import pytest
from helpers.command_line import galaxy_edge, galaxy_edge_in_process
from helpers.images import encode, render
from helpers.paths import ROOT

RUN_AS_PAGES = {
    "test_readme.py": ("README.md", "run.md", "live-page.md", "training.md", "benchmarks.md", "report-a-frame.md"),
    "test_export_guide.py": ("export.md",),
    "test_labelling.py": ("labelling.md",),
}
"""Pages whose ``sh`` blocks are run by a test of their own, as they stand."""
RUN_HERE = ("night-report.md", "sky-objects.md", "models.md", "doctor.md", "service.md", "first-night.md")
"""Pages of which each command without a reason in `NOT_RUN` is run here."""
NOT_RUN = {
    r"/dev/video|picamera2": "needs a camera; stand-ins in tests/runtime/sources",
    r"^(sudo )?(make|apt) |deploy\.debian": "installs; tests/test_device_install.py and .ci/run",
    r"^(pip|pipx|uv) ": "needs a network",
    r"^(podman|docker) ": "needs a container engine",
    r" (wheelhouse|deploy) ": "needs devices; tests/devices with an sshd of its own",
    r"fleet watch|--mqtt ": "needs a broker; tests/runtime/fleet and mqtt with mosquitto",
    r"notify test": "needs a service; tests/runtime/notify with stand-ins",
    r"^sudo |service (status|logs|uninstall)|^/opt/galaxy-edge": "changes the system; tests/devices with a systemd of its own",
    r"galaxy-edge view": "serves until it is ended; tests/runtime/report",
    r"galaxy-edge solve": "needs a plate solver; tests/sky",
    r"galaxy-edge simulate|--camera night ": "takes minutes; tests/cli/sky/test_simulate.py with small frames",
    r"FOLDER_OF_FITS|/media/": "names a folder of the user's",
    r"models\.md: galaxy-edge (train|export|models install)": "takes hours; with tiny runs in tests/export",
    r"engine ncnn|galaxy_edge_ncnn": "needs ncnn; tests/runtime/inference",
    r"report-frame (12|1f0c)": "names an event of the user's; tests/cli/test_report_frame.py",
    r"events candidates": "needs nights with a new star; tests/runtime/watch",
    r"_GALAXY_EDGE_COMPLETE": "changes the shell's settings",
    r"--in first-night": "of the night before; the same command is in night-report.md",
}
"""What is not run, by a pattern of ``page: command``, and why."""


def commands(page, kinds=("", "sh")):
    """Return the commands in the code blocks of a page, as they stand."""
    path = ROOT / page if page in ("README.md", "CONTRIBUTING.md") else ROOT / "docs" / page
    blocks = re.findall(r"^ *```(\w*)\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.M | re.S)
    lines = (
        line.strip() for kind, block in blocks if kind in kinds for line in block.replace("\\\n", " ").splitlines()
    )
    start = r"(sudo |\S+=\S+ )?(\S*/)?(galaxy-edge|make|pip|pipx|uv|docker|podman|python|apt) "
    return [line for line in lines if re.match(start, line)]


def reason(page, line):
    return next(
        (pattern for pattern in NOT_RUN if re.search(pattern, line) or re.search(pattern, f"{page}: {line}")), None
    )


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(path.name for path in (ROOT / "docs").glob("*.md"))]
RUN = {line for pages in RUN_AS_PAGES.values() for page in pages for line in commands(page, ("sh",))}
HERE = {line: page for page in RUN_HERE for line in commands(page) if not reason(page, line) and line not in RUN}


def test_every_command_is_run_or_has_a_reason():
    run = RUN | set(HERE)
    left = [
        f"{page}: {line}" for page in PAGES for line in commands(page) if line not in run and not reason(page, line)
    ]
    assert left == [], "run them in a test, or give a reason in NOT_RUN"


def test_the_lists_are_in_use():
    """Pages are in the test that is said to run them; each reason has a command."""
    for test, pages in RUN_AS_PAGES.items():
        text = (ROOT / "tests" / "docs" / test).read_text(encoding="utf-8")
        assert [page for page in pages if page not in text] == []
    used = {reason(page, line) for page in PAGES for line in commands(page)}
    assert sorted(set(NOT_RUN) - used) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with an image and the output of a run, where users have theirs."""
    path = tmp_path_factory.mktemp("night")
    (path / "pictures").mkdir()
    (path / "pictures" / "sky.png").write_bytes(encode(render([(60, 40, 12)], 160, 120)))
    done = galaxy_edge("run", "--camera", "pictures", "--no-report", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize("line", HERE)
def test_a_command_works(folder, line):
    arguments = shlex.split(line)[1:]
    env = {"GALAXY_EDGE_DOCTOR_SECONDS": "0.1", "GALAXY_EDGE_RUN_MAX_FRAMES": "2", "PATH": os.environ["PATH"]}
    how = galaxy_edge if arguments[0] == "run" else galaxy_edge_in_process  # a run starts threads and handles signals
    done = how(*arguments, cwd=folder, env=env)
    # The doctor may find a fault of the machine that the tests run on.
    assert done.returncode in ((0, 1) if arguments[0] == "doctor" else (0,)), f"{line}\n{done.stdout}\n{done.stderr}"


def test_the_training_of_the_shipped_detector_is_that_of_its_commands():
    """The results have its last training only, and refer to this page."""
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    epochs = {}
    for command in re.findall(r"^galaxy-edge train detector .*", text, re.MULTILINE):
        words = shlex.split(command)
        start = words[words.index("--weights") + 1].split("/")[1] if "--weights" in words else None
        name = words[words.index("--out") + 1].removeprefix("runs/")
        before = {"base": "base-detector", "small": "small-detector"}.get(start, start)
        epochs[name] = int(words[words.index("--epochs") + 1]) + epochs.get(before, 0)
        assert start is None or before in epochs
    total = epochs["small-detector"]
    said = f"saw {total} epochs of 1,600 scenes, {total * 1600 / 1e6:.2f} million scenes"
    assert said in re.sub(r"\s+", " ", text)
