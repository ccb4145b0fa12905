"""The API fuzzed against its own OpenAPI document: it keeps what it says, and never fails."""

import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="needs the serve extra")
pytest.importorskip("schemathesis", reason="needs schemathesis (the dev extra)")
from helpers.live_run import running


def test_the_api_keeps_its_own_document(tmp_path):
    token = tmp_path / "token"
    with running(tmp_path, token_file=token) as one:
        one.until(lambda: one.output.writer.pending == 0 and list(tmp_path.glob("crops/0001/*.png")))
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{one.address}/openapi.json",
            "--header",
            f"Authorization: Bearer {token.read_text().strip()}",
            "--max-examples",
            "12",
            "--seed",
            "1",
            "--suppress-health-check",
            "too_slow",
            "--exclude-path",
            "/stream.mjpg",
            "--phases",
            "examples,coverage,fuzzing",
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
            "response_headers_conformance,ignored_auth",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        one.controls.paused = False
        frames = one.pulse.frames
        one.until(lambda: one.pulse.frames > frames)  # the run goes on
    # With a threshold of zero, as the fuzzer sets it, there is more than any disk takes; nothing else went wrong.
    assert [line for line in one.told if "more than the disk could take" not in line] == []
