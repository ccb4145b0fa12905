"""Wheelhouses: made from wheels, checked before anything is sent."""

import json
import platform
import sys

import pytest
from galaxy_edge.cli.remote.wheelhouse import wheelhouse
from galaxy_edge.devices.deploy import own_wheel
from galaxy_edge.devices.deploy.connection import check_host
from galaxy_edge.devices.deploy.download import DEFAULT_EXTRAS, make_wheelhouse, pinned_hashes, platform_tags
from galaxy_edge.devices.deploy.wheelhouse import WheelhouseError, load_wheelhouse
from galaxy_edge.devices.profile import load_profile
from galaxy_edge.errors import UsageError
from helpers.stub_release import stub_wheel, stub_wheelhouse

PI = load_profile("raspberry-pi-5")


def test_a_wheelhouse_is_made_and_read(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    wheel = stub_wheel(source, "1.0")
    made = make_wheelhouse(PI, "3.13", tmp_path / "out", (), wheel, source)
    assert load_wheelhouse(tmp_path / "out") == made
    assert (made.version, made.platform) == ("1.0", "aarch64, Python 3.13")
    assert {item.name for item in made.wheels} == {"galaxy-edge", "pip"}
    assert "galaxy-edge==1.0 --hash=sha256:" in made.requirements


def test_the_command_and_the_function_have_the_same_default():
    option = next(option for option in wheelhouse.params if option.name == "extras")
    assert option.default == ",".join(DEFAULT_EXTRAS)


def test_a_wheel_that_is_missing_is_named_with_its_platform(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    wheel = stub_wheel(source, "1.0", requires=("numpy>=1.26",))
    with pytest.raises(WheelhouseError, match=r"no wheel of numpy.* for aarch64, Python 3.13"):
        make_wheelhouse(PI, "3.13", tmp_path / "out", (), wheel, source)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["missing", "changed", "listing", "folder"])
def test_a_damaged_wheelhouse_is_refused(tmp_path, damage):
    python = ".".join(map(str, sys.version_info[:2]))
    folder = tmp_path / "wheels"
    stub_wheelhouse(folder, "1.0", "good", platform.machine(), python)
    wheel = folder / "galaxy_edge-1.0-py3-none-any.whl"
    message = {
        "missing": rf"lacks {wheel.name} \({platform.machine()}, Python {python}\)",
        "changed": "its SHA-256 differs",
        "listing": "is not the manifest of a wheelhouse",
        "folder": "make one with galaxy-edge wheelhouse",
    }[damage]
    if damage == "missing":
        wheel.unlink()
    elif damage == "changed":
        wheel.write_bytes(b"x")
    elif damage == "listing":
        (folder / "wheelhouse.json").write_text(json.dumps({"format": 1}))
    else:
        folder = tmp_path
    with pytest.raises((WheelhouseError, UsageError), match=message):
        load_wheelhouse(folder)


def test_wheels_of_the_right_age_and_hash_are_asked_for():
    assert "manylinux_2_41_aarch64" in platform_tags("aarch64", "3.13")
    assert "manylinux_2_41_aarch64" not in platform_tags("aarch64", "3.11")
    version, hashes = pinned_hashes()["numpy"]
    assert version and all(len(text) == 64 for text in hashes)


def test_an_installation_is_packed_again(tmp_path):
    stub_wheel(tmp_path, "1.0")
    installed = tmp_path / "site"
    own_wheel.zipfile.ZipFile(tmp_path / "galaxy_edge-1.0-py3-none-any.whl").extractall(installed)
    found = next(iter(own_wheel.Distribution.discover(name="galaxy-edge", path=[str(installed)])))
    packed = own_wheel.repack(found, tmp_path / "site")
    names = own_wheel.zipfile.ZipFile(packed).namelist()
    assert {"stub.py", "galaxy_edge-1.0.dist-info/RECORD", "galaxy_edge-1.0.dist-info/entry_points.txt"} <= set(names)


@pytest.mark.parametrize("host", ["", "-oProxyCommand=x", "a b", "a;b"])
def test_a_host_cannot_be_an_option(host):
    with pytest.raises(UsageError, match="is not a host"):
        check_host(host)
