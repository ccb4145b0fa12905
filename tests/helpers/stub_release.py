"""A stand-in for the package's wheel, with a `galaxy-edge` that starts at once."""

import shutil
import zipfile
from pathlib import Path

from galaxy_edge.devices.deploy.download import add_pip
from galaxy_edge.devices.deploy.wheelhouse import describe_folder

PROGRAM = """
import http.server, json, sys, time
BEHAVIOUR = "{behaviour}"

def main():
    verb = sys.argv[1]
    if verb == "doctor":
        bad = BEHAVIOUR == "sick"
        check = dict(name="golden vectors", status="failed" if bad else "ok", detail="sample 3 differs", hint="", exercised=True)
        print(json.dumps({{"checks": [check], "ok": not bad}}))
        sys.exit(bad)
    if verb == "serve":
        began = time.monotonic()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                well = BEHAVIOUR == "good" or BEHAVIOUR == "dies" and time.monotonic() - began < 1
                self.send_response(200 if well else 503)
                self.end_headers()
                self.wfile.write(b"{version}")

            def log_message(self, *_):
                pass

        http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


def stub_wheel(folder, version, behaviour="good", requires=()):
    """Write a wheel whose service has one of four behaviours.

    The service is ``good``, is ``unhealthy`` or ``dies``, or its doctor finds it ``sick``.
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


def stub_wheelhouse(folder, version, behaviour, machine, python):
    """Write a wheelhouse with a stub and pip; return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stub_wheel(folder, version, behaviour)
    add_pip(folder)
    made = describe_folder(folder, "desktop-x86", machine, python)
    made.write_manifest()
    return made
