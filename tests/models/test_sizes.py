"""Sizes of the networks: where they are looked for, and which one a run uses."""

import logging
import shutil

import galaxy_edge.models.sizes as sizes
import pytest
from galaxy_edge.cli.run import models_folder
from galaxy_edge.devices.profile import ProfileError, load_profile
from galaxy_edge.errors import UsageError
from galaxy_edge.models.bundle import Bundle, shipped_bundle_path
from helpers.command_line import galaxy_edge


def test_the_users_folder_comes_before_the_systems(tmp_path, monkeypatch):
    home, system = tmp_path / "home", tmp_path / "system"
    environment = {"XDG_DATA_HOME": str(home), "XDG_DATA_DIRS": str(system)}
    assert sizes.size_folder("nano", environment) is None
    (system / "galaxy-edge/models/nano").mkdir(parents=True)
    assert sizes.size_folder("nano", environment) == system / "galaxy-edge/models/nano"
    (home / "galaxy-edge/models/nano").mkdir(parents=True)
    assert sizes.size_folder("nano", environment) == home / "galaxy-edge/models/nano"
    assert (sizes.size_folder("small", environment) / "galaxy-detector/bundle.toml").is_file()


def test_a_package_adds_a_size(tmp_path, monkeypatch):
    package = tmp_path / "galaxy_edge_test_networks-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: galaxy-edge-test-networks\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[galaxy_edge.models]\nbase = more_networks:BASE\n")
    (tmp_path / "more_networks.py").write_text(f"BASE = {str(tmp_path)!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert sizes.size_folder("base", {"XDG_DATA_HOME": str(tmp_path)}) == tmp_path
    (tmp_path / "more_networks.py").unlink()
    monkeypatch.delitem(__import__("sys").modules, "more_networks")
    with pytest.raises(UsageError, match="size base in galaxy-edge-test-networks cannot be loaded: No module"):
        sizes.size_folder("base", {"XDG_DATA_HOME": str(tmp_path)})


def test_a_run_takes_the_profiles_size_only_if_it_is_installed(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with caplog.at_level(logging.INFO):
        assert models_folder(None, None, "nano") is None
    assert "size nano, for this device, are not installed: using small" in caplog.text
    with pytest.raises(UsageError, match="size nano are not installed: see galaxy-edge models list"):
        models_folder(None, "nano", "small")
    (folder := tmp_path / "galaxy-edge/models/nano").mkdir(parents=True)
    assert models_folder(None, None, "nano") == folder == models_folder(None, "nano", "small")
    assert models_folder(None, "small", "nano") is None, "the command line comes before the profile"
    assert models_folder(tmp_path, None, "nano") == tmp_path


def test_a_folder_of_networks_has_a_size_of_its_own(tmp_path):
    done = galaxy_edge("run", "--camera", "demo", "--models", tmp_path, "--size", "small")
    assert done.returncode == 2 and "--models and --size exclude each other" in done.stderr


def test_a_profile_with_an_unknown_size_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\ntitle = "Mine"\nmachine = ["aarch64"]\nengine = "litert"\nthreads = 1\nverified = false\n'
        'network = "huge"\n'
    )
    with pytest.raises(ProfileError, match=r"mine\.toml:7: 'network' must be nano, small, base, not 'huge'"):
        load_profile(tmp_path / "mine.toml")
    for size in sizes.SIZES:
        (tmp_path / "mine.toml").write_text(
            (tmp_path / "mine.toml").read_text().rpartition("network")[0] + f'network = "{size}"\n'
        )
        assert load_profile(tmp_path / "mine.toml").network == size
    assert load_profile("raspberry-pi-zero-2w").network == "nano"


def test_a_size_is_installed_complete(tmp_path):
    """Networks that were not given are the package's, also that of raw frames."""
    environment = {"XDG_DATA_HOME": str(tmp_path)}
    mine = Bundle.load(shutil.copytree(shipped_bundle_path("galaxy-classifier"), tmp_path / "mine"))
    for _ in range(2):  # the second replaces the first
        folder = sizes.install("nano", [mine], environment)
        assert folder == sizes.size_folder("nano", environment)
        names = [Bundle.load(path).name for path in sorted(folder.iterdir())]
        assert names == ["galaxy-classifier", "galaxy-detector", "galaxy-detector-raw"]
        assert [path.name for path in folder.parent.iterdir()] == ["nano"], "nothing partial is left"
    shutil.rmtree(folder)
    folder.symlink_to(tmp_path / "nothing")
    assert sizes.install("nano", [mine], environment) == folder == sizes.size_folder("nano", environment)
    with pytest.raises(UsageError, match="a size has at most one bundle each of galaxy-classifier, galaxy-detector"):
        sizes.install("nano", [mine, mine], environment)


@pytest.mark.parametrize("place", ["galaxy-edge/models", "galaxy-edge"])
@pytest.mark.parametrize("target", [None, "nothing/there", "models", "galaxy-edge"])
def test_a_size_cannot_be_installed_over_a_file_or_a_broken_link(tmp_path, place, target):
    """The last two are links to themselves."""
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    if target is None:
        path.touch()
    else:
        path.symlink_to(target)
    with pytest.raises(UsageError, match=r"models cannot be created: .*; its place must be writable"):
        sizes.install("nano", [], {"XDG_DATA_HOME": str(tmp_path)})
