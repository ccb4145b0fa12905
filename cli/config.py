"""`galaxy-edge config`: show, check and begin ``galaxy-edge.toml``."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import click

from ..runtime.system.address import redact_credentials
from .options import FILE, CheckedText
from .settings import (
    DEFAULT,
    SettingsError,
    options_of,
    read_settings,
    settings_for,
    source_of,
    unknown_environment,
    wrong_variables,
)

HEAD = """\
# Settings of galaxy-edge. Every option of every command can be set here, under the command's name; a flag on the
# command line wins over the environment (GALAXY_EDGE_RUN_CAMERA is run's camera), and that over this file.
"""


@click.group()
def config() -> None:
    """Show, check and begin galaxy-edge.toml.

    It is read from the working folder, or from where --config before the command's name says.
    """


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("command", default="run")
@click.pass_context
def show(context: click.Context, as_json: bool, command: str) -> None:
    """Show what COMMAND (run) would work with, and where each setting is from."""
    root, target = _root(context), _command(context, command)
    root.default_map = settings_for(root, root.params["config"])
    if problems := wrong_variables(root.command, command.split()[0]):  # type: ignore[arg-type]
        raise SettingsError("\n".join(problems))
    below = root
    for depth, part in enumerate(command.split(), 1):  # each finds its own table and variables in that of its group
        below = click.Context(_command(context, " ".join(command.split()[:depth])), parent=below, info_name=part)
    rows = {key: source_of(target, below, key) for key in options_of(target)}
    shown = {key: (_masked(value), origin) for key, (value, origin) in rows.items()}
    if as_json:
        click.echo(json.dumps({key: {"value": value, "from": origin} for key, (value, origin) in shown.items()}))
        return
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("setting", "value", "from", box=box.SIMPLE_HEAD, pad_edge=False)
    for key, (value, origin) in shown.items():
        table.add_row(key, "" if value is None else escape(_toml(value)), origin)
    Console().print(table)


@config.command()
@click.argument("file", type=FILE, required=False)
@click.pass_context
def check(context: click.Context, file: Path | None) -> None:
    """Check FILE (galaxy-edge.toml) and the environment. Exit codes: 0 all right, 1 something is wrong, 2 wrong use."""
    root = _root(context)
    group = root.command
    assert isinstance(group, click.Group)
    file = file or root.params["config"] or DEFAULT
    settings = read_settings(file, group)
    problems = settings.problems + [line for name in group.commands for line in wrong_variables(group, name)]
    problems += unknown_environment(group)
    for line in problems:
        click.echo(line, err=True)
    if problems:
        raise SystemExit(1)
    click.echo(f"{file}: {settings.count} settings, nothing wrong")


@config.command()
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.argument("file", type=FILE, default=DEFAULT)
@click.pass_context
def init(context: click.Context, force: bool, file: Path) -> None:
    """Write FILE (galaxy-edge.toml) with every setting of run, explained and commented out."""
    from ..runtime.system.atomic_files import write_user_file

    if file.exists() and not force:
        raise click.UsageError(f"{file} is there already; --force replaces it")
    lines = [HEAD, "[run]"]
    for key, option in options_of(_command(context, "run")).items():
        lines += [textwrap.fill(option.help or "", 110, initial_indent="# ", subsequent_indent="# ")]
        lines += [f"#{key} = {_toml(_example(option))}", ""]
    try:
        write_user_file(file, "\n".join(lines).encode(), mode=0o600)  # it may come to hold a broker's password
    except OSError as problem:
        raise click.UsageError(f"'{file}' cannot be written: {problem.strerror}") from None
    click.echo(f"written: {file}")


def _root(context: click.Context) -> click.Context:
    return context.find_root()


def _command(context: click.Context, name: str) -> click.Command:
    """Find a command by its name, e.g. ``run`` or ``train detector``."""
    found: click.Command | None = _root(context).command
    for part in name.split():
        found = found.commands.get(part) if isinstance(found, click.Group) else None
    if found is None:
        raise click.UsageError(f"there is no command '{name}'")
    return found


def _example(option: click.Option) -> Any:
    """Give an option's default, or a value that fits it."""
    if option.is_flag:
        return option.default is True
    if isinstance(option.type, CheckedText):
        return option.default if isinstance(option.default, str) else option.type.example
    if isinstance(option.default, str | int | float | Path):
        return option.default
    if isinstance(option.type, click.Choice):
        return option.type.choices[0]
    if isinstance(option.type, click.types.IntParamType):
        return max(1, int(getattr(option.type, "min", None) or 1))
    if isinstance(option.type, click.types.FloatParamType):
        return 0.5
    return ""


def _toml(value: Any) -> str:
    return json.dumps(value if isinstance(value, bool | int | float) else str(value), ensure_ascii=False)


def _masked(value: Any) -> Any:
    """Show a value, an address without its password."""
    if isinstance(value, Path):
        return str(value)
    return redact_credentials(value) if isinstance(value, str) else value
