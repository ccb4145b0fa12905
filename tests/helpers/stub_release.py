"""A stand-in for the package's wheel, with a `galaxy-edge` that starts at once."""

import shutil
import zipfile
from pathlib import Path

from galaxy_edge.devices.deploy.download import add_pip
from galaxy_edge.devices.deploy.wheelhouse import describe_folder

PROGRAM = """
import http.server, json, os, sys
BEHAVIOUR = "{behaviour}"

def main():
    verb = sys.argv[1]
    if verb == "doctor":
        bad = BEHAVIOUR == "sick"
        check = dict(name="golden vectors", status="failed" if bad else "ok", detail="sample 3 differs", hint="", exercised=True)
        print(json.dumps({{"checks": [check], "ok": not bad}}))
        sys.exit(bad)
    if verb == "serve":

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                well = BEHAVIOUR == "good" or BEHAVIOUR == "dies" and not os.path.exists("die")
                if well:
                    with open("answers-{version}", "a") as count:
                        count.write(".")
                self.send_response(200 if well else 503)
                self.end_headers()
                self.wfile.write(b"{version}")

            def log_message(self, *_):
                pass

        http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""

PIP = """
import pathlib, sys, sysconfig, zipfile
wheels = pathlib.Path(sys.argv[sys.argv.index("--find-links") + 1])
zipfile.ZipFile(next(wheels.glob("galaxy_edge-*.whl"))).extractall(sysconfig.get_path("purelib"))
script = pathlib.Path(sysconfig.get_path("scripts"), "galaxy-edge")
script.write_text(f"#!{sys.executable}\\nimport stub\\nstub.main()\\n")
script.chmod(0o755)
"""


def stub_wheel(folder, version, behaviour="good", requires=()):
    """Write a wheel whose service has one of four behaviours.

    The service is ``good``, is ``unhealthy``, ``dies`` once there is a file ``die`` in the folder of the releases,
    or its doctor finds it ``sick``.
    """
    path = Path(folder) / f"galaxy_edge-{version}-py3-none-any.whl"
    about = f"galaxy_edge-{version}.dist-info"
    files = {
        "stub.py": PROGRAM.format(behaviour=behaviour, version=version),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: galaxy-edge\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {package}\n" for package in requires),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\ngalaxy-edge = stub:main\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"]))
    return path


def stub_pip(folder):
    """Write a pip that only unpacks the stub: the real one starts slowly."""
    about = "pip-99.0.dist-info"
    with zipfile.ZipFile(Path(folder) / "pip-99.0-py3-none-any.whl", "w") as archive:
        archive.writestr("pip/__main__.py", PIP)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: pip\nVersion: 99.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def stub_wheelhouse(folder, version, behaviour, machine, python, with_real_pip=False):
    """Write a wheelhouse with a stub and pip; return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stub_wheel(folder, version, behaviour)
    (add_pip if with_real_pip else stub_pip)(folder)
    made = describe_folder(folder, "desktop-x86", machine, python)
    made.write_manifest()
    return made
