"""Renamed options: the old name keeps working and is not shown in the help."""

import json

import click
import pytest
from click.testing import CliRunner
from galaxy_edge.cli.evaluate import evaluate
from galaxy_edge.cli.export import build_settings, export
from galaxy_edge.cli.main import cli
from galaxy_edge.cli.study import study


def shown_settings(*words, **environment):
    """Return what `config show` prints for a command."""
    done = CliRunner().invoke(cli, ["config", "show", "--json", " ".join(words)], env=environment)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def option(command, flag):
    (found,) = [parameter for parameter in command.params if flag in parameter.opts]
    assert isinstance(found, click.Option)
    return found


def test_rescue_is_the_old_name_of_fallback():
    """Scripts of earlier versions call `export --rescue auto`."""
    assert option(export, "--rescue").hidden and not option(export, "--fallback").hidden
    assert build_settings(True, None, False, fallback="none", rescue="auto").fallback == "auto"
    assert build_settings(True, None, False, fallback="auto", rescue=None).fallback == "auto"


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


@pytest.mark.parametrize("typed", ["judge", "evaluate"])
@pytest.mark.parametrize("table", ["judge", "evaluate"])
def test_settings_of_a_renamed_command_are_found_by_either_name(tmp_path, monkeypatch, typed, table):
    """A settings file of an earlier version has [study.judge].

    It holds however the command is called.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "galaxy-edge.toml").write_text(f"[study.{table}]\nsplit-seed = 3\n")
    settings = shown_settings("study", typed)
    assert settings["split-seed"] == {"value": 3, "from": "file"}
    name = f"GALAXY_EDGE_STUDY_{table.upper()}_SPLIT_SEED"
    assert shown_settings("study", typed, **{name: "2"})["split-seed"] == {"value": 2, "from": name}


def test_table_of_the_new_name_overrides_that_of_the_old(tmp_path, monkeypatch):
    """The order of the tables in the file does not matter."""
    monkeypatch.chdir(tmp_path)
    old, new = "[study.judge]\nsplit-seed = 3\n", "[study.evaluate]\nsplit-seed = 4\n"
    for text in (old + new, new + old):
        (tmp_path / "galaxy-edge.toml").write_text(text)
        assert shown_settings("study", "evaluate")["split-seed"]["value"] == 4


@pytest.mark.parametrize("typed", ["judge", "evaluate"])
def test_command_receives_the_settings_of_its_old_table(tmp_path, monkeypatch, typed):
    """The command itself reads the table, and not only `config show`."""
    monkeypatch.chdir(tmp_path)
    received = []
    monkeypatch.setattr(
        study.commands["evaluate"], "callback", lambda **options: received.append(options["split_seed"])
    )
    (tmp_path / "galaxy-edge.toml").write_text("[study.judge]\nsplit-seed = 3\n")
    for environment, expected in (({}, 3), ({"GALAXY_EDGE_STUDY_JUDGE_SPLIT_SEED": "2"}, 2)):
        done = CliRunner().invoke(
            cli, ["study", typed, "--data", ".", "x", "."], env=environment, catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        assert received.pop() == expected


@pytest.mark.parametrize(
    ("command", "old", "value"),
    [("export", "rescue", '"auto"'), ("train.detector", "skip-bad", "true"), ("eval.pipeline", "unseen", "true")],
)
def test_old_flags_stay_keys_and_variables(tmp_path, monkeypatch, command, old, value):
    """Settings files and environments of earlier versions use the old flags' names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "galaxy-edge.toml").write_text(f"[{command}]\n{old} = {value}\n")
    expected = value.strip('"') if value != "true" else True
    words = command.split(".")
    assert shown_settings(*words)[old] == {"value": expected, "from": "file"}
    name = "_".join(["GALAXY_EDGE", *words, old]).upper().replace("-", "_")
    assert shown_settings(*words, **{name: value.strip('"')})[old]["from"] == name


def test_study_writes_into_the_working_folder(tmp_path, monkeypatch):
    """Nothing is written into the installed package by default.

    It may be read-only or shared.
    """
    pytest.importorskip("tensorflow", reason="needs the train extra")
    monkeypatch.chdir(tmp_path)
    for command in ("results", "report"):
        done = CliRunner().invoke(study, [command], catch_exceptions=False)
        assert done.exit_code == 0 and done.output == "written to study-results/RESULTS.md\n"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")] == ["study-results/RESULTS.md"]
