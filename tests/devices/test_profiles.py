"""Device profiles and probing, on trees of files like those of a Raspberry Pi and of a PC."""

import dataclasses
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest
from galaxy_edge.devices.engines import ENGINE_NAMES, ENGINES, engines_for
from galaxy_edge.devices.probe import Machine, probe, select_profile
from galaxy_edge.devices.profile import Profile, ProfileError, all_profiles, load_profile
from galaxy_edge.models.manifest import RUNTIMES

GOOD = """\
name = "mine"
title = "My board"
machine = ["aarch64"]
engine = "litert"
threads = 4
verified = false
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


# Profiles


def test_shipped_profiles_are_read_and_named_as_their_files():
    names = [profile.name for profile in all_profiles()]
    assert names == ["desktop-x86", "raspberry-pi-4", "raspberry-pi-5"]
    for name in names:
        profile = load_profile(name)
        assert profile.name == name and profile.engine in ENGINE_NAMES and profile.threads >= 1 and profile.title


def test_every_engine_runs_a_kind_of_file_that_a_bundle_can_hold():
    """The table of engines lies apart from the manifest's list of runtimes, so that neither must import the other."""
    assert {info.runtime for info in ENGINES.values()} == set(RUNTIMES) - {"edgetpu"}
    assert engines_for("tflite") == ("litert", "tflite-runtime") and engines_for("edgetpu") == ()


@pytest.mark.parametrize("name", ["raspberry-pi-4", "raspberry-pi-5"])
def test_boards_nobody_has_run_it_on_say_so(name):
    profile = load_profile(name)
    assert not profile.verified and "not verified on hardware" in profile.notes


def test_profile_is_read_from_a_path_with_optional_keys_left_out(tmp_path):
    path = write(tmp_path, GOOD)
    expected = Profile("mine", "My board", ("aarch64",), "litert", 4, False)
    assert load_profile(path) == load_profile(str(path)) == expected


def test_profile_cannot_be_changed_and_is_plain_json():
    profile = load_profile("raspberry-pi-5")
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.threads = 8  # type: ignore[misc]
    assert json.loads(json.dumps(profile.as_dict())) == profile.as_dict()


def test_unknown_key_names_file_line_and_the_key_meant(tmp_path):
    path = write(tmp_path, GOOD.replace("threads", "thread"))
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert f"{path}:5" in str(error.value)
    assert "unknown key 'thread'; did you mean 'threads'?" in str(error.value)


@pytest.mark.parametrize(
    ("line", "number"), [("[delegate]", 7), ("[[delegate]]", 7), ("delegate.path = 'x'", 7), ('"delegate" = 1', 7)]
)
def test_unknown_key_is_found_however_it_is_written(tmp_path, line, number):
    path = write(tmp_path, GOOD + line)
    with pytest.raises(ProfileError, match=f":{number}: unknown key 'delegate'"):
        load_profile(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("threads = 4", 'threads = "4"', "5: 'threads' must be a whole number, not '4'"),
        ("threads = 4", "threads = 4.0", "5: 'threads' must be a whole number, not 4.0"),
        ("threads = 4", "threads = true", "5: 'threads' must be a whole number, not True"),  # an int to Python
        ("threads = 4", "threads = 0", "5: 'threads' must be at least 1, not 0"),
        (
            '["aarch64"]',
            '"aarch64"',
            "3: 'machine' must be a list of strings, not 'aarch64'",
        ),  # strings are iterable too
        ('["aarch64"]', "[64]", "3: 'machine' must be a list of strings"),
        ('["aarch64"]', "[]", "3: 'machine' must be a list of strings"),
        ("verified = false", "verified = 0", "6: 'verified' must be true or false, not 0"),
        ('"My board"', "5", "2: 'title' must be a string, not 5"),
        ('"litert"', '"literal"', "4: unknown engine 'literal'; did you mean 'litert'?"),
        ("threads = 4\n", "", "missing threads"),
        ("threads = 4", "threads = ", "not valid TOML"),
    ],
)
def test_wrong_value_is_refused_with_its_place(tmp_path, old, new, message):
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_unknown_name_suggests_one():
    with pytest.raises(ProfileError, match="did you mean 'raspberry-pi-5'"):
        load_profile("rasberry-pi-5")
    with pytest.raises(ProfileError, match="known: desktop-x86, raspberry-pi-4, raspberry-pi-5"):
        load_profile("toaster")


