"""`galaxy-edge.toml`, environment and flags: one schema, the options themselves."""

import json
import re

import pytest
from click.testing import CliRunner
from galaxy_edge.cli.main import cli
from galaxy_edge.cli.settings import options_of
from galaxy_edge.errors import UserError
from helpers.command_line import galaxy_edge as command_line


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, **env):
    return CliRunner().invoke(cli, arguments, env=env)


def shown(*more, **env):
    done = run(*more, "config", "show", "--json", **env)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_flag_wins_over_the_environment_and_that_over_the_file(here):
    (here / "galaxy-edge.toml").write_text('[run]\ncamera = "demo"\nmax-frames = 7\nout = "nights"\n')
    settings = shown(GALAXY_EDGE_RUN_MAX_FRAMES="5")
    assert settings["camera"] == {"value": "demo", "from": "file"}
    assert settings["max-frames"] == {"value": 5, "from": "GALAXY_EDGE_RUN_MAX_FRAMES"}
    assert settings["quota"] == {"value": "2G", "from": "default"}
    done = command_line("run", "--max-frames", "2", "--json", cwd=here, env={"GALAXY_EDGE_RUN_MAX_FRAMES": "5"})
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 and (here / "nights" / "events.sqlite").exists()


def test_another_file_is_named_before_the_command(here):
    (here / "field.toml").write_text("[run]\nthreads = 3\n")
    assert shown("--config", "field.toml")["threads"] == {"value": 3, "from": "file"}
    assert shown(GALAXY_EDGE_CONFIG="field.toml")["threads"]["value"] == 3
    assert shown()["threads"]["value"] is None


