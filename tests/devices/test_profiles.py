"""Device profiles, and probing on folders like those of a Raspberry Pi and a PC."""

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
from galaxy_edge.devices.profile import Claim, Profile, ProfileError, all_profiles, load_profile
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


def test_shipped_profiles_are_valid_and_named_as_their_files():
    """A user gives the file's name on the command line."""
    names = [profile.name for profile in all_profiles()]
    assert names == [
        "coral-dev-board", "coral-usb", "desktop-x86", "generic-arm64", "hailo-10h", "hailo-8l", "imx500",
        "jetson-nano", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2w",
    ]  # fmt: skip
    for name in names:
        profile = load_profile(name)
        assert profile.name == name and profile.engine in ENGINE_NAMES and profile.threads >= 1 and profile.title


def test_every_engine_runs_a_kind_of_file_that_a_bundle_can_hold():
    """Engines and the manifest's runtimes agree, though neither imports the other."""
    assert {info.runtime for info in ENGINES.values()} == set(RUNTIMES)
    assert engines_for("tflite") == ("litert", "tflite-runtime") and engines_for("edgetpu") == ()


def test_profiles_of_untested_boards_say_so():
    """No figure of such a board has been measured; every claim says what it rests on."""
    for profile in all_profiles():
        assert profile.claims and (profile.verified or "not verified on hardware" in profile.notes)
        assert profile.verified == any(claim.evidence == "hardware" for claim in profile.claims)


CLAIM = 'claims = [{ text = "it runs", evidence = "emulation", source = "a test" }]'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('tiles = "3x"', "7: 'tiles' must be auto, off or NxM, e.g. 3x2, not '3x'"),
        ("stack = 65", "7: 'stack' must be at most 64, not 65"),
        ('fallback = ["litter"]', "7: unknown engine 'litter'; did you mean 'litert'?"),
        ('claims = ["fast"]', "7: 'claims' must be a list of tables"),
        (CLAIM.replace("emulation", "hearsay"), "7: the evidence of a claim must be hardware, emulation, public"),
        (CLAIM.replace(', source = "a test"', ""), "7: a claim must have the texts text, evidence, source"),
    ],
)
def test_invalid_optional_value_is_refused_with_file_and_line(tmp_path, line, message):
    path = write(tmp_path, GOOD + line)
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert f"{path}:{message}" in str(error.value)


def test_claims_are_read(tmp_path):
    profile = load_profile(write(tmp_path, GOOD + CLAIM))
    assert profile.claims == (Claim("it runs", "emulation", "a test"),)
    assert profile.as_dict()["claims"] == [{"text": "it runs", "evidence": "emulation", "source": "a test"}]


def test_profile_is_read_from_a_path_with_optional_keys_missing(tmp_path):
    """A path may be text; the optional keys have defaults."""
    path = write(tmp_path, GOOD)
    expected = Profile("mine", "My board", ("aarch64",), "litert", 4, False)
    assert load_profile(path) == load_profile(str(path)) == expected


def test_profile_is_frozen_and_can_be_written_as_json():
    """It is shared by all parts of a run, and `devices --json` prints it."""
    profile = load_profile("raspberry-pi-5")
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.threads = 8  # type: ignore[misc]
    assert json.loads(json.dumps(profile.as_dict())) == profile.as_dict()


def test_unknown_key_is_refused_with_file_line_and_suggestion(tmp_path):
    """A misspelt key would otherwise be ignored silently."""
    path = write(tmp_path, GOOD.replace("threads", "thread"))
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert f"{path}:5" in str(error.value)
    assert "unknown key 'thread'; did you mean 'threads'?" in str(error.value)


