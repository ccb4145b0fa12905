"""Log messages of the package are printed one per line at the requested level.

Those of libraries are not.
"""

import logging
import os
import subprocess
import sys

import pytest
from galaxy_edge.cli.terminal.logging_setup import configure_logging
from helpers.command_line import galaxy_edge as command_line

LOGGER = logging.getLogger("galaxy_edge.runtime.sources.camera")


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_messages_of_the_level_and_above_are_printed_with_the_prefix(capsys, level, count):
    """The prefix is what users and their scripts know from before there were levels."""
    configure_logging(level)
    for method in (LOGGER.error, LOGGER.warning, LOGGER.info, LOGGER.debug):
        method("%s is back", "the camera")
    assert capsys.readouterr().err == "galaxy-edge: the camera is back\n" * count


def test_configuring_twice_prints_once(capsys):
    """The command line configures at its start, and again when it knows the level."""
    configure_logging()
    configure_logging()
    LOGGER.warning("lost")
    assert capsys.readouterr().err == "galaxy-edge: lost\n"


def test_a_line_break_in_a_name_does_not_make_two_lines(capsys):
    """File names may hold any character.

    One could forge a message, or move the terminal's cursor.
    """
    configure_logging()
    LOGGER.warning("skipped a\ngalaxy-edge: b\x1b[2J\udcff.png")
    assert capsys.readouterr().err == "galaxy-edge: skipped a\\x0agalaxy-edge: b\\x1b[2J\\xff.png\n"


def test_other_libraries_are_not_printed(capsys):
    """Messages of TensorFlow and uvicorn are not for the user."""
    configure_logging("debug")
    logging.getLogger("uvicorn.error").info("Started server")
    assert capsys.readouterr().err == ""
    assert not logging.getLogger("galaxy_edge").propagate


def test_the_journal_gets_priorities(tmp_path):
    """systemd announces its journal by device and inode of the stream.

    Elsewhere a prefix would only be noise.
    """
    script = "import logging; from galaxy_edge.cli.terminal.logging_setup import configure_logging; configure_logging('debug')\n"
    script += (
        "for level in ('error', 'warning', 'info', 'debug'): getattr(logging.getLogger('galaxy_edge.x'), level)(level)"
    )
    for name, other, expected in (
        ("journal", 0, "<3>galaxy-edge: error\n<4>galaxy-edge: warning\n<6>galaxy-edge: info\n<7>galaxy-edge: debug\n"),
        ("file", 1, "galaxy-edge: error\ngalaxy-edge: warning\ngalaxy-edge: info\ngalaxy-edge: debug\n"),
    ):
        with (tmp_path / name).open("w+") as stderr:
            status = os.fstat(stderr.fileno())
            stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + other}"}
            subprocess.run([sys.executable, "-c", script], stderr=stderr, env=os.environ | stream, check=True)
            stderr.seek(0)
            assert stderr.read() == expected


@pytest.mark.parametrize(("flags", "env", "settings"), [
    (["--quiet"], {}, ""),
    (["--log-level", "warning"], {}, ""),
    ([], {"GALAXY_EDGE_LOG_LEVEL": "warning"}, ""),
    ([], {"GALAXY_EDGE_QUIET": "1"}, ""),
    ([], {}, "log-level = 'warning'\n"),
    ([], {}, "quiet = true\n"),
])  # fmt: skip
def test_level_and_quiet_are_set_by_flag_variable_and_file(tmp_path, flags, env, settings):
    """The level is an option like others; an unknown one is an error everywhere."""
    (tmp_path / "galaxy-edge.toml").write_text(settings)
    script = "import click, logging; from galaxy_edge.cli.main import cli\n"
    script += (
        "cli.add_command(click.Command('level', callback=lambda: print(logging.getLogger('galaxy_edge').level)))\n"
    )
    script += "cli.main()"
    command = [sys.executable, "-c", script, *flags, "level"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | env)
    assert done.stdout.strip() == str(logging.WARNING), done.stderr


@pytest.mark.parametrize(("flags", "settings", "message"), [
    (["--log-level", "loud"], "", "'loud' is not one of"),
    ([], "log-level = 'loud'\n", "galaxy-edge.toml:1: 'log-level' is invalid"),
    ([], "quiet = 1\n", "galaxy-edge.toml:1: 'quiet' must be true or false"),
])  # fmt: skip
def test_an_unknown_level_is_refused(tmp_path, flags, settings, message):
    """The message names the line of the settings file."""
    (tmp_path / "galaxy-edge.toml").write_text(settings)
    done = command_line(*flags, "devices", cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr
