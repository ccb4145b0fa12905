"""A small virtual machine with a real V4L2 camera, for tests.

The camera is the kernel's test driver vivid.

It boots a Debian kernel in software emulation, with this machine's files mounted read-only as its root, in about ten
seconds, runs one shell script, and powers off. Nothing in it can change anything outside.
"""

import base64
import gzip
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

NEEDED = ("qemu-system-x86_64", "mmdebstrap", "busybox", "cpio", "xz", "depmod", "modprobe")
MODULES = ("9p", "9pnet_virtio", "vivid")
KERNEL_OPTIONS = "console=ttyS0 loglevel=4 panic=1 no_timer_check"
"""On a busy host the kernel's check of its timer can fail, for it expects interrupts in time, and the kernel panics."""
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do
  case $module in
    *vivid.ko) /bin/busybox insmod $module n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0;;
    *) /bin/busybox insmod $module;;
  esac
done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /mnt
for kind in proc sysfs:sys devtmpfs:dev tmpfs:run; do
  /bin/busybox mount -t ${kind%:*} none /mnt/${kind#*:}
done
/bin/busybox base64 -d /script > /mnt/run/script
echo "=== begin"
/bin/busybox chroot /mnt /bin/sh -c 'export HOME=/run PATH=/usr/bin:/bin:/usr/sbin; cd /run; . ./script'
echo "=== end"
/bin/busybox poweroff -f
"""


def missing() -> list[str]:
    """Name what is not installed here."""
    return [name for name in NEEDED if shutil.which(name) is None]


def kernel(folder: Path) -> Path:
    """Fetch a kernel with its modules as a Debian package, unpacked.

    Return the folder that holds /boot and modules.
    """
    root = folder / "root"
    subprocess.run(
        ["mmdebstrap", "--variant=extract", "--mode=root", "--include=linux-image-amd64", "trixie", root],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (version,) = (path.name for path in (root / "usr/lib/modules").iterdir())
    (root / "lib").unlink(missing_ok=True)
    (root / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", root, version], check=True)
    return root


def run(root: Path, folder: Path, script: str, timeout: float = 500) -> str:
    """Boot, run a shell script as root, and return what it printed.

    There is a camera at /dev/video0.

    Only /run can be written to; everything else is this machine's file system, read-only.
    """
    version = version_of(root)
    tree = folder / "initramfs"
    make_tree(tree, root, MODULES, INIT)
    (tree / "script").write_bytes(base64.b64encode(script.encode()))
    (folder / "initrd.gz").write_bytes(gzip.compress(pack(tree), 1))
    done = subprocess.run(
        [
            "qemu-system-x86_64",
            "-accel",
            "tcg",
            "-cpu",
            "max",
            "-m",
            "3000",
            "-nographic",
            "-no-reboot",
            "-nic",
            "none",
            "-kernel",
            root / f"boot/vmlinuz-{version}",
            "-initrd",
            folder / "initrd.gz",
            "-append",
            KERNEL_OPTIONS,
            "-virtfs",
            "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout,
    )
    output = done.stdout.decode(errors="replace").replace("\r\n", "\n")
    assert "=== begin\n" in output and "=== end" in output, f"the machine ended early; it printed: {output[-4000:]}"
    return output.split("=== begin\n", 1)[1].split("=== end", 1)[0]


def version_of(root: Path) -> str:
    """Return the version of an unpacked kernel."""
    return next((root / "usr/lib/modules").iterdir()).name


def module_paths(root: Path, names: Sequence[str]) -> list[Path]:
    """Return the files of kernel modules in the order of their loading.

    Those that they need are included.
    """
    paths = []
    for name in names:
        listing = subprocess.run(
            ["modprobe", "-d", root, "-S", version_of(root), "--show-depends", name],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        paths += [line.split()[1] for line in listing.splitlines() if line.startswith("insmod")]
    return [root / "usr/lib" / path.partition("/lib/")[2] for path in dict.fromkeys(paths)]


def make_tree(tree: Path, root: Path, modules: Sequence[str], init: str) -> None:
    """Fill the tree of an initramfs: busybox, modules, a first script."""
    for name in ("bin", "modules", "mnt", "proc", "sys", "dev"):
        (tree / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tree / "bin/busybox")
    for number, path in enumerate(module_paths(root, modules), 10):
        content = subprocess.run(["xz", "-dc", path], check=True, capture_output=True).stdout
        (tree / "modules" / f"{number}-{path.name.removesuffix('.xz')}").write_bytes(content)
    (tree / "init").write_text(init)
    (tree / "init").chmod(0o755)


def pack(tree: Path) -> bytes:
    """Return a tree as a cpio archive."""
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    return subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=tree, check=True, capture_output=True
    ).stdout
