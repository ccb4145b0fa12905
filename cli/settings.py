"""Settings from ``galaxy-edge.toml`` and the environment, for every option."""

from __future__ import annotations

import logging
import os
import stat
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from ..devices.toml_lines import did_you_mean, find_line
from ..errors import UserError
from ..runtime.system.address import redact_credentials
from .command_groups import current_name, named_commands
from .options import Size
from .terminal.settings_trust import check_trust

logger = logging.getLogger(__name__)

DEFAULT = Path("galaxy-edge.toml")
PREFIX = "GALAXY_EDGE"
ROOT = (f"{PREFIX}_DATA", f"{PREFIX}_CONFIG", f"{PREFIX}_LOG_LEVEL", f"{PREFIX}_QUIET")
"""Variables that belong to no command: the folder of data sets, the settings file, and what is printed."""


class SettingsError(UserError):
    """Invalid settings; the message has one line for each."""

    exit_code = 2


class Settings:
    """The checked content of a settings file.

    Attributes:
        values: by command and option, as click's ``default_map``.
        count: number of settings.
        errors: one line for each invalid key or value, with file and line.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.count = 0
        self.errors: list[str] = []


def options_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command that can be set, by their long flag."""
    return {
        max(option.opts, key=len).lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option) and option.expose_value and not option.is_eager
    }


def read_settings(path: Path, root: click.Group) -> Settings:
    """Read and check a settings file.

    Args:
        path: the file.
        root: the command line; its commands are the tables and their options are the keys.

    Raises:
        SettingsError: the file cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from None
    _warn_if_exposed(path, content)
    settings = Settings()
    settings.values = _check_table(content, root, (), settings, lambda keys: f"{path}{find_line(text, keys)}")
    return settings


def settings_for(context: click.Context, path: Path | None) -> dict[str, Any]:
    """Return the settings in a file: the one given, otherwise `DEFAULT` if it exists.

    Raises:
        SettingsError: something in the file or in the command's environment variables is invalid.
    """
    root = context.command
    assert isinstance(root, click.Group)
    variable_errors = invalid_variables(root, context.invoked_subcommand)
    settings = Settings()
    if path or DEFAULT.is_file():
        settings = read_settings(path or DEFAULT, root)
        if path is None and context.invoked_subcommand:
            check_trust(DEFAULT, settings.values.get(context.invoked_subcommand, {}))
    if errors := settings.errors + variable_errors:
        raise SettingsError("\n".join(errors))
    return settings.values


def name_variables(name: str, command: click.Command) -> None:
    """Give every option of a command its environment variable.

    Its name is made of the command and the long flag.

    click's ``auto_envvar_prefix`` would name it after the function's parameter instead, e.g. ``AS_JSON``.
    """
    for variable, option in _variables(command, f"{PREFIX}_{_variable(name)}"):
        declared = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
        option.envvar = [*declared, variable]


def invalid_variables(root: click.Group, name: str | None) -> list[str]:
    """Return a line for each invalid environment variable of a command."""
    if name is None or name not in root.commands:
        return []
    prefix = f"{PREFIX}_{_variable(name)}"
    known = dict(_variables(root.commands[name], prefix))
    errors = []
    # Variables of a command whose name begins with this one's are not its own.
    longer = tuple(f"{PREFIX}_{_variable(other)}_" for other in root.commands if other.startswith(f"{name}-"))
    for key in sorted(key for key in os.environ if key.startswith(prefix + "_") and not key.startswith(longer)):
        if key not in known:
            errors.append(f"the environment: unknown variable {key}{did_you_mean(key, known)}")
        elif error := _text_error(known[key], os.environ[key]):
            errors.append(f"the environment: {key} {error}")
    return errors


def unknown_environment(root: click.Group) -> list[str]:
    """Return a line for each variable of ours that belongs to no command."""
    prefixes = [f"{PREFIX}_{_variable(name)}_" for name in root.commands]
    unknown = sorted(key for key in os.environ if key.startswith(f"{PREFIX}_") and not key.startswith(tuple(prefixes)))
    known = [
        variable
        for name, command in root.commands.items()
        for variable, _ in _variables(command, f"{PREFIX}_{_variable(name)}")
    ]
    return [f"the environment: unknown variable {key}{did_you_mean(key, known)}" for key in unknown if key not in ROOT]


def source_of(command: click.Command, context: click.Context, key: str) -> tuple[Any, str]:
    """Return the value of an option that was not given, and its origin.

    Raises:
        click.BadParameter: the value from the environment is invalid.
    """
    option = options_of(command)[key]
    value, source = option.consume_value(context, {})
    variable = next((name for name in option.envvar or () if os.environ.get(name)), "")
    origins = {
        click.core.ParameterSource.ENVIRONMENT: variable,
        click.core.ParameterSource.DEFAULT_MAP: "file",
    }
    if option.multiple and isinstance(value, list | tuple) and value:
        return [option.type.convert(part, option, context) for part in value], origins.get(source, "default")
    if not isinstance(value, str | int | float | bool | Path):
        return None, origins.get(source, "default")
    converted = option.type.convert(value, option, context)
    # A size is shown as it is written, e.g. 2G.
    return (value if isinstance(option.type, Size) else converted), origins.get(source, "default")


def _check_table(
    content: dict[str, Any],
    command: click.Command,
    keys: tuple[str, ...],
    settings: Settings,
    position: Callable[[tuple[str, ...]], str],
) -> dict[str, Any]:
    """Check a table against a command; return it as click's ``default_map``.

    Args:
        keys: path of the table.
        where: returns file and line of a key's path.
    """
    known = options_of(command)
    if not keys:
        known.pop("config", None)  # names the file itself
    commands = dict(named_commands(command)) if isinstance(command, click.Group) else {}
    values: dict[str, Any] = {}
    for key, value in content.items():
        path = (*keys, key)
        if key in commands and isinstance(value, dict):
            table = _check_table(value, commands[key], path, settings, position)
            name = current_name(command, key)
            # A table of an old name does not override one of the new name.
            values[name] = table | values.get(name, {}) if name != key else values.get(name, {}) | table
        elif key in commands:
            header = f"[{'.'.join(path)}]"
            settings.errors.append(f"{position(path)}: '{key}' is a command: its settings belong in one table {header}")
        elif key in known:
            settings.count += 1
            error = _option_error(known[key], value)
            if error:
                settings.errors.append(f"{position(path)}: '{key}' {error}")
            else:
                values[known[key].name] = value
        else:
            kind = "table" if isinstance(value, dict) else "key"
            hint = did_you_mean(key, [*known, *commands]) if keys or kind == "table" else _table_hint(key, command)
            settings.errors.append(f"{position(path)}: unknown {kind} '{key}'{hint}")
    return values


def _table_hint(key: str, root: click.Command) -> str:
    """Return a hint in which tables a key belongs that is outside of every table."""
    assert isinstance(root, click.Group)
    tables = [f"[{name}]" for name, command in root.commands.items() if key in options_of(command)]
    return (
        f"; it belongs in {' or '.join(tables)}"
        if tables
        else "; settings belong in the table of their command, e.g. [run]"
    )


def _option_error(option: click.Option, value: object) -> str | None:
    """Return what is wrong with an option's value; None if it is valid."""
    kind = option.type
    if option.multiple:
        if not isinstance(value, list):
            return f"must be a list, not {_shown(value)}"
        return next((error for entry in value if (error := _value_error(kind, option, entry))), None)
    return _value_error(kind, option, value)


