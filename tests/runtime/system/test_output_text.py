"""Names and texts from anywhere, where they are printed, logged or exported.

They stay text.
"""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest
from galaxy_edge.models.markdown import markdown_row, markdown_text
from galaxy_edge.runtime.monitoring.console import PlainConsole
from galaxy_edge.runtime.system.address import printable_name
from galaxy_edge.runtime.system.output_text import csv_cell, json_line
from helpers.paths import ROOT
from rich.table import Table

NAMES = ["a[/]b", "[/bold]x", "[link=https://evil]x[/link]", "[red]x", ":boom:", "\x1b]8;;https://evil\x1b\\x", "a\u2028b",
         "a\u202egpj.exe", "\u2066x", "a\x85b", "a\rb", "\ufeffx", "a\x7fb", "\ud800x", "=HYPERLINK(1)", "<img src=x onerror=1>", "e\u0301 \u05d0 \u4e2d"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_it_is_without_control_characters(name):
    """Names in a line, a cell or a table's title are printed literally.

    Rich would fail on ``[/]`` or make a link.
    """
    console = PlainConsole(width=200)
    console.file = io.StringIO()
    table = Table("name", title=name)
    table.add_row(name)
    console.print(name)
    console.print(table)
    shown = console.file.getvalue()
    assert shown.count(printable_name(name)) == 3
    assert printable_name(shown.replace("\n", "")) == shown.replace("\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_json_stays_one_line_and_says_the_same(name):
    line = json_line({"source": name})
    assert len(line.splitlines()) == 1 and json.loads(line) == {"source": name}
    assert printable_name(line) == line


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1", " =1", "\uff1d1", "|cmd", "\ufeff=1"])
def test_no_cell_of_csv_is_a_formula(text):
    """OWASP's list, and the full-width forms that spreadsheets take for the same.

    Other texts are not changed.
    """
    stream = io.StringIO()
    csv.writer(stream).writerow([csv_cell(text), csv_cell("spiral"), csv_cell("crops/0001/1.png")])
    assert next(csv.reader(io.StringIO(stream.getvalue()))) == [f"'{text}", "spiral", "crops/0001/1.png"]


def test_no_part_of_a_cell_is_a_formula_where_semicolons_separate():
    assert csv_cell("m81;=cmd(1).fits") == "m81;'=cmd(1).fits" and csv_cell("a\n @x;b-1") == "a\n' @x;b-1"


def test_markdown_makes_no_link_or_tag_of_a_name():
    assert markdown_text("![x](https://evil) <b>`") == "!\\[x\\](https://evil) &lt;b>\\`"
    assert markdown_row(["<script>", "a|b", "a\nb", "5 < 6"]) == "| &lt;script> | a\\|b | a b | 5 < 6 |"


def test_every_console_takes_text_as_it_is():
    """A `rich.console.Console` of its own anywhere would bring markup back."""
    rooms = ("cli", "runtime", "benchmarks", "export", "training", "devices", "models")
    sources = [path for room in rooms for path in (ROOT / room).rglob("*.py") if path.name != "console.py"]
    assert not [path for path in sources if " Console(" in path.read_text(encoding="utf-8")]


def test_a_run_on_a_terminal_survives_a_name_in_brackets(tmp_path):
    """The live table has the source's name in a cell.

    ``[/]`` ended the run with an error.
    """
    name = "m31[/] [link=https:evil]\u202egnp.jpg"
    (tmp_path / "sky" / "m31[").mkdir(parents=True)
    (tmp_path / "sky" / name).write_bytes((ROOT / "tests" / "data" / "n6751.jpg").read_bytes())
    command = [sys.executable, "-m", "galaxy_edge", "run", "--camera", tmp_path / "sky", "--out", tmp_path / "o[/]ut"]
    command += ["--min-score", "0.05"]  # so that something is in the table
    terminal, inner = pty.openpty()
    with subprocess.Popen(command, stdout=inner, stderr=inner, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(inner)
        shown = b""
        while True:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:  # the run has ended and closed its side
                break
            shown += chunk
    os.close(terminal)
    assert process.returncode == 0, shown
    assert b"\x1b]8" not in shown and "\u202e".encode() not in shown and b"o[/]ut/events.sqlite" in shown
    assert "\u202e" not in (tmp_path / "o[/]ut" / "frames-0001.jsonl").read_text(encoding="utf-8")


def test_a_table_has_lines_on_a_terminal_only(monkeypatch, capsys):
    """In a log or a pipe they are in the way."""
    for terminal in (True, False):
        console = PlainConsole(width=40)
        monkeypatch.setattr(console, "_force_terminal", terminal)
        table = Table("gate", "result")
        table.add_row("contract", "passed")
        console.print(table)
        assert ("│" in capsys.readouterr().out) == terminal
