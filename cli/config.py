"""`galaxy-edge config`: show, check and create ``galaxy-edge.toml``."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import click

from ..runtime.system.address import redact_credentials
from .command_groups import current_name
from .options import FILE, CheckedText, PlaceType, Size
from .settings import (
    DEFAULT,
    SettingsError,
    invalid_variables,
    options_of,
    read_settings,
    settings_for,
    source_of,
    unknown_environment,
)

HEAD = """\
# Settings of galaxy-edge. Every option of every command can be set here, in the table of the command. A flag on the
# command line overrides the environment (GALAXY_EDGE_RUN_CAMERA is run's camera), which overrides this file.
"""


@click.group()
def config() -> None:
    """Show, check and create galaxy-edge.toml.

    It is read from the working folder, or from the file given by --config before the command's name.
    """


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("command", default="run")
@click.pass_context
def show(context: click.Context, as_json: bool, command: str) -> None:
    """Show the settings of COMMAND (default: run) and the origin of each."""
    root, target = _root(context), _command(context, command)
    root.default_map = settings_for(root, root.params["config"])
    assert isinstance(root.command, click.Group)
    if errors := invalid_variables(root.command, command.split()[0]):
        raise SettingsError("\n".join(errors))
    nested = root
    for depth, part in enumerate(command.split(), 1):  # each context finds its table in that of its parent
        group = nested.command
        nested = click.Context(
            _command(context, " ".join(command.split()[:depth])), parent=nested, info_name=current_name(group, part)
        )
    values = {key: source_of(target, nested, key) for key in options_of(target)}
    rows = {key: (_displayed(value), origin) for key, (value, origin) in values.items()}
    if as_json:
        click.echo(json.dumps({key: {"value": value, "from": origin} for key, (value, origin) in rows.items()}))
        return
    from rich import box
    from rich.table import Table

    from ..runtime.monitoring.console import PlainConsole

    table = Table("setting", "value", "from", box=box.SIMPLE_HEAD, pad_edge=False)
    for key, (value, origin) in rows.items():
        table.add_row(key, "" if value is None else _toml(value), origin)
    PlainConsole().print(table)


@config.command()
@click.argument("file", type=FILE, required=False)
@click.pass_context
def check(context: click.Context, file: Path | None) -> None:
    """Check FILE (default: galaxy-edge.toml) and the environment.

    Exit codes: 0 valid, 1 invalid, 2 usage error.
    """
    root = _root(context)
    group = root.command
    assert isinstance(group, click.Group)
    file = file or root.params["config"] or DEFAULT
    settings = read_settings(file, group)
    errors = settings.errors + [line for name in group.commands for line in invalid_variables(group, name)]
    errors += unknown_environment(group)
    for line in errors:
        click.echo(line, err=True)
    if errors:
        raise SystemExit(1)
    click.echo(f"{file}: {settings.count} settings, no errors")


@config.command()
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.argument("file", type=FILE, default=DEFAULT)
@click.pass_context
def init(context: click.Context, force: bool, file: Path) -> None:
    """Write FILE (default: galaxy-edge.toml) with every setting of run.

    Each setting is explained and commented out.
    """
    from ..files import write_user_file

    if file.exists() and not force:
        raise click.UsageError(f"{file} already exists; --force replaces it")
    lines = [HEAD, "[run]"]
    for key, option in options_of(_command(context, "run")).items():
        lines += [textwrap.fill(option.help or "", 110, initial_indent="# ", subsequent_indent="# ")]
        lines += [f"#{key} = {_toml(_example(option))}", ""]
    try:
        write_user_file(file, "\n".join(lines).encode(), mode=0o600)  # a broker's password may be added to it
    except OSError as error:
        raise click.UsageError(f"'{file}' cannot be written: {error.strerror}") from None
    click.echo(f"written: {file}")


def _root(context: click.Context) -> click.Context:
    return context.find_root()


def _command(context: click.Context, name: str) -> click.Command:
    """Return a command by its name, e.g. ``run`` or ``train detector``."""
    found: click.Command | None = _root(context).command
    for part in name.split():
        found = found.commands.get(current_name(found, part)) if isinstance(found, click.Group) else None
    if found is None:
        raise click.UsageError(f"there is no command '{name}'")
    return found


def _example(option: click.Option) -> Any:
    """Return an option's default, or an example of a valid value."""
    if option.is_flag:
        return option.default is True
    if option.multiple:
        return [option.type.example] if isinstance(option.type, CheckedText) else []
    if isinstance(option.type, CheckedText | PlaceType | Size):
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
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value), ensure_ascii=False)


def _displayed(value: Any) -> Any:
    """Return a value as it is shown: an address without its password, a path as text."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list):
        return [_displayed(part) for part in value]
    return redact_credentials(value) if isinstance(value, str) else value