def _value_error(kind: click.ParamType[Any], option: click.Option, value: object) -> str | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if option.is_flag:
        return None if isinstance(value, bool) else f"must be true or false, not {_shown(value)}"
    if isinstance(kind, click.types.IntParamType):
        if not is_number or not isinstance(value, int):
            return f"must be a whole number, not {_shown(value)}"
    elif isinstance(kind, click.types.FloatParamType):
        if not is_number:
            return f"must be a number, not {_shown(value)}"
    elif not isinstance(value, str) and not (isinstance(kind, Size) and is_number):
        return f"must be a string, not {_shown(value)}"
    try:
        kind.convert(value, option, None)
    except click.BadParameter as error:
        return f"is invalid: {error.message.replace(str(value), redact_credentials(str(value)))}"
    return None


def _shown(value: object) -> str:
    """Return an invalid value for a message, without credentials."""
    if isinstance(value, str):
        return repr(redact_credentials(value))
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else repr(value)


def _warn_if_exposed(path: Path, content: object) -> None:
    """Warn if others can read a settings file that may hold a password."""
    mode = path.stat().st_mode
    if mode & 0o044 and stat.S_ISREG(mode) and any(redact_credentials(text) != text for text in _texts(content)):
        logger.warning("%s may hold a password in an address, and other users can read it: "
                       "run chmod 600 %s", path, path)  # fmt: skip


def _texts(content: object) -> Iterator[str]:
    """Yield every string in a TOML document's values."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _texts(value)


def _text_error(option: click.Option, text: str) -> str | None:
    """Return the error in an option's environment variable, or None."""
    value: object = text
    kind = option.type
    try:
        if option.is_flag:
            value = click.BOOL.convert(text, option, None)
        elif isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            value = int(text) if isinstance(kind, click.types.IntParamType) else float(text)
    except (ValueError, click.BadParameter):
        pass  # it stays text, which is reported below
    if option.multiple:
        parts = kind.split_envvar_value(text)
        return next((error for part in parts if (error := _value_error(kind, option, part))), None)
    return _value_error(kind, option, value)


def _variables(command: click.Command, prefix: str) -> Iterator[tuple[str, click.Option]]:
    """Yield variable and option of a command and those below it."""
    for key, option in options_of(command).items():
        yield f"{prefix}_{_variable(key)}", option
    if isinstance(command, click.Group):
        for name, subcommand in named_commands(command):
            yield from _variables(subcommand, f"{prefix}_{_variable(name)}")


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