@pytest.mark.parametrize(
    ("line", "number"), [("[delegate]", 7), ("[[delegate]]", 7), ("delegate.path = 'x'", 7), ('"delegate" = 1', 7)]
)
def test_line_of_an_unknown_key_is_found_however_it_is_written(tmp_path, line, number):
    """The key may be a table, an array of tables, dotted or quoted."""
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
def test_invalid_value_is_refused_with_file_and_line(tmp_path, old, new, message):
    """Wrong types, wrong ranges, and files that are not complete."""
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ProfileError) as error:
        load_profile(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_unknown_name_is_refused_with_a_suggestion():
    """The message lists the names that exist."""
    with pytest.raises(ProfileError, match="did you mean 'raspberry-pi-5'"):
        load_profile("rasberry-pi-5")
    with pytest.raises(ProfileError, match="known: coral-dev-board, coral-usb, desktop-x86"):
        load_profile("toaster")


def test_unreadable_file_is_a_profile_error(tmp_path):
    """Missing, a folder, or not UTF-8: none is a traceback."""
    with pytest.raises(ProfileError, match=r"nowhere\.toml: cannot be read"):
        load_profile(tmp_path / "nowhere.toml")
    with pytest.raises(ProfileError, match="cannot be read"):
        load_profile(tmp_path)  # a folder
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "Gerät"'.encode("latin-1"))
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_profile(latin)


# Probing


def make_root(root: Path, model: str | None, temperature: str | None = None, videos: tuple[str, ...] = ()) -> Path:
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


@pytest.mark.parametrize("number", [3, 4, 5])
def test_raspberry_pi_is_recognised_by_its_model(tmp_path, arm, number):
    model = f"Raspberry Pi {number} Model B Rev 1.0"
    found = probe(make_root(tmp_path, model, "48312\n", ("video0", "video10", "video2", "video", "videodev")))
    assert found.model == model, "the trailing NUL must be removed"
    assert (found.machine, found.cores, found.memory, found.temperature) == ("aarch64", 4, 8051, 48.312)
    # In order of their numbers, and without names that are not devices.
    assert found.cameras == ("/dev/video0", "/dev/video2", "/dev/video10")
    assert select_profile(found) == load_profile(f"raspberry-pi-{number}")


@pytest.mark.parametrize("model", ["Raspberry Pi 2 Model B Rev 1.2", "Radxa ROCK 5B", None])
def test_unknown_arm_board_gets_the_generic_profile(tmp_path, arm, model):
    """Its settings run on any 64-bit Arm board."""
    assert select_profile(probe(make_root(tmp_path, model))).name == "generic-arm64"


@pytest.mark.parametrize(
    ("bus", "files", "model", "name"),
    [
        ("usb/devices/2-1", {"idVendor": "1a6e", "idProduct": "089a"}, "Raspberry Pi 4 Model B", "coral-usb"),
        ("pci/devices/0001:01:00.0", {"vendor": "0x1e60", "device": "0x2864"}, "Raspberry Pi 5 Model B", "hailo-8l"),
        ("pci/devices/0001:01:00.0", {"vendor": "0x1e60", "device": "0x45c4"}, "Raspberry Pi 5 Model B", "hailo-10h"),
        ("pci/devices/0001:01:00.0", {"vendor": "0x1b21", "device": "0x2142"}, "Raspberry Pi 5 Model B", "raspberry-pi-5"),
        ("i2c/devices/10-001a", {"name": "imx500"}, "Raspberry Pi 4 Model B", "imx500"),
        ("i2c/devices/10-001a", {"name": "imx477"}, "Raspberry Pi 4 Model B", "raspberry-pi-4"),
    ],
)  # fmt: skip
def test_accelerator_is_recognised_where_it_is_attached(tmp_path, arm, bus, files, model, name):
    """An accelerator is recognised by its ids in /sys, as the kernel shows them."""
    root = make_root(tmp_path, model)
    (root / "sys/bus" / bus).mkdir(parents=True)
    for file, text in files.items():
        (root / "sys/bus" / bus / file).write_text(text + "\n")
    assert select_profile(probe(root)).name == name


def test_pc_has_no_model_and_no_temperature(tmp_path, monkeypatch):
    """Virtual machines have no thermal zone either."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    found = probe(make_root(tmp_path, None))
    assert (found.model, found.temperature, found.cameras) == ("", None, ())
    assert select_profile(found).name == "desktop-x86"


def test_architecture_takes_precedence_over_the_model(tmp_path, monkeypatch):
    """A profile for arm64 may not run on another processor, whatever the board is."""
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert select_profile(probe(make_root(tmp_path, "Raspberry Pi 5 lookalike"))).name == "desktop-x86"


def test_profile_has_no_more_threads_than_cores(tmp_path, arm, monkeypatch):
    """In a container, or under taskset, a process may use fewer cores than there are."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert select_profile(probe(make_root(tmp_path, "Raspberry Pi 5 Model B"))).threads == 1


def test_empty_root_is_not_an_error(tmp_path):
    """Nothing of /proc, /sys and /dev exists on macOS."""
    found = probe(tmp_path)
    assert (found.model, found.memory, found.temperature, found.cameras) == ("", None, None, ())


def test_temperature_that_is_not_a_number_is_none(tmp_path, arm):
    """The file of a disabled thermal zone can be empty."""
    assert probe(make_root(tmp_path, None, "")).temperature is None


def test_temperature_can_be_negative(tmp_path, arm):
    """On a winter night."""
    assert probe(make_root(tmp_path, None, "-7500\n")).temperature == -7.5


def test_engines_are_found_without_importing_them(tmp_path, monkeypatch):
    """Importing them takes seconds on a small board."""
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
    """Whatever it is; the result can be written as JSON."""
    found = probe()
    assert isinstance(found, Machine) and found.cores >= 1 and found.python == platform.python_version()
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    assert isinstance(select_profile(found), Profile)
