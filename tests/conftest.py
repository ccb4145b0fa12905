"""Fixtures for all tests: labelled sets, rendered images, and small runs.

The labelled sets are used where they are; images are rendered here; the small runs stand for trained ones.
"""

import fcntl
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.images import render
from helpers.labelled_sets import make_labelled, make_sets
from helpers.paths import HELPERS, ROOT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first, so that no worker ends with a slow one.

    Coverage is measured by the tests of the rooms that it is measured of: elsewhere it would take time only.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        room = item.path.relative_to(ROOT / "tests").parts[0]
        if room not in ("runtime", "models", "export", "devices", "sky"):
            item.add_marker("no_cover")


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that `make` has filled, once for all workers of a parallel run.

    Tests must not change it.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(folder := factory.mktemp(name))
        return folder
    shared = factory.getbasetemp().parent / f"shared-{name}"
    with open(shared.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            make(folder := factory.mktemp(name))
            folder.rename(shared)
    return shared


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests cache out of the user's own cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def package_log() -> Iterator[None]:
    """Let `caplog` see the package's messages from level info on.

    This holds whatever a test does to the logger.

    ``assert "the disk is full" in caplog.text``, or ``caplog.messages`` for the exact texts in their order, or
    ``[record.levelname for record in caplog.records]``. What the command line prints of them is
    ``galaxy-edge: MESSAGE`` on stderr; it also stops propagation, which is undone here.
    """
    logger = logging.getLogger("galaxy_edge")
    logger.propagate = True
    logger.setLevel(logging.INFO)
    yield
    for handler in [handler for handler in logger.handlers if type(handler).__name__ == "StderrHandler"]:
        logger.removeHandler(handler)
    logger.propagate = True


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled sets; a test that needs it says so when it is skipped."""
    named = os.environ.get("GALAXY_EDGE_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("needs the labelled image sets: set GALAXY_EDGE_DATA to their folder")
    return Path(named)


@pytest.fixture
def galaxy() -> np.ndarray:
    """A rendered sky, (120, 160, 3) uint8 RGB.

    One bright blob at x 60, y 40, of about 20 pixels.
    """
    return render([(60, 40, 10)], 160, 120)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    """Render a folder of small data sets, enough to train both networks briefly.

    Each class has enough images that a split by content leaves none out of a part.
    """
    return make_once(tmp_path_factory, "data", lambda folder: make_labelled(make_sets(folder), copies=60))


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory) -> Path:
    """Make a folder with finished runs of networks that can be checked by hand.

    The runs are ``detector``, ``classifier``, ``fragile`` and ``wide``.

    The detector scores each 8x8 cell of a 64x64 input by its brightness; the classifier looks at mean levels only;
    the fragile one does so through a layer that int8 cannot hold, the wide one through one that 16 bits can.
    """
    pytest.importorskip("tensorflow", reason="needs TensorFlow (the export extra) to make small networks")

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, str(HELPERS / "tiny_runs.py"), str(folder)], check=True, timeout=300)

    return make_once(tmp_path_factory, "runs", make)


@pytest.fixture(scope="session")
def tiny_models(tiny_runs, tmp_path_factory) -> Path:
    """A models folder with the bundles of `tiny_runs`."""
    from galaxy_edge.export.bundle import export_run

    def make(models: Path) -> None:
        for run, name in (("detector", "galaxy-detector"), ("classifier", "galaxy-classifier")):
            made = export_run(tiny_runs / run, models / name)
            assert made.passed, json.dumps([gate.__dict__ for gate in made.gates])

    return make_once(tmp_path_factory, "models", make)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The package, built as it would be published."""

    def make(folder: Path) -> None:
        copy = folder / "source"  # built from a copy: setuptools leaves its build folder next to the sources
        listing = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
        tracked = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
        for name in tracked:
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                (copy / name).write_bytes((ROOT / name).read_bytes())
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, copy]
        subprocess.run(build, capture_output=True, check=True, timeout=300)

    return next(make_once(tmp_path_factory, "wheel", make).glob("*.whl"))