def test_tables_follow_the_commands(here):
    (here / "galaxy-edge.toml").write_text(
        '[train.detector]\nepochs = 3\n[bench]\nrounds = 5\n[events.list]\nclass = "spiral"\n'
    )
    done = run("config", "check")
    assert done.exit_code == 0 and "3 settings" in done.output
    assert json.loads(run("config", "show", "bench", "--json").stdout)["rounds"] == {"value": 5, "from": "file"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[run]\nmin_score = 0.5", [":2: unknown key 'min_score'; did you mean 'min-score'?"]),
        ("# all\n\n[run]\nthreds = 2", [":4: unknown key 'threds'; did you mean 'threads'?"]),
        ("camera = 'demo'", [":1: unknown key 'camera'; it belongs under [run]"]),
        ("run = 5", [":1: 'run' is a command: its settings stand in one table [run]"]),
        ("[[bench]]\nrounds = 5", [":1: 'bench' is a command"]),
        ("[run]\ntiles = 'foo'", [":2: 'tiles' is wrong: tiles are auto, off or columns x rows"]),
        ("[run]\nserve = 'abc'", [":2: 'serve' is wrong: 'abc' is no address"]),
        ("[run]\nmqtt = 'nobroker'", [":2: 'mqtt' is wrong: 'nobroker' is no broker"]),
        ("[run]\nmqtt-prefix = 'a/#'", [":2: 'mqtt-prefix' is wrong: 'a/#' is no topic"]),
        ("[run]\ndevice = 'nope'", [":2: 'device' is wrong: there is no profile 'nope'"]),
        ("[rum]\ncamera = 'demo'", [":1: unknown table 'rum'; did you mean 'run'?"]),
        ("run.threds = 2", [":1: unknown key 'threds'"]),
        ("[run]\nthreads = '2'", [":2: 'threads' must be a whole number, not '2'"]),
        ("[run]\nthreads = true", [":2: 'threads' must be a whole number, not True"]),
        ("[run]\nthreads = 0", [":2: 'threads' is wrong: 0 is not in the range"]),
        ("[run]\nmin-score = 1.5", [":2: 'min-score' is wrong: 1.5 is not in the range"]),
        ("[run]\nshow = 'yes'", [":2: 'show' must be true or false, not 'yes'"]),
        ("[run]\nengine = 'fast'", [":2: 'engine' is wrong: 'fast' is not one of"]),
        ("[run]\nquota = '2 gigabytes'", [":2: 'quota' is wrong", "is not a size"]),
        ("[run]\ncamera = 3", [":2: 'camera' must be a text, not 3"]),
        ("[run]\ncamera = ['a']\nout = 1", [":2: 'camera' must be a text", ":3: 'out' must be a text"]),
        # What stands in a text is neither a key nor a table.
        ('[run]\ncamera = """\nthreads = 5\n[bench]\n"""\nthreads = 0', [":6: 'threads' is wrong"]),
        ("[run]\ncamera = '''\nthreads = \\'''\nthreads = 0", [":4: 'threads' is wrong"]),
        ('[run]\ncamera = """a\\"""\\"\nthreads = 5""""\nthreads = 0', [":4: 'threads' is wrong"]),
        ("# don't\n[run]\ncamera = '#'\nthreads = 0 # don't", [":4: 'threads' is wrong"]),
        ("[run]\ncamera = [\n'threads = 5',\n]\n\"threads\" = 0", [":5: 'threads' is wrong"]),
        # Nor is a list in a list, which alone on its line looks like a table.
        (
            "[run]\ncamera = [\n  [1, 2],\n  [3]\n]\nthreads = 0",
            [":2: 'camera' must be a text", ":6: 'threads' is wrong"],
        ),
        (
            "[bench]\nengine = [\n[[\n['run']]]\n]\nthreads = 3\n[run]\nthreads = 0",
            [":6: unknown key 'threads'", ":8: 'threads' is wrong"],
        ),
        ("[run]\nserve = [{a = [\n1], b = [\n['bench']\n]}]\nthreads = 0", [":6: 'threads' is wrong"]),
        ("[run]\ncamera = 'a\u2028b'\nthreads = 0", [":3: 'threads' is wrong"]),
        ("[run\n", ["is not valid TOML", "line 1"]),
        ("[run]\nhelp = true", [":2: unknown key 'help'"]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(here, text, told):
    (here / "galaxy-edge.toml").write_text(text)
    done = run("config", "check")
    assert done.exit_code != 0
    message = done.output + str(done.exception)
    assert all(part in message for part in told), message
    with pytest.raises(UserError) as problem:
        run_raising("run", "--camera", "demo")
    assert all(part in str(problem.value) for part in told) and problem.value.exit_code == 2


def run_raising(*arguments):
    cli.main(arguments, prog_name="galaxy-edge", standalone_mode=False)


def test_a_variable_that_is_no_option_is_an_error(here):
    done = command_line("run", "--camera", "demo", cwd=here, env={"GALAXY_EDGE_RUN_THREDS": "2"})
    assert done.returncode == 2 and "GALAXY_EDGE_RUN_THREDS; did you mean 'GALAXY_EDGE_RUN_THREADS'?" in done.stderr
    assert not (here / "galaxy-edge-out").exists()
    (here / "galaxy-edge.toml").write_text("")
    assert run("config", "check", GALAXY_EDGE_EVENTS_LIST_LIMITS="2").exit_code == 1


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("GALAXY_EDGE_RUN_STACK", "abc", "GALAXY_EDGE_RUN_STACK must be a whole number, not 'abc'"),
        ("GALAXY_EDGE_RUN_TILES", "foo", "GALAXY_EDGE_RUN_TILES is wrong: tiles are"),
        ("GALAXY_EDGE_RUN_SHOW", "perhaps", "GALAXY_EDGE_RUN_SHOW must be true or false"),
        (
            "GALAXY_EDGE_RUNN_CAMERA",
            "demo",
            "unknown variable GALAXY_EDGE_RUNN_CAMERA; did you mean 'GALAXY_EDGE_RUN_CAMERA'?",
        ),
    ],
)
def test_the_environment_is_checked_like_the_file(here, variable, value, told):
    (here / "galaxy-edge.toml").write_text("")
    done = run("config", "check", **{variable: value})
    assert done.exit_code == 1 and told in done.output
    assert run("config", "check", GALAXY_EDGE_RUN_STACK="4", GALAXY_EDGE_RUN_SHOW="1").exit_code == 0


def test_settings_of_a_command_in_a_group_are_shown_with_their_source(here):
    (here / "galaxy-edge.toml").write_text("[train.detector]\nepochs = 3\n")
    settings = json.loads(
        run("config", "show", "train detector", "--json", GALAXY_EDGE_TRAIN_DETECTOR_IMAGES="64").stdout
    )
    assert settings["epochs"] == {"value": 3, "from": "file"}
    assert settings["images"] == {"value": 64, "from": "GALAXY_EDGE_TRAIN_DETECTOR_IMAGES"}


