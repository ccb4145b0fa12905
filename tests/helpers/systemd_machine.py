"""A virtual machine that systemd starts, with a disk of its own.

A shell answers on its serial port. It can lose its power: its process is killed, and what the guest had not written to its disk is lost.
"""

from __future__ import annotations

import gzip
import os
import selectors
import shutil
import subprocess
import time
from pathlib import Path

from . import virtual_machine

NEEDED = (*virtual_machine.NEEDED, "mkfs.ext4")
SHELL = """[Unit]
Description=Shell of the tests
DefaultDependencies=no
After=local-fs.target
[Service]
ExecStart=/bin/sh -c 'stty -echo -onlcr; echo "=== shell"; PS1= PS2= exec /bin/sh'
StandardInput=tty
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Environment=SYSTEMD_COLORS=0 HOME=/root PATH=/usr/sbin:/usr/bin
[Install]
WantedBy=sysinit.target
"""
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
# A disk may appear some time after its driver was loaded.
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /mnt
exec /bin/busybox switch_root /mnt /sbin/init
"""


def prepare_root(root: Path, kernel: Path) -> None:
    """Add a kernel's modules and the shell to a Debian root with systemd."""
    version = virtual_machine.version_of(kernel)
    for path in virtual_machine.module_paths(kernel, ("ext4", "virtio_blk", "vivid")):
        target = root / "usr/lib/modules" / path.relative_to(kernel / "usr/lib/modules")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(kernel / "usr/lib/modules" / version / name, root / "usr/lib/modules" / version)
    subprocess.run(["depmod", "-b", root, version], check=True)
    units = root / "etc/systemd/system"
    (units / "test-shell.service").write_text(SHELL)
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants/test-shell.service").symlink_to("../test-shell.service")
    for name in ("getty.target", "systemd-firstboot.service", "apt-daily.timer", "apt-daily-upgrade.timer"):
        (units / name).symlink_to("/dev/null")
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/hostname").write_text("station\n")


class Machine:
    """The machine, off at first.

    Args:
        root: a folder that `prepare_root` has filled; its copy is the disk.
        kernel: an unpacked kernel, of `virtual_machine.kernel`.
        folder: for the disk and the log of the kernel.
    """

    def __init__(self, root: Path, kernel: Path, folder: Path) -> None:
        self._folder = folder
        self._kernel = kernel / f"boot/vmlinuz-{virtual_machine.version_of(kernel)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        with open(folder / "disk", "wb") as disk:
            disk.truncate(3 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-d", root, folder / "disk"], check=True, capture_output=True)
        tree = folder / "initramfs"
        virtual_machine.make_tree(tree, kernel, ("ext4", "virtio_blk"), INIT)
        (folder / "initrd.gz").write_bytes(gzip.compress(virtual_machine.pack(tree), 1))

    def start(self) -> None:
        """Switch it on; return when its shell answers, early in the boot.

        Raises:
            TimeoutError: it did not; with what its kernel wrote last.
        """
        log = self._folder / "kernel.log"
        self._process = subprocess.Popen(
            [
                *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2000"),
                *("-display", "none", "-monitor", "none", "-no-reboot", "-nic", "none"),
                *("-serial", f"file:{log}", "-serial", "stdio", "-kernel", self._kernel, "-initrd", self._folder / "initrd.gz"),
                *("-append", f"{virtual_machine.KERNEL_OPTIONS} systemd.show_status=no"),
                # unsafe: this machine keeps running, so that what the guest has written is in its cache.
                *("-drive", f"file={self._folder / 'disk'},if=virtio,format=raw,cache=unsafe"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._unread = b""
        try:
            self._read_until(b"=== shell\n", 180)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; its kernel wrote: {log.read_text(errors='replace')[-4000:]}") from None

    def run(self, command: str, seconds: float = 60) -> str:
        """Run a shell command as root; return what it printed, with its error output."""
        assert self._process and self._process.stdin
        self._process.stdin.write(f"{{ {command}\n}} 2>&1; echo '=== end'\n".encode())
        self._process.stdin.flush()
        return self._read_until(b"=== end\n", seconds).decode(errors="replace")

    def wait(self, condition: str, seconds: float = 120) -> None:
        """Wait until a shell command succeeds.

        Raises:
            TimeoutError: it did not, with what the journal of the service says.
        """
        try:
            self.run(f"until {condition}; do sleep 0.3; done", seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{condition}: {error}") from None

    def cut_power(self) -> None:
        """Kill the machine."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _read_until(self, mark: bytes, seconds: float) -> bytes:
        assert self._process and self._process.stdout
        end = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while mark not in self._unread:
                ready = selector.select(max(0.0, end - time.monotonic()))
                data = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
                if not data:
                    state = "the machine has ended" if ready else f"no answer within {seconds:g} s"
                    raise TimeoutError(f"{state}; it printed: {self._unread.decode(errors='replace')[-2000:]}")
                self._unread += data.replace(b"\r\n", b"\n")
        output, _, self._unread = self._unread.partition(mark)
        return output


def missing() -> list[str]:
    """Name what is not installed here."""
    return [name for name in NEEDED if shutil.which(name) is None]
