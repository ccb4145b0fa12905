"""The device install on 64-bit Arm, under emulation.

Raspberry Pi OS has this Python and these wheels.

Emulation shows what is computed, not how fast.
"""

import json
import shutil
import subprocess
import sys

import pytest
from helpers.command_line import galaxy_edge as command_line

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


@pytest.fixture(scope="module")
def arm64(wheel, tmp_path_factory):
    """A function that runs Python of Debian 12 for arm64 with the device install."""
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap, to fetch a system for arm64 and an emulator")
    folder = tmp_path_factory.mktemp("arm64")
    extract = ["mmdebstrap", "--variant=extract", "--mode=root"]
    for command in (
        [*extract, "--architectures=arm64", "--include=python3,libgomp1,libstdc++6", "bookworm", folder / "root"],
        # The emulator of Debian 12 is too old for LiteRT; Debian 13's is linked statically and runs anywhere.
        [*extract, "--include=qemu-user", "trixie", folder / "emulator"],
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            folder / "root/site",
            "--only-binary=:all:",
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
            "--abi",
            "cp311",
            "--abi",
            "abi3",
            "--abi",
            "none",
            *(flag for name in PLATFORMS for flag in ("--platform", f"{name}_aarch64")),
            wheel,
        ],
    ):
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, f"{command}: {done.stderr}"
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


@pytest.mark.slow
def test_golden_vectors_of_the_shipped_models_are_reproduced_exactly_on_arm64(arm64):
    """The int8 models compute the same on another processor, bit for bit."""
    done = arm64("-c", GOLDEN)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == {"machine": "aarch64", "same": {"galaxy-detector": True, "galaxy-classifier": True}}


@pytest.mark.slow
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
