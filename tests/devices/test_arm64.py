"""The device install on 64-bit Arm, under emulation.

Raspberry Pi OS has this Python and these wheels.

Emulation shows what is computed, not how fast.
"""

import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from galaxy_edge.benchmarks.performance.instructions import count
from helpers.command_line import galaxy_edge as command_line
from helpers.paths import ROOT

pytestmark = [pytest.mark.lab, pytest.mark.slow]

EXTRACT = ("mmdebstrap", "--variant=extract", "--mode=root")
REFERENCE = ROOT / "benchmarks/reference/instructions.json"
PLATFORMS = ("manylinux_2_17", "manylinux2014", "manylinux_2_27", "manylinux_2_28")
GOLDEN = """
import json, platform
import numpy as np
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from galaxy_edge.runtime.inference.load import load_engine
same = {}
for name in ("galaxy-detector", "galaxy-classifier"):
    bundle = Bundle.load(shipped_bundle_path(name))
    golden, engine = bundle.golden(), load_engine(bundle, "int8")
    outputs = [engine(image[None]) for image in golden["inputs"]]
    same[name] = all(np.array_equal(raw[key].values, golden[f"int8.{key}"][number])
                     for number, raw in enumerate(outputs) for key in raw)
print(json.dumps({"machine": platform.machine(), "same": same}))
"""


def call(*command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def install(site, *what):
    """Install packages for Python 3.11 on arm64."""
    call(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", site,
        "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11",
        "--abi", "cp311", "--abi", "abi3", "--abi", "none",
        *(flag for name in PLATFORMS for flag in ("--platform", f"{name}_aarch64")), *what,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a system for arm64 in ``root``."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap, to fetch a system for arm64 and an emulator")
    folder = tmp_path_factory.mktemp("arm64")
    call(*EXTRACT, "--architectures=arm64", "--include=python3,libgomp1,libstdc++6", "bookworm", folder / "root")
    return folder


@pytest.fixture(scope="module")
def arm64(wheel, folder):
    """A function that runs Python of Debian 12 for arm64 with the device install."""
    # The emulator of Debian 12 is too old for LiteRT; Debian 13's is linked statically and runs anywhere.
    call(*EXTRACT, "--include=qemu-user", "trixie", folder / "emulator")
    install(folder / "root/site", wheel)
    root = folder / "root"
    emulator = [
        folder / "emulator/usr/bin/qemu-aarch64",
        "-cpu",
        "cortex-a72",
        "-E",
        f"PYTHONPATH={root / 'site'}",
        "-L",
        root,
        root / "usr/bin/python3",
    ]

    def python(*arguments):
        return subprocess.run(
            [*map(str, emulator), *map(str, arguments)], capture_output=True, text=True, timeout=600, cwd=folder
        )

    return python


def test_golden_vectors_of_the_shipped_models_are_reproduced_exactly_on_arm64(arm64):
    """The int8 models compute the same on another processor, bit for bit."""
    done = arm64("-c", GOLDEN)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == {"machine": "aarch64", "same": {"galaxy-detector": True, "galaxy-classifier": True}}


def test_demo_gives_the_same_detections_on_arm64_as_here(arm64, tmp_path):
    """The whole command: classes are equal, boxes and scores within rounding."""
    arguments = ["run", "--camera", "demo", "--json", "--max-frames", "6", "--out"]
    there = arm64("-m", "galaxy_edge", *arguments, tmp_path / "there")
    assert there.returncode == 0, there.stderr
    here = command_line(*arguments, tmp_path / "here")
    pairs = list(zip(there.stdout.splitlines(), here.stdout.splitlines(), strict=True))
    assert len(pairs) == 6
    for emulated, native in (map(json.loads, pair) for pair in pairs):
        assert [d["class"] for d in emulated["detections"]] == [d["class"] for d in native["detections"]]
        for first, second in zip(emulated["detections"], native["detections"], strict=True):
            assert first["box"] == pytest.approx(second["box"], abs=0.02)
            assert first["score"] == pytest.approx(second["score"], abs=1e-4)


@pytest.mark.parametrize("cpu", ["cortex-a72", "cortex-a76"])
def test_a_frame_takes_no_more_instructions_than_before(counting, cpu):
    """Each network, and each stage of a raw frame, within 3 % of the reference.

    Stages of less than 3 million instructions vary with the interpreter's work; they may take a tenth of a million more.
    """
    frame, qemu, folder = counting
    before = json.loads(REFERENCE.read_text())[cpu]
    now = count(frame, qemu, folder / "root", cpu, folder / "counted")
    assert now.keys() == before.keys()
    more = {name: (before[name], now[name]) for name in now if now[name] > max(1.03 * before[name], before[name] + 0.1)}
    assert not more, "run python -m galaxy_edge.benchmarks.performance.instructions if this is intended"


@pytest.fixture(scope="module")
def counting(folder, shared_data, tmp_path_factory):
    """Frame, emulator with plug-ins, and folder whose ``counted`` has the packages."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc, to build the plug-in that counts")
    reference = json.loads(REFERENCE.read_text())
    # The emulator of Debian 12 has plug-ins; LiteRT 2.1 runs in it.
    call(*EXTRACT, "--include=qemu-user", "bookworm", folder / "counter")
    install(folder / "counted", *(f"{name}=={version}" for name, version in reference["packages"].items()))
    (folder / "counted/galaxy_edge").symlink_to(ROOT)
    path = tmp_path_factory.mktemp("frame") / reference["frame"]
    with zipfile.ZipFile(shared_data / "seestar_subs/m94_night1.zip") as archive:
        path.write_bytes(archive.read(next(name for name in archive.namelist() if name.endswith(path.name))))
    return path, folder / "counter/usr/bin/qemu-aarch64", folder