@pytest.mark.parametrize(
    ("command", "key", "value", "old"),
    [
        ("run", "json", True, "AS_JSON"),
        ("events list", "class", "spiral", "NAME"),
        ("events show", "in", "nights", "FOLDER"),
        ("events prune", "all", True, "EVERYTHING"),
    ],
)
def test_a_variable_is_called_as_its_flag(here, command, key, value, old):
    """Whatever the function's own name for it is: that is nothing a user can know."""
    prefix = f"GALAXY_EDGE_{command.replace(' ', '_').upper()}"
    text = "1" if value is True else value
    settings = json.loads(run("config", "show", command, "--json", **{f"{prefix}_{key.upper()}": text}).stdout)
    assert settings[key] == {"value": value, "from": f"{prefix}_{key.upper()}"}
    (here / "galaxy-edge.toml").write_text("")
    assert run("config", "check", **{f"{prefix}_{key.upper()}": text}).exit_code == 0
    assert f"unknown variable {prefix}_{old}" in run("config", "check", **{f"{prefix}_{old}": text}).output


def test_the_variables_of_flags_are_heeded(here):
    done = command_line(
        "run",
        cwd=here,
        env={
            "GALAXY_EDGE_RUN_CAMERA": "demo",
            "GALAXY_EDGE_RUN_JSON": "1",
            "GALAXY_EDGE_RUN_MAX_FRAMES": "2",
        },
    )
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [0, 1], done.stderr
    env = {
        "GALAXY_EDGE_EVENTS_LIST_IN": "galaxy-edge-out",
        "GALAXY_EDGE_EVENTS_LIST_CLASS": "no such class",
        "GALAXY_EDGE_EVENTS_LIST_FORMAT": "json",
    }
    assert run("events", "list", **env).stdout == "[]\n"
    pruned = run("events", "prune", GALAXY_EDGE_EVENTS_PRUNE_ALL="1", GALAXY_EDGE_EVENTS_PRUNE_JSON="1")
    assert pruned.exit_code == 0 and "events" in json.loads(pruned.stdout), pruned.output


def test_a_data_set_is_found_by_either_variable(here):
    for variable in ("GALAXY_EDGE_DATA", "GALAXY_EDGE_TRAIN_DETECTOR_DATA"):
        env = {"GALAXY_EDGE_DATA": None, variable: "sets"}
        settings = json.loads(run("config", "show", "train detector", "--json", **env).stdout)
        assert settings["data"] == {"value": "sets", "from": variable}


def test_wrong_use_begins_no_run(here):
    for wrong in (
        ["--tiles", "foo"],
        ["--profile", "/nowhere/x"],
        ["--serve", "abc"],
        ["--mqtt", "foo"],
        ["--mqtt-ca", "none"],
        ["--models", "/nowhere"],
        ["--require-signature", "none"],
    ):
        done = command_line("run", "--camera", "demo", *wrong, cwd=here)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert list(here.iterdir()) == []


def test_the_file_that_init_writes_is_right_and_complete(here):
    assert run("config", "init").exit_code == 0
    text = (here / "galaxy-edge.toml").read_text()
    assert (here / "galaxy-edge.toml").stat().st_mode & 0o777 == 0o600
    for key in options_of(cli.commands["run"]):
        assert f"\n#{key} = " in text
    assert run("config", "check").exit_code == 0
    # Every example is a value that the option takes, but for texts without a default.
    (here / "galaxy-edge.toml").write_text(re.sub(r"^#(?=[a-z-]+ = )", "", text, flags=re.M))
    done = run("config", "check")
    assert done.exit_code == 0, done.output
    assert "is there already" in run("config", "init").output
    assert run("config", "init", "--force").exit_code == 0


def test_passwords_are_not_shown(here):
    (here / "galaxy-edge.toml").write_text('[run]\ncamera = "rtsp://me:secret@scope/stream"\n')
    done = run("config", "show")
    assert "secret" not in done.output and "rtsp://me:***@scope" in done.output
