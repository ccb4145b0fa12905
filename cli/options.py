"""What the commands of the study share: their options, and the check that an extra is installed."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..devices.engines import ENGINE_NAMES
from ..errors import UserError

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
PATH = click.Path(path_type=Path)


class Size(click.ParamType):
    """A number of bytes: 500000, 200M, 2G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> int:
        """Turn a text into bytes."""
        found = re.fullmatch(r"(\d{1,15})([KMGT]?)", str(value).upper())
        if not found:
            self.fail(f"'{value}' is no size: give bytes, or e.g. 200M or 2G", param, context)
        return int(found[1]) << 10 * " KMGT".index(found[2] or " ")


class Number(click.FloatRange):
    """A number in a range, and a finite one: no comparison finds `nan` outside of a range."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Any:
        """Turn a text into a number."""
        number = super().convert(value, param, context)
        if not math.isfinite(number):
            self.fail(f"{value} is no number that can be worked with", param, context)
        return number


class Understood(click.ParamType):
    """A text that a part of the package understands; it is handed on as it is written.

    Args:
        name: shown in help; check: raises a `UserError` for what it does not understand; example: what it does.
    """

    def __init__(self, name: str, check: Callable[[str], object], example: str) -> None:
        self.name, self.example = name, example
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """See that a text is understood."""
        try:
            self._check(str(value))
        except UserError as problem:
            self.fail(str(problem), param, context)
        return str(value)


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


def _profile(text: str) -> object:
    from ..devices.profile import load_profile

    return load_profile(text)


TILES = Understood("tiles", _tiles, "auto")
PROFILE = Understood("profile", _profile, "raspberry-pi-5")
SERVER = Understood("address", _server, "8080")
BROKER = Understood("url", _broker, "mqtt://localhost")
TOPIC = Understood("topic", _topic, "galaxy-edge/my-telescope")
SIZE = Size()
THREADS = click.IntRange(1, 64)
COUNT = click.IntRange(1, 10**9)
ENGINES = click.Choice(ENGINE_NAMES)
DETECTOR, CLASSIFIER = "galaxy-detector", "galaxy-classifier"


class MissingExtra(UserError):
    """An extra that is not installed."""

    exit_code = 2


def require_extra(module: str, extra: str) -> None:
    """See that an extra is installed before anything begins."""
    import importlib.util

    if importlib.util.find_spec(module) is None:
        raise MissingExtra(f"this command needs the extra [{extra}]: pip install 'galaxy-edge[{extra}]'")


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options that several commands share."""
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
        "seed": click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything random."),
        "split": click.option("--split-seed", type=int, default=1, show_default=True, help="Seed of the split."),
        "seeds": click.option("--seeds", default="1", show_default=True, callback=_numbers, help="Seeds, e.g. 1,2,3."),
        "epochs": click.option("--epochs", type=click.IntRange(min=1), help="Most epochs; default: the recipe's."),
        "threads": click.option(
            "--threads",
            type=click.IntRange(1, 64),
            default=os.cpu_count() or 1,
            show_default=True,
            help="Threads to use.",
        ),
        "boxy": click.option("--keep-boxy", is_flag=True, help="Keep class 5 of Galaxy10 SDSS (17 pictures) too."),
        "weights": click.option("--weights", help="Weights of a pretrained base: imagenet (VGG-16), a file, or none."),
    }

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = known[name](command)
        return command

    return add


def _numbers(context: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter("must be whole numbers with commas between, e.g. 1,2,3") from None


def weights_of(text: str | None, *recipes: Any) -> Any:
    """Turn --weights into what `vgg.vgg16` takes: "imagenet", a path, or None for random ones.

    Raises:
        click.UsageError: they are given, and none of the `recipes` begins with any.
    """
    if text is not None and not any(recipe.pretrained for recipe in recipes):
        raise click.UsageError(
            "--weights is for networks with a pretrained base (vgg_features, vgg_block5, mobilenet): leave it out"
        )
    return None if text == "none" else Path(text) if text and text != "imagenet" else "imagenet"


def resolve_engine(engine: str | None, threads: int | None, device: str | None = None) -> tuple[str, int]:
    """Settle engine and threads: what was asked for, else what the device's profile says."""
    from ..devices.probe import probe, select_profile
    from ..devices.profile import load_profile
    from ..runtime.inference.load import available_engines

    fitting = load_profile(device) if device else select_profile(probe(engines=False))
    there = available_engines()
    if engine is None:
        engine = fitting.engine if fitting.engine in there or not there else there[0]
    return engine, threads or fitting.threads
