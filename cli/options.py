"""Types of option values, options that several commands share, and grouped help."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..devices.engines import ENGINE_NAMES
from ..errors import UserError
from ..runtime.system.address import printable_name, redact_credentials

if TYPE_CHECKING:
    from ..runtime.report.night import Place


class LocalPath(click.Path):
    """A path of this machine; an address is refused.

    As a path, an address with a password would become the name of a folder, which is printed and kept on the disk.
    """

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Convert text to a path.

        Addresses such as ``ftp://host/folder`` and ``user:password@host:folder`` are refused.
        """
        text = os.fspath(value)
        if isinstance(text, str) and re.match(r"(?s)\s*[A-Za-z][A-Za-z0-9+.-]+:/|[^/]*:[^/]*@[^/]*:", text):
            self.fail(f"{printable_name(redact_credentials(text))} is an address; give a path of this machine")
        return super().convert(value, param, context)


FOLDER = LocalPath(path_type=Path, file_okay=False)
FILE = LocalPath(path_type=Path, dir_okay=False)
PATH = LocalPath(path_type=Path)


class PlaceType(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """A position on the Earth: latitude and longitude in degrees."""

    name = "place"
    example = "48.2,16.4"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Place:
        """Convert a text to a place."""
        from ..errors import UsageError
        from ..runtime.report.night import parse_place

        try:
            return value if not isinstance(value, str) else parse_place(value)
        except UsageError as error:
            self.fail(str(error), param, context)


class Size(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """A number of bytes, such as 500000, 200M or 2G."""

    name = "size"
    example = "2G"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int:
        """Convert text to bytes."""
        match = re.fullmatch(r"(\d{1,15})([KMGT]?)", str(value).upper())
        if not match:
            self.fail(f"'{value}' is not a size: give bytes, or e.g. 200M or 2G", param, context)
        return int(match[1]) << 10 * " KMGT".index(match[2] or " ")


class Number(click.FloatRange):
    """A finite number in a range.

    `nan` would pass the comparisons of `click.FloatRange`.
    """

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Convert text to a number."""
        number = super().convert(value, param, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, context)
        return number


SEED_NUMBER = click.IntRange(0, 2**32 - 1)
"""A seed of random numbers, as numpy takes them."""


class Count(click.IntRange):
    """A number of things, at least one; the help says nothing of the upper limit."""

    def _describe_range(self) -> str:
        return "x>=1"


class CheckedText(click.ParamType):  # type: ignore[type-arg]
    """A text that a function of the package checks; it is passed on as written.

    Args:
        name: shown in help.
        check: raises a `UserError` for an invalid text.
        example: a valid text.
    """

    def __init__(self, name: str, check: Callable[[str], object], example: str) -> None:
        self.name, self.example = name, example
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Check the text; a default is always valid."""
        if param is not None and value == param.default:
            return str(value)
        try:
            self._check(str(value))
        except UserError as error:
            self.fail(str(error), param, context)
        return str(value)


class EngineName(click.Choice):  # type: ignore[type-arg]
    """The name of an engine of this package, or else of a plug-in.

    Plug-ins are looked for only if the package has no such engine.
    """

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Check the name."""
        from ..devices.engine_plugins import plugin_names

        if value not in self.choices and value in plugin_names():
            return value
        return super().convert(value, param, context)


def _tiles(text: str) -> object:
    from ..runtime.imaging.tiling import parse_grid

    return parse_grid(text)


def _server(text: str) -> object:
    from ..runtime.web.address import parse_listen_address

    return parse_listen_address(text)


def _broker(text: str) -> object:
    from ..runtime.mqtt.address import parse_broker_url

    return parse_broker_url(text)


def _topic(text: str) -> object:
    from ..runtime.mqtt.address import parse_topic

    return parse_topic(text)


def _notification_service(text: str) -> object:
    from ..runtime.notify.address import parse_service_scheme

    return parse_service_scheme(text)


def _profile(text: str) -> object:
    from ..devices.profile import load_profile

    return load_profile(text)


TILES = CheckedText("tiles", _tiles, "auto")
PROFILE = CheckedText("profile", _profile, "raspberry-pi-5")
SERVER = CheckedText("address", _server, "8080")
BROKER = CheckedText("url", _broker, "mqtt://localhost")
NOTIFY = CheckedText("url", _notification_service, "ntfys://ntfy.sh/my-topic")
TOPIC = CheckedText("topic", _topic, "galaxy-edge/my-telescope")
SIZE = Size()
THREADS = click.IntRange(1, 64)
COUNT = Count(1, 10**9)
PLACE = PlaceType()
NETWORK_SIZE = click.Choice(("nano", "small", "base"))
"""`models.sizes.SIZES`; written out for the same reason as `STRETCH`."""
ENGINES = EngineName(ENGINE_NAMES)
STRETCH = click.Choice(("auto", "none", "percentile"))
"""`models.images.development.STRETCHES`; written out, since importing that takes time at every start."""


class GroupedCommand(click.Command):
    """A command whose `--help` lists options under their headings.

    The headings are those of `option_group`.
    """

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each heading, in the order in which they first occur."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                sections.setdefault(getattr(parameter, "heading", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def option_group(heading: str, *decorators: Decorator) -> Decorator:
    """Return a decorator that adds options under a heading of the help.

    It is for a `GroupedCommand`; the options keep their order.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for decorator in reversed(decorators):
            command = decorator(command)
            option: click.Option = command.__click_params__[-1]  # type: ignore[attr-defined]
            option.heading = heading  # type: ignore[attr-defined]
        return command

    return add


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds options that several commands share."""
    known = {
        "data": click.option(
            "--data",
            type=PATH,
            envvar="GALAXY_EDGE_DATA",
            required=True,
            show_envvar=True,
            help="Galaxy10 HDF5 file, folder of class folders, or folder of labelled sets.",
        ),
        "out": click.option("--out", type=FOLDER, required=True, help="Folder for the runs and tables."),
        "seed": click.option("--seed", type=SEED_NUMBER, default=1, show_default=True, help="Random seed."),
        "split": click.option(
            "--split-seed", type=SEED_NUMBER, default=1, show_default=True, help="Seed of the split."
        ),
        "seeds": click.option("--seeds", default="1", show_default=True, callback=_numbers, help="Seeds, e.g. 1,2,3."),
        "epochs": click.option("--epochs", type=click.IntRange(min=1), help="Maximum epochs; default: the recipe's."),
        "threads": click.option(
            "--threads",
            type=click.IntRange(1, 64),
            default=os.cpu_count() or 1,
            show_default=True,
            help="Threads to use.",
        ),
        "boxy": click.option("--keep-boxy", is_flag=True, help="Keep class 5 of Galaxy10 SDSS (17 images) too."),
        "weights": click.option("--weights", help="Weights of a pretrained base: imagenet (VGG-16), a file, or none."),
    }

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = known[name](command)
        return command

    return add


def _numbers(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("must be whole numbers with commas between, e.g. 1,2,3") from None
    if len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"names a seed twice: {text}")
    return tuple(SEED_NUMBER.convert(seed, option, context) for seed in seeds)


def weights_of(text: str | None, *recipes: Any) -> Any:
    """Convert --weights for `vgg.vgg16`.

    The result is "imagenet", a path, or None for random weights.

    Raises:
        click.UsageError: they are given, and none of the `recipes` begins with any.
    """
    if text is not None and not any(recipe.pretrained for recipe in recipes):
        raise click.UsageError(
            "--weights is for networks with a pretrained base (vgg_features, vgg_block5, mobilenet): leave it out"
        )
    if text and text not in ("none", "imagenet") and not Path(text).is_file():
        raise click.UsageError(f"--weights {text} does not exist: give a file, imagenet or none")
    return None if text == "none" else Path(text) if text and text != "imagenet" else "imagenet"


def resolve_engine(engine: str | None, threads: int | None) -> tuple[str, int]:
    """Return engine and thread count: as given, else the device profile's."""
    from ..runtime.inference import load

    return load.resolve_engine(engine, threads)