def test_file_that_cannot_be_read_is_a_profile_error(tmp_path):
    with pytest.raises(ProfileError, match=r"nowhere\.toml: cannot be read"):
        load_profile(tmp_path / "nowhere.toml")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(tmp_path)  # a folder
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "Gerät"'.encode("latin-1"))
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_profile(latin)


# Probing


def tree(root: Path, model: str | None, temperature: str | None = None, videos: tuple[str, ...] = ()) -> Path:
    """Files as Linux shows them on a board with 8 GB of memory."""
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "dev").mkdir()
    (root / "proc/meminfo").write_text("MemTotal:        8244752 kB\nMemFree:         5120000 kB\n")
    if model is not None:
        (root / "proc/device-tree/model").write_bytes(model.encode() + b"\0")
    if temperature is not None:
        (root / "sys/class/thermal/thermal_zone0").mkdir(parents=True)
        (root / "sys/class/thermal/thermal_zone0/temp").write_text(temperature)
    for name in videos:
        (root / "dev" / name).touch()
    return root


@pytest.fixture
def arm(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)


@pytest.mark.parametrize("number", [4, 5])
def test_raspberry_pi_is_known_by_its_model(tmp_path, arm, number):
    model = f"Raspberry Pi {number} Model B Rev 1.0"
    found = probe(tree(tmp_path, model, "48312\n", ("video0", "video10", "video2", "video", "videodev")))
    assert found.model == model, "the NUL that ends it must not stay"
    assert (found.machine, found.cores, found.memory, found.temperature) == ("aarch64", 4, 8051, 48.312)
    # By number, as people count, and only what is a device.
    assert found.cameras == ("/dev/video0", "/dev/video2", "/dev/video10")
    assert select_profile(found) == load_profile(f"raspberry-pi-{number}")


@pytest.mark.parametrize("model", ["Raspberry Pi 3 Model B Plus Rev 1.3", "Radxa ROCK 5B", None])
def test_unknown_arm_board_gets_the_settings_that_run_everywhere(tmp_path, arm, model):
    assert select_profile(probe(tree(tmp_path, model))).name == "raspberry-pi-4"


def test_pc_has_no_model_and_no_temperature(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    found = probe(tree(tmp_path, None))
    assert (found.model, found.temperature, found.cameras) == ("", None, ())
    assert select_profile(found).name == "desktop-x86"


def test_pi_model_does_not_outvote_the_architecture(tmp_path, monkeypatch):
    # An arm64 profile on another processor could not run.
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert select_profile(probe(tree(tmp_path, "Raspberry Pi 5 lookalike"))).name == "desktop-x86"


def test_no_more_threads_than_cores(tmp_path, arm, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert select_profile(probe(tree(tmp_path, "Raspberry Pi 5 Model B"))).threads == 1


def test_bare_root_is_no_error(tmp_path):
    found = probe(tmp_path)
    assert (found.model, found.memory, found.temperature, found.cameras) == ("", None, None, ())


def test_temperature_that_is_not_a_number_is_none(tmp_path, arm):
    assert probe(tree(tmp_path, None, "")).temperature is None


def test_negative_temperature_of_a_winter_night(tmp_path, arm):
    assert probe(tree(tmp_path, None, "-7500\n")).temperature == -7.5


def test_engines_are_asked_for_without_importing_them(tmp_path, monkeypatch):
    installed = {"ai-edge-litert": "2.1.2", "onnxruntime": "1.20.0"}

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    before = set(sys.modules)
    assert probe(tmp_path).engines == {"litert": "2.1.2", "onnxruntime": "1.20.0"}
    assert not {"ai_edge_litert", "tflite_runtime", "onnxruntime"} & (set(sys.modules) - before)


def test_this_machine_can_be_probed():
    found = probe()
    assert isinstance(found, Machine) and found.cores >= 1 and found.python == platform.python_version()
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    assert isinstance(select_profile(found), Profile)
