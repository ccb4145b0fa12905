"""Each extra is complete by itself.

Only the packages of an extra, with all that they depend on, can be imported in these tests.
"""

import ast
import functools
import json
import os
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from galaxy_edge import extras
from helpers.images import encode, render
from helpers.mosaics import dng_file
from helpers.paths import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOMS = {
    "train": ["augmentation", "classifier", "data", "figures", "formats", "mobilenet", "study"],
    "study": ["augmentation", "classifier", "data", "figures", "formats", "mobilenet", "study"],
    "detector": ["detector", "scenes", "mobilenet"],
}
"""Folders of training/ that an extra must be able to run."""
OPTIONAL = {
    "training/scenes": {"astropy"},
    "training/search": {"tf_keras"},
    "benchmarks/accuracy": {"pyongc"},
}
"""Imports of another extra, for raw frames or a catalogue, whose absence is a message."""
BLOCK = """
import json, os, sys
allowed = set(json.loads(os.environ["ALLOWED_MODULES"]))
class Blocker:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return self.finder.find_spec(name, path, target) if self.allows(name) else None
    def allows(self, name):
        return name.partition(".")[0] in allowed or name.startswith("_sysconfigdata")
sys.meta_path[:] = map(Blocker, sys.meta_path)
from galaxy_edge.cli.main import main
main()
"""


def distributions(extra):
    """Return the names of the packages of an extra and of their dependencies."""
    found, todo = set(), [Requirement(f"galaxy-edge[{extra}]" if extra else "galaxy-edge")]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        wanted = {(name, item) for item in requirement.extras or {""}}
        if wanted <= found:
            continue
        found |= wanted
        try:
            requires = declared(name)
        except metadata.PackageNotFoundError:
            continue
        for line in requires:
            needed = Requirement(line)
            if not needed.marker or any(needed.marker.evaluate({"extra": item}) for item in requirement.extras or {""}):
                todo.append(needed)
    return {name for name, _ in found}


def declared(name):
    """Return the requirements of a package; ours from pyproject.toml."""
    if name != "galaxy-edge":
        return metadata.requires(name) or []
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra, requirements in project["optional-dependencies"].items():
        for line in requirements:
            before, _, marker = line.partition(";")
            lines.append(f'{before}; extra == "{extra}"' + (f" and ({marker})" if marker else ""))
    return lines


packages_distributions = functools.cache(metadata.packages_distributions)


@functools.cache
def modules(extra):
    """Return the top-level modules that can be imported with an extra alone."""
    wanted = distributions(extra)
    return {
        module
        for module, owners in packages_distributions().items()
        if {canonicalize_name(owner) for owner in owners} & wanted
    } | set(sys.stdlib_module_names) | {"galaxy_edge"}  # fmt: skip


def imported(folder):
    """Yield file and top-level module of all imports in a folder."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            yield from ((path.name, name.partition(".")[0]) for name in names)


@pytest.mark.parametrize(
    ("extra", "folders"),
    [(extra, [f"training/{name}" for name in names]) for extra, names in ROOMS.items()]
    + [("study", ["training/search"]), ("export", ["export"]), ("bench", ["benchmarks/accuracy"])]
    + [("serve", ["runtime/web"]), ("mqtt", ["runtime/mqtt"]), ("notify", ["runtime/notify"])],
)
def test_what_a_room_imports_is_in_its_extra(extra, folders):
    if extra == "notify":
        pytest.importorskip("apprise", reason="needs the notify extra")
    known = modules(extra)
    missing = {
        (folder, file, module)
        for folder in folders
        for file, module in imported(folder)
        if module not in known | OPTIONAL.get(folder, set())
    }
    assert not missing


def run_with_only(extra, arguments, folder):
    """Run the command line with the packages of one extra."""
    env = {**os.environ, "ALLOWED_MODULES": json.dumps(sorted(modules(extra)))}
    command = [sys.executable, "-c", BLOCK, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=120)


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("fits", ["run", "--camera", "sky.fits", "--fits"]),
        ("serve", ["run", "--camera", "sky.png", "--serve", "0"]),
        ("mqtt", ["run", "--camera", "sky.png", "--mqtt", "mqtt://127.0.0.1:1"]),
        ("notify", ["run", "--camera", "sky.png", "--notify", "json://127.0.0.1:1"]),
        ("sign", ["bundle", "keygen", "key"]),
        ("raw", ["run", "--camera", "sky.dng"]),
        ("tables", ["events", "export", "night.parquet", "--in", "night"]),
    ],
)
def test_an_extra_is_enough_for_what_it_promises(extra, arguments, tmp_path):
    if extra == "notify":
        pytest.importorskip("apprise", reason="needs the notify extra")
    from astropy.io import fits

    pixels = render([(60, 40, 12)], 160, 120)
    (tmp_path / "sky.png").write_bytes(encode(pixels))
    fits.writeto(tmp_path / "sky.fits", pixels[..., 1].astype(np.float32))
    (tmp_path / "sky.dng").write_bytes(dng_file(pixels[..., 1].astype(np.uint16) * 100))
    if "night" in arguments:
        assert run_with_only("", ["run", "--camera", "sky.png", "--out", "night"], tmp_path).returncode == 0
    done = run_with_only(extra, arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    without = run_with_only("", arguments, tmp_path)
    assert without.returncode != 0 and f"galaxy-edge[{extra}]'" in without.stderr, without.stderr
    assert "unexpected" not in without.stderr


def test_the_baselines_of_eval_detector_need_the_extra_bench_only(tmp_path):
    """`eval detector` ended in "No module named 'sep'"; all of it takes a minute."""
    code = (
        BLOCK[: BLOCK.index("from galaxy_edge")]
        + """
import numpy as np
from galaxy_edge.export.baselines import extended_sources
from galaxy_edge.export.tuned_sep import tuned_sources
from galaxy_edge.models.coco import average_precision
import galaxy_edge.benchmarks.accuracy.evaluate
image = np.zeros((1, 224, 224, 3), np.uint8)
extended_sources(image), tuned_sources(image)
"""
    )
    env = {**os.environ, "ALLOWED_MODULES": json.dumps(sorted(modules("bench")))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr


def test_the_command_fits_the_environment(monkeypatch, tmp_path):
    """Pip of another environment would install an extra where it is not found."""
    monkeypatch.setattr(extras.sys, "prefix", str(tmp_path))
    assert extras.extra_command("fits") == f"{sys.executable} -m pip install 'galaxy-edge[fits]'"
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    assert "uv pip install --python" in extras.extra_command("fits")
    (tmp_path / "pipx_metadata.json").touch()
    assert extras.extra_command("fits") == "pipx inject galaxy-edge 'galaxy-edge[fits]'"


def test_debians_own_python_is_given_debians_packages(monkeypatch, tmp_path):
    monkeypatch.setattr(extras.sys, "prefix", sys.base_prefix)
    monkeypatch.setattr(extras.sysconfig, "get_path", lambda _: str(tmp_path))
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    assert extras.extra_command("fits") == "sudo apt install python3-astropy"
    assert extras.extra_command("raw").startswith("python3 -m venv ~/galaxy-edge-env && ")


def test_every_module_is_of_an_extra_that_exists():
    import tomllib

    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras.EXTRA_OF_MODULE.values()) <= set(known)
    for module, extra in extras.EXTRA_OF_MODULE.items():
        assert module in modules(extra), module
