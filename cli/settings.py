"""Settings from a file: every option of every command is a key of ``galaxy-edge.toml``; the options are the schema."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ..errors import UserError
from .options import Size

DEFAULT = Path("galaxy-edge.toml")
PREFIX = "GALAXY_EDGE"
ROOT = (f"{PREFIX}_DATA", f"{PREFIX}_CONFIG", f"{PREFIX}_LOG_LEVEL", f"{PREFIX}_QUIET")
"""Variables of no command: the folder of data sets, the file of settings, and what is printed."""


class SettingsError(UserError):
    """Settings that cannot be used; a line for each."""

    exit_code = 2


@dataclass
class Settings:
    """What a file says, checked.

    Attributes:
        values: by command and option, as click takes it (``default_map``).
        count: number of settings.
        problems: a line for each key or value that is wrong, with file and line.
    """

    values: dict[str, Any] = field(default_factory=dict)
    count: int = 0
    problems: list[str] = field(default_factory=list)


_TEXTS = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'{3}.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*', re.DOTALL)
"""Strings and comments of TOML: no key and no table begins in them."""


def options_of(command: click.Command) -> dict[str, click.Option]:
    """List the options of a command that can be set, by their key: the long flag without its dashes."""
    found = {}
    for one in command.params:
        if isinstance(one, click.Option) and one.expose_value and not one.is_eager:
            found[max(one.opts, key=len).lstrip("-")] = one
    return found


def read_settings(path: Path, root: click.Group) -> Settings:
    """Read and check a file.

    Args:
        root: the command line, whose commands are the tables and whose options are the keys.

    Raises:
        SettingsError: the file cannot be read or is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as problem:
        raise SettingsError(f"{path}: cannot be read ({problem.strerror})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(f"{path}: is not valid TOML: {problem}") from None
    settings = Settings()
    settings.values = _table(content, root, (), settings, lambda keys: f"{path}{_line(text, keys)}")
    return settings


def settings_for(context: click.Context, path: Path | None) -> dict[str, Any]:
    """Read the settings of a command line: of the file that is named, else of `DEFAULT` where there is one.

    Raises:
        SettingsError: something in the file or in the command's environment is wrong; the message has every line.
    """
    root = context.command
    assert isinstance(root, click.Group)
    problems = wrong_variables(root, context.invoked_subcommand)
    settings = Settings()
    if path or DEFAULT.is_file():
        settings = read_settings(path or DEFAULT, root)
    if problems := settings.problems + problems:
        raise SettingsError("\n".join(problems))
    return settings.values


def name_variables(root: click.Group) -> None:
    """Give every option of every command its environment variable: the command's and the long flag's name.

    click's own rule (``auto_envvar_prefix``) takes the name of the function's parameter instead, as in ``AS_JSON``.
    """
    for variable, option in _variables(root, PREFIX):
        own = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
        option.envvar = [*own, variable]


def wrong_variables(root: click.Group, name: str | None) -> list[str]:
    """Find environment variables that look like options of a command and are none: a line for each."""
    if name is None or name not in root.commands:
        return []
    prefix = f"{PREFIX}_{_variable(name)}"
    known = dict(_variables(root.commands[name], prefix))
    wrong = []
    for key in sorted(key for key in os.environ if key.startswith(prefix + "_")):
        if key not in known:
            wrong.append(f"the environment: unknown variable {key}{_suggest(key, known)}")
        elif problem := _unfit_text(known[key], os.environ[key]):
            wrong.append(f"the environment: {key} {problem}")
    return wrong


def unknown_environment(root: click.Group) -> list[str]:
    """Find environment variables that look like the options of commands that are none: a line for each."""
    prefixes = [f"{PREFIX}_{_variable(name)}_" for name in root.commands]
    strange = sorted(key for key in os.environ if key.startswith(f"{PREFIX}_") and not key.startswith(tuple(prefixes)))
    known = [
        variable
        for name, command in root.commands.items()
        for variable, _ in _variables(command, f"{PREFIX}_{_variable(name)}")
    ]
    return [f"the environment: unknown variable {key}{_suggest(key, known)}" for key in strange if key not in ROOT]


def source_of(command: click.Command, context: click.Context, key: str) -> tuple[Any, str]:
    """Tell the value of an option as it stands without flags, and where it is from.

    Raises:
        click.BadParameter: the value from the environment does not fit.
    """
    option = options_of(command)[key]
    value, source = option.consume_value(context, {})
    variable = next((name for name in option.envvar or () if os.environ.get(name)), "")
    names = {
        click.core.ParameterSource.ENVIRONMENT: variable,
        click.core.ParameterSource.DEFAULT_MAP: "file",
    }
    if not isinstance(value, str | int | float | bool | Path):
        return None, names.get(source, "default")
    fitted = option.type.convert(value, option, context)
    # What is written in words, as 2G, is shown so.
    return (value if isinstance(option.type, Size) else fitted), names.get(source, "default")


def _table(
    content: dict[str, Any], command: click.Command, keys: tuple[str, ...], settings: Settings, where: Any
) -> dict[str, Any]:
    """Check a table against a command; return it as click takes it."""
    known: dict[str, Any] = options_of(command)
    if not keys:
        known.pop("config", None)  # the file itself
    below = command.commands if isinstance(command, click.Group) else {}
    values: dict[str, Any] = {}
    for key, value in content.items():
        here = (*keys, key)
        if key in below and isinstance(value, dict):
            values[key] = _table(value, below[key], here, settings, where)
        elif key in below:
            table = f"[{'.'.join(here)}]"
            settings.problems.append(f"{where(here)}: '{key}' is a command: its settings stand in one table {table}")
        elif key in known:
            settings.count += 1
            problem = _problem(known[key], value)
            if problem:
                settings.problems.append(f"{where(here)}: '{key}' {problem}")
            else:
                values[known[key].name] = value
        else:
            what = "table" if isinstance(value, dict) else "key"
            hint = _suggest(key, [*known, *below]) if keys or what == "table" else _home(key, command)
            settings.problems.append(f"{where(here)}: unknown {what} '{key}'{hint}")
    return values


def _home(key: str, root: click.Command) -> str:
    """Say under which commands a key belongs that stands outside of every table."""
    assert isinstance(root, click.Group)
    homes = [f"[{name}]" for name, command in root.commands.items() if key in options_of(command)]
    return f"; it belongs under {' or '.join(homes)}" if homes else "; settings stand under their command, as [run]"


def _problem(option: click.Option, value: Any) -> str | None:
    """Say what is wrong with a value; None if it is right."""
    kind = option.type
    if option.multiple:
        if not isinstance(value, list):
            return f"must be a list, not {value!r}"
        return next((told for one in value if (told := _unfit(kind, option, one))), None)
    return _unfit(kind, option, value)


def _unfit(kind: click.ParamType, option: click.Option, value: Any) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if option.is_flag:
        return None if isinstance(value, bool) else f"must be true or false, not {value!r}"
    if isinstance(kind, click.types.IntParamType):
        if not number or not isinstance(value, int):
            return f"must be a whole number, not {value!r}"
    elif isinstance(kind, click.types.FloatParamType):
        if not number:
            return f"must be a number, not {value!r}"
    elif not isinstance(value, str) and not (isinstance(kind, Size) and number):
        return f"must be a text, not {value!r}"
    try:
        kind.convert(value, option, None)
    except click.BadParameter as problem:
        return f"is wrong: {problem.message}"
    return None


def _unfit_text(option: click.Option, text: str) -> str | None:
    """Say what is wrong with a value from the environment, which is text whatever the option; None if nothing is."""
    value: Any = text
    kind = option.type
    try:
        if option.is_flag:
            value = click.BOOL.convert(text, option, None)
        elif isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            value = int(text) if isinstance(kind, click.types.IntParamType) else float(text)
    except (ValueError, click.BadParameter):
        pass  # it is told of as what it is, a text
    if option.multiple:
        return None
    return _unfit(kind, option, value)


def _variables(command: click.Command, prefix: str) -> Iterator[tuple[str, click.Option]]:
    for key, option in options_of(command).items():
        yield f"{prefix}_{_variable(key)}", option
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from _variables(below, f"{prefix}_{_variable(name)}")


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def _line(text: str, keys: tuple[str, ...]) -> str:
    """Find where a key or table is written, as ``:line``; empty where it is written in an unusual way."""
    table: tuple[str, ...] = ()
    inside = 0  # so many lists: a list in a list, alone on its line, looks like a table
    for number, line in enumerate(_TEXTS.sub(lambda found: re.sub(r"[][=]", " ", found[0]), text).split("\n"), 1):
        outside, inside = not inside, inside + line.count("[") - line.count("]")
        if not outside:
            continue
        header = re.match(r"\s*\[{1,2}([^\[\]]+)\]", line)
        if header:
            table = _parts(header[1])
            if table[: len(keys)] == keys:
                return f":{number}"
            continue
        written = re.match(r"\s*([\w.\"' -]+?)\s*=", line)
        if written and (*table, *_parts(written[1]))[: len(keys)] == keys:
            return f":{number}"
    return ""


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _suggest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word.replace("_", "-") if "-" in "".join(known) else word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
