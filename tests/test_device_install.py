"""Packages of a device install are pinned by hash, and their licences are known."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from helpers.paths import ROOT

FOLDER = ROOT / "constraints"
ALLOWED = {
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "Zlib",
    "CC0-1.0",
    "CC-BY-SA-4.0",
    "ISC",
    "PSF-2.0",
    "MPL-2.0",
}
"""Licences that let anyone use and pass on a device with these packages.

MPL's and CC-BY-SA's duties end at their own files.
"""
FAMILIES = {"Apache": "Apache", "MIT": "MIT", "BSD": "BSD", "MPL": "MPL", "PSF": "PSF", "ISC": "ISC"}
"""What a licence is called in metadata without an SPDX expression, and its family."""
EXTRAS = ("fits", "raw", "mqtt", "notify", "serve", "sign", "catalogue", "onnx")


def pins(name):
    """Return package -> (version, number of hashes) of a file."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^([a-z0-9-]+)==(\S+)[^\n]*\n((?:    --hash[^\n]*\n?)*)", text, re.MULTILINE)
    return {package: (version, hashes.count("--hash=sha256:")) for package, version, hashes in blocks}


def requirements(*extras):
    """Return the names of the packages that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    return {re.match(r"[A-Za-z0-9-]+", line)[0].lower() for line in wanted}


@pytest.mark.parametrize(("name", "extras"), [("device.txt", ()), ("device-extras.txt", EXTRAS)])
def test_every_package_of_a_device_is_pinned_by_hash(name, extras):
    """`make demo` installs with --require-hashes.

    A file that was changed on its way is refused.
    """
    pinned = pins(name)
    assert requirements(*extras) | {"setuptools"} <= pinned.keys()
    assert all(hashes > 0 for _, hashes in pinned.values())
    assert {key: value for key, value in pins("device-extras.txt").items() if key in pins("device.txt")} == pins(
        "device.txt"
    )
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--require-hashes --only-binary :all: --requirement constraints/device.txt" in makefile


def test_licences_of_all_runtime_packages_are_known_and_free():
    """A new dependency's licence must be looked up, also if it is an indirect one."""
    known = tomllib.loads((FOLDER / "device-licences.toml").read_text(encoding="utf-8"))
    assert known.keys() == pins("device-extras.txt").keys()
    for package, expression in known.items():
        choices = [set(re.split(r" AND ", choice)) for choice in expression.split(" OR ")]
        assert any(choice <= ALLOWED for choice in choices), (package, expression)


def test_packages_say_the_same_of_their_licences():
    """The metadata of installed packages name the licences of the list."""
    compared = 0
    for package, expression in tomllib.loads((FOLDER / "device-licences.toml").read_text(encoding="utf-8")).items():
        try:
            about = metadata(package)
        except PackageNotFoundError:
            continue
        if stated := about.get("License-Expression"):
            assert stated == expression, package
        else:
            texts = [about.get("License") or "", *(about.get_all("Classifier") or [])]
            stated = " ".join(text for text in texts if text)
            families = {family for word, family in FAMILIES.items() if re.search(rf"\b{word}\b", stated)}
            assert any(family in expression for family in families), (package, stated)
        compared += 1
    assert compared >= len(requirements())
