"""Renamed options: the old name keeps working and is not shown in the help."""

import click
import pytest
from galaxy_edge.cli.evaluate import evaluate
from galaxy_edge.cli.export import _settings, export
from galaxy_edge.cli.study import study


def option(command, flag):
    (found,) = [parameter for parameter in command.params if flag in parameter.opts]
    assert isinstance(found, click.Option)
    return found


def test_rescue_is_the_old_name_of_fallback():
    """Scripts of earlier versions call `export --rescue auto`."""
    assert option(export, "--rescue").hidden and not option(export, "--fallback").hidden
    assert _settings(True, None, False, fallback="none", rescue="auto").fallback == "auto"
    assert _settings(True, None, False, fallback="auto", rescue=None).fallback == "auto"


@pytest.mark.parametrize("name", ["detector", "pipeline"])
def test_unseen_is_the_old_name_of_held_out(name):
    """Scripts of earlier versions call `eval detector --unseen`."""
    command = evaluate.commands[name]
    assert option(command, "--unseen").hidden and not option(command, "--held-out").hidden


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("judge", "evaluate"),
        ("judge-detectors", "evaluate-detectors"),
        ("keep", "save-table"),
        ("results", "report"),
    ],
)
def test_old_verbs_of_the_study(old, new):
    """Scripts of earlier versions call `study judge`."""
    context = click.Context(study)
    assert study.get_command(context, old) is study.commands[new]
    assert new in study.list_commands(context) and old not in study.list_commands(context)


def test_study_writes_into_the_working_folder(tmp_path, monkeypatch):
    """By default nothing is written into the installed package, which may be read-only or shared."""
    pytest.importorskip("tensorflow", reason="needs the train extra")
    from click.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    for command in ("results", "report"):
        done = CliRunner().invoke(study, [command], catch_exceptions=False)
        assert done.exit_code == 0 and done.output == "written to study-results/RESULTS.md\n"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")] == ["study-results/RESULTS.md"]
