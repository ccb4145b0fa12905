"""The package as a user installs it.

The wheel, the device install, and the second engine, each in a fresh environment.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("benchmarks", "cli", "devices", "export", "models", "runtime", "sky", "training")


def run(*command, **how):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, **how)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def environment(folder, *what, base=sys.executable):
    """Make a fresh virtual environment with `what` installed; return its Python."""
    run(base, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *what)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def device(wheel, tmp_path_factory):
    """Python of an environment with the device install only."""
    return environment(tmp_path_factory.mktemp("device") / "env", wheel)


def test_the_wheel_holds_every_room_and_every_model(wheel):
    packed = {name.removeprefix("galaxy_edge/") for name in zipfile.ZipFile(wheel).namelist()}
    # Wheelhouses for devices are made of the packages with known hashes.
    expected = {path.name for path in ROOT.glob("*.py")} | {"py.typed", "constraints/device-extras.txt"}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*"):
            # Pages, the results they are written from and kept figures are for readers of the repository.
            page = (path.suffix == ".md" and room == "training") or {"results", "reference"} & set(path.parts)
            page = page or "more_sizes" in path.parts  # a package of its own
            if path.is_file() and "__pycache__" not in path.parts and not page:
                expected.add(path.relative_to(ROOT).as_posix())
    missing = {name for name in expected if name not in packed}
    assert not missing
    surplus = {name for name in packed if ".dist-info/" not in name} - expected
    assert not surplus, "tests or stray files are in the wheel"


def test_the_device_install_runs_without_tensorflow(device, tmp_path):
    listed = {row["name"].lower() for row in json.loads(run(device.parent / "pip", "list", "--format", "json"))}
    assert not listed & {"tensorflow", "keras", "tf-keras", "tf-models-official", "onnx", "matplotlib", "scipy"}
    script = """
import importlib, json, pkgutil, sys, time
begin = time.perf_counter()
import galaxy_edge.runtime.pipeline.threads
took = time.perf_counter() - begin
import galaxy_edge.runtime, galaxy_edge.models, galaxy_edge.devices
names = [m.name for room in (galaxy_edge.runtime, galaxy_edge.models, galaxy_edge.devices)
         for m in pkgutil.walk_packages(room.__path__, room.__name__ + ".", onerror=lambda _: None)]
missing = {}
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing[name] = error.name
print(json.dumps({"modules": names, "missing": missing, "seconds": took, "foreign": sorted(
    m for m in sys.modules if m.split(".")[0] in ("tensorflow", "keras", "official", "onnx", "astropy", "matplotlib"))}))
"""
    report = json.loads(run(device, "-c", script, cwd=tmp_path))
    assert report["foreign"] == []
    extras = {"fastapi", "uvicorn", "starlette", "pydantic", "prometheus_client", "paho", "h11"}  # of [serve], [mqtt]
    assert {name: gone for name, gone in report["missing"].items() if gone.split(".")[0] not in extras} == {}
    assert {name.split(".")[2] for name in report["missing"]} <= {"fleet", "mqtt", "report", "web"}
    assert "galaxy_edge.runtime.pipeline.threads" in report["modules"] and len(report["modules"]) > 20
    size = sum(
        path.stat().st_size for path in device.parent.parent.rglob("*") if path.is_file() and not path.is_symlink()
    )
    print(f"\ndevice install: {size / 1e6:.0f} MB with pip; import of the loop: {report['seconds']:.2f} s")


def test_the_device_install_finds_galaxies_in_the_demo(device, tmp_path):
    command = device.parent / "galaxy-edge"
    lines = run(command, "run", "--camera", "demo", "--json", "--out", "out", cwd=tmp_path).splitlines()
    frames = [json.loads(line) for line in lines]
    assert len(frames) > 50
    assert sum(bool(frame["detections"]) for frame in frames) > len(frames) / 2
    assert (tmp_path / "out" / "sheet-0001.jpg").stat().st_size > 10_000


def test_the_device_install_says_which_extra_is_missing(device, tmp_path):
    command = device.parent / "galaxy-edge"
    (tmp_path / "data").mkdir()
    for arguments, extra in (
        (["train", "classifier", "--data", "data", "--out", "x"], "[train]"),
        (["train", "detector", "--data", "data", "--out", "x"], "[detector]"),
        (["export", "--int8", "x"], "[export]"),
        (["run", "--camera", "demo", "--serve", "0"], "[serve]"),
        (["run", "--camera", "demo", "--mqtt", "mqtt://localhost"], "[mqtt]"),
        (["run", "--camera", "demo", "--notify", "json://localhost"], "[notify]"),
    ):
        done = subprocess.run([command, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2 and extra in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "m31.fits").write_bytes(b"SIMPLE  =                    T")
    done = subprocess.run([command, "run", "--camera", "m31.fits"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "galaxy-edge[fits]" in done.stderr


def interpreter(version):
    """Find a Python of a version: on PATH, or among those of pyenv.

    None if there is none that runs.
    """
    paths = [shutil.which(f"python{version}"), *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python3"))]
    for path in filter(None, paths):
        if subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_device_install_runs_on_later_pythons(wheel, tmp_path, version):
    base = interpreter(version)
    if base is None or sys.version_info[:2] != (3, 11):
        pytest.skip(f"needs Python {version} in addition to the 3.11 that runs this")
    command = environment(tmp_path / "env", wheel, base=base).parent / "galaxy-edge"
    lines = run(command, "run", "--camera", "demo", "--json", "--max-frames", "40", cwd=tmp_path).splitlines()
    assert any(json.loads(line)["detections"] for line in lines)


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="tflite-runtime has wheels up to Python 3.11 only")
def test_tflite_runtime_is_a_second_engine(wheel, tmp_path):
    python = environment(tmp_path / "env", f"{wheel}[tflite-runtime]")
    command = python.parent / "galaxy-edge"
    output = run(
        command,
        "run",
        "--camera",
        "demo",
        "--engine",
        "tflite-runtime",
        "--out",
        "out",
        "--json",
        "--max-frames",
        "40",
        cwd=tmp_path,
    )
    assert any(json.loads(line)["detections"] for line in output.splitlines())
    result = json.loads(run(command, "bench", "--rounds", "2", "--json", cwd=tmp_path))
    assert {row["engine"] for row in result["results"]} == {"litert", "tflite-runtime"}
    assert {row["threads"] for row in result["results"]} == {1, 2}
    assert {row["bundle"] for row in result["results"]} == {"galaxy-detector", "galaxy-classifier"}


def test_make_demo_in_a_fresh_clone(tmp_path):
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", ROOT, clone)
    environ = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")}
    output = run("make", "demo", cwd=clone, env=environ)
    out = clone / "galaxy-edge-out"
    for name in ("events.sqlite", "frames-0001.jsonl", "sheet-0001.jpg", "annotated-0001.webm"):
        assert (out / name).stat().st_size > 0 and name in output
    assert "galaxies" in output
    assert list((out / "crops" / "0001").glob("*.png"))
    output = run("make", "install", f"PREFIX={tmp_path / 'local'}", cwd=clone, env=environ)
    assert "is not on your PATH yet" in output and str(tmp_path / "local" / "bin") in output
    assert run(tmp_path / "local" / "bin" / "galaxy-edge", "-V", cwd=tmp_path).startswith("galaxy-edge, version")
    listed = run(tmp_path / "local" / "bin" / "galaxy-edge", "models", "list", cwd=tmp_path)
    assert "nano: in " in listed and "base: in " in listed and "not installed" not in listed
