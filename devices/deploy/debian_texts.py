"""Texts of the Debian package: control, scripts, udev's rules, documents."""

PROGRAM = """\
#!/usr/lib/galaxy-edge/bin/python3
import sys

from galaxy_edge.cli.main import main

sys.exit(main())
"""

CONTROL = """\
Package: galaxy-edge
Version: {version}
Architecture: {architecture}
Maintainer: The galaxy-edge developers <galaxy-edge@users.noreply.github.com>
Installed-Size: {size}
Depends: libc6 (>= {glibc}), libgcc-s1, libstdc++6, passwd, python3 (>= {python}~), python3 (<< {next_python}~)
Suggests: python3-picamera2
Section: science
Priority: optional
Description: find and classify galaxies in what a telescope's camera sees
 A detector finds galaxies among stars and nebulae in images, videos and
 streams of cameras; a second network names their shapes. Both run as int8
 networks on small computers, such as a Raspberry Pi, without a network
 connection.
 .
 The package brings its own Python environment, in /usr/lib/galaxy-edge.
 The command "galaxy-edge service install" starts it with the computer.
"""

POSTINST = """\
#!/bin/sh
set -e

if [ "$1" = configure ]; then
    # Bytecode: a service that may not write there would compile everything again at each start.
    py3compile -p galaxy-edge /usr/lib/galaxy-edge || true
    if [ -d /run/systemd/system ]; then
        udevadm control --reload >/dev/null 2>&1 || true
        # After an upgrade; the service is installed by the user, with the options of a run.
        if [ -n "$2" ]; then
            systemctl try-restart --no-block galaxy-edge.service >/dev/null 2>&1 || true
        fi
    fi
fi
"""

PRERM = """\
#!/bin/sh
set -e

unit=/etc/systemd/system/galaxy-edge.service
if [ "$1" = remove ] && grep -qs '^ExecStart="/usr/lib/galaxy-edge/' "$unit"; then
    if [ -d /run/systemd/system ]; then
        deb-systemd-invoke stop galaxy-edge.service >/dev/null || true
    fi
    rm -f "$unit" /etc/systemd/system/multi-user.target.wants/galaxy-edge.service
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
    fi
fi
py3clean -p galaxy-edge /usr/lib/galaxy-edge || true
find /usr/lib/galaxy-edge -type d -name __pycache__ -exec rm -rf {} +
"""

POSTRM = """\
#!/bin/sh
set -e

if [ "$1" = purge ]; then
    # A service of another installation keeps its data and its user.
    if [ ! -e /etc/systemd/system/galaxy-edge.service ]; then
        rm -rf /var/lib/galaxy-edge
        if getent passwd galaxy-edge >/dev/null; then
            userdel galaxy-edge >/dev/null 2>&1 || true
        fi
    fi
fi
"""

UDEV_RULES = """\
# Edge TPU on USB, before and after its firmware is loaded: the group of the service may use it.
SUBSYSTEM=="usb", ATTRS{idVendor}=="1a6e", ATTRS{idProduct}=="089a", MODE="0660", GROUP="plugdev", TAG+="uaccess"
SUBSYSTEM=="usb", ATTRS{idVendor}=="18d1", ATTRS{idProduct}=="9302", MODE="0660", GROUP="plugdev", TAG+="uaccess"
"""

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: galaxy-edge
Comment: The Python packages in /usr/lib/galaxy-edge/lib have licences of their own, in their *.dist-info folders.

Files: *
Copyright: 2026 The galaxy-edge developers
License: Apache-2.0
 On Debian systems, the full text of the Apache License, Version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
"""

CHANGELOG = """\
galaxy-edge ({version}) unstable; urgency=medium

  * Release {version}.

 -- The galaxy-edge developers <galaxy-edge@users.noreply.github.com>  {date}
"""

MANUAL = """\
.TH GALAXY-EDGE 1 "" "galaxy-edge" "User Commands"
.SH NAME
galaxy-edge \\- find and classify galaxies in what a telescope's camera sees
.SH SYNOPSIS
.B galaxy-edge
.I COMMAND
.RI [ OPTION ]...
.SH DESCRIPTION
.B galaxy-edge run \\-\\-camera demo
runs on the demo sky;
.B galaxy-edge doctor
checks this computer;
.B galaxy-edge service install
starts a run with the computer.
.B galaxy-edge \\-\\-help
lists all commands, and each command has its own
.BR \\-\\-help .
"""

OVERRIDES = """\
# The environment starts its own programs; venv requires its Python in the first line.
galaxy-edge: wrong-path-for-interpreter * [usr/lib/galaxy-edge/bin/galaxy-edge]
# The libraries are those of the wheels on PyPI, bit for bit as their hashes in constraints/ say: neither stripped nor
# linked again, and with the paths of the machines that built them.
galaxy-edge: unstripped-binary-or-object [usr/lib/galaxy-edge/lib/*]
galaxy-edge: embedded-library * [usr/lib/galaxy-edge/lib/*]
galaxy-edge: custom-library-search-path * [usr/lib/galaxy-edge/lib/*]
galaxy-edge: relative-library-search-path * [usr/lib/galaxy-edge/lib/*]
galaxy-edge: library-not-linked-against-libc [usr/lib/galaxy-edge/lib/*]
galaxy-edge: shared-library-lacks-prerequisites [usr/lib/galaxy-edge/lib/*]
# First lines and modes of modules in the wheels, which nobody starts as programs.
galaxy-edge: unusual-interpreter * [usr/lib/galaxy-edge/lib/*]
galaxy-edge: script-not-executable [usr/lib/galaxy-edge/lib/*]
# deb-systemd-invoke would wait for the start, and the start waits for a camera that may be unplugged.
galaxy-edge: maintainer-script-calls-systemctl [postinst:*]
"""
