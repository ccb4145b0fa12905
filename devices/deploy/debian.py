"""Make a Debian package of a wheelhouse.

It is an environment in /usr/lib/galaxy-edge, for one architecture and one version of Python, thus for one Debian
release. Nothing is downloaded or compiled when it is installed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

from .debian_texts import CHANGELOG, CONTROL, COPYRIGHT, MANUAL, OVERRIDES, POSTINST, POSTRM, PRERM, PROGRAM, UDEV_RULES
from .download import platform_tags
from .wheelhouse import OWN_NAME, Wheelhouse, WheelhouseError, load_wheelhouse

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
"""Debian's names of processor architectures."""
PREFIX = Path("usr/lib", OWN_NAME)
DEFAULT_COMPRESSION = "xz"


def make_deb(wheelhouse: Wheelhouse, out: Path, compression: str = DEFAULT_COMPRESSION) -> Path:
    """Write a Debian package into the folder `out`; return its path.

    Two packages made of the same wheels with the same ``SOURCE_DATE_EPOCH`` are identical.

    Args:
        wheelhouse: a checked one.
        out: folder, which is made if it does not exist.
        compression: of ``dpkg-deb -Z``: xz, gzip or none.

    Raises:
        WheelhouseError: the wheels cannot be installed, or dpkg-deb is missing or failed.
    """
    now = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    architecture = ARCHITECTURES[wheelhouse.machine]
    version = f"{wheelhouse.version}+py{wheelhouse.python}"
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{OWN_NAME}_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(dir=out, prefix=".deb.") as temporary:
        root = Path(temporary)
        root.chmod(0o755)
        _install_wheels(wheelhouse, root / PREFIX)
        _write_texts(root, version, now)
        _set_modes(root)
        _write_control(root, wheelhouse, version, architecture)
        command = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", str(root), str(path)]
        _run(command, "dpkg-deb", os.environ | {"SOURCE_DATE_EPOCH": str(now)})
    return path


def _install_wheels(wheelhouse: Wheelhouse, prefix: Path) -> None:
    """Fill a virtual environment, without running anything of the target."""
    python = wheelhouse.python
    site = prefix / f"lib/python{python}/site-packages"
    site.mkdir(parents=True)
    abis = [f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(wheelhouse.requirements)
        requirements.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        command += ["--no-deps", "--no-compile", "--require-hashes", "--only-binary=:all:", "--target", str(site)]
        command += ["--implementation", "cp", "--python-version", python, *abis]
        command += [f"--platform={tag}" for tag in platform_tags(wheelhouse.machine, python)]
        command += ["--find-links", str(wheelhouse.path), "--requirement", requirements.name]
        _run(command, "pip", os.environ | {"PIP_CONFIG_FILE": os.devnull})
    shutil.rmtree(site / "bin", ignore_errors=True)  # programs of the packages, which start this computer's Python
    (prefix / "bin").mkdir()
    (prefix / "bin/python3").symlink_to("../../../bin/python3")
    (prefix / f"bin/{OWN_NAME}").write_text(PROGRAM)
    # Packages of apt are visible because Picamera2 is one; those of this environment come first.
    lines = ("home = /usr/bin", "include-system-site-packages = true", f"version = {python}")
    (prefix / "pyvenv.cfg").write_text("\n".join(lines) + "\n")


def _write_texts(root: Path, version: str, now: int) -> None:
    """Write the link in /usr/bin, udev's rules, and what Debian requires."""
    (root / "usr/bin").mkdir()
    (root / f"usr/bin/{OWN_NAME}").symlink_to(f"../lib/{OWN_NAME}/bin/{OWN_NAME}")
    documents = root / f"usr/share/doc/{OWN_NAME}"
    texts = {
        root / f"usr/lib/udev/rules.d/60-{OWN_NAME}.rules": UDEV_RULES,
        root / f"usr/share/lintian/overrides/{OWN_NAME}": OVERRIDES,
        documents / "copyright": COPYRIGHT,
    }
    packed = {
        documents / "changelog.gz": CHANGELOG.format(version=version, date=formatdate(now)),
        root / f"usr/share/man/man1/{OWN_NAME}.1.gz": MANUAL,
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path, text in packed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _set_modes(root: Path) -> None:
    """Give files the modes that Debian wants, whatever the wheels and the umask say."""
    for path in root.rglob("*"):
        if path.is_symlink():
            continue
        is_program = path.is_dir() or path == root / PREFIX / "bin" / OWN_NAME
        path.chmod(0o755 if is_program else 0o644)


def _write_control(root: Path, wheelhouse: Wheelhouse, version: str, architecture: str) -> None:
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    sums = []
    for path in files:
        with open(path, "rb") as stream:
            sums.append(f"{hashlib.file_digest(stream, 'md5').hexdigest()}  {path.relative_to(root)}\n")
    major, minor = wheelhouse.python.split(".")
    control = root / "DEBIAN"
    control.mkdir()
    (control / "md5sums").write_text("".join(sums))
    (control / "control").write_text(
        CONTROL.format(
            version=version, architecture=architecture, size=sum(path.stat().st_size for path in files) // 1024,
            python=wheelhouse.python, next_python=f"{major}.{int(minor) + 1}", glibc=wheelhouse.glibc or "2.17",
        )
    )  # fmt: skip
    for name, text in (("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)):
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    (control / "md5sums").chmod(0o644)
    (control / "control").chmod(0o644)


def _run(command: list[str], name: str, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    except OSError as error:
        raise WheelhouseError(f"{command[0]} cannot be run: {error.strerror}; a Debian package needs it") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
        raise WheelhouseError(f"{name} could not make the Debian package: {lines[-1]}")


def main() -> None:
    """Make a package of a wheelhouse.

    ``python -m galaxy_edge.devices.deploy.debian WHEELHOUSE OUT [COMPRESSION]``
    """
    wheelhouse, out = map(Path, sys.argv[1:3])
    print(make_deb(load_wheelhouse(wheelhouse), out, *sys.argv[3:4]))


if __name__ == "__main__":
    main()
