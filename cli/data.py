"""`galaxy-edge data`: labelled pictures in and out of the usual formats, checked, parted and looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, PATH

if TYPE_CHECKING:
    from ..training.formats.annotation import AnnotatedDataset
    from ..training.formats.check import LabelIssue

KINDS = click.Choice(["voc", "yolo", "coco", "tfrecord", "csv"])
SHOWN = 10
"""Findings of a kind that are shown in a terminal."""


@click.group()
def data() -> None:
    """Convert, check, part and look at labelled pictures.

    IN is a folder or file with labels: Pascal VOC XML (labelImg), YOLO txt, COCO JSON, TFRecord, or a folder of data
    sets with CSV tables. Which it is, its content tells.
    """


def _shares(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        train, validation, test = (float(part) for part in text.split("/"))
    except ValueError:
        raise click.BadParameter("must be three numbers with / between, e.g. 72/10/18") from None
    if not (train > 0 and validation >= 0 and test >= 0 and abs(train + validation + test - 100) < 1e-9):
        raise click.BadParameter("must be percentages that add up to 100, the first over 0, e.g. 72/10/18")
    return validation / 100, test / 100


FROM = click.option("--from", "source", type=KINDS, help="Format of IN; default: what its content tells.")
SEED = click.option("--seed", type=int, default=1, show_default=True, help="Seed of everything random.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
IMAGES = click.Choice(["copy", "link", "none"])


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@click.argument("out", type=PATH)
@click.option("--to", "kind", type=KINDS, required=True, help="Format of OUT.")
@FROM
@click.option(
    "--images",
    type=IMAGES,
    default="copy",
    show_default=True,
    help="Copy the pictures, link to them where they are, or leave them.",
)
@AS_JSON
def convert(path: Path, out: Path, kind: str, source: str | None, images: str, as_json: bool) -> None:
    """Write the labels in IN to OUT in another format.

    OUT is a folder that is not there yet; for coco and tfrecord it may also be a file (.json, .tfrecord). It is written
    whole or not at all. Nothing is lost between the formats: what one cannot hold is kept in a file next to it.
    """
    from ..training.formats.registry import cautions, read_labels, write_labels
    from ..training.formats.writing import check_free
    from .console import ProgressBar

    check_free(out, path)
    with ProgressBar("reading") as progress:
        labels = read_labels(path, source, progress=progress)
    with ProgressBar("writing") as progress:
        write_labels(labels, out, kind, images, progress)
    _say([*labels.notes, *cautions(labels, kind, images)])
    _tell({"format": kind, "out": str(out), **_summary(labels)}, as_json)


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@FROM
@AS_JSON
def check(path: Path, source: str | None, as_json: bool) -> None:
    """Find what is wrong with the labels and pictures in IN. Exit codes: 0 nothing, 1 something, 2 wrong use.

    Labels that cannot be read, missing and broken pictures, other sizes than the label says, boxes outside the picture,
    without area or drawn twice, classes that are not in the set's list, names used twice, and pictures that show the
    same.
    """
    from ..training.formats.check import check as look_for_faults
    from ..training.formats.check import remarks
    from .console import ProgressBar

    with ProgressBar("looking") as progress:
        labels, found = look_for_faults(path, source, progress, lambda line: click.echo(line, err=True))
    if as_json:
        rows = [{"kind": one.kind, "file": one.file, "detail": one.detail} for one in found]
        click.echo(json.dumps({**_summary(labels), "findings": rows, "notes": remarks(labels)}))
    else:
        _print_findings(found)
        for line in remarks(labels):
            click.echo(f"note: {line}")
        _tell(_summary(labels) | {"findings": len(found)}, False)
    if found:
        raise SystemExit(1)


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@click.argument("out", type=PATH)
@click.option("--holdout", callback=_shares, metavar="A/B/C", help="Percent for training, validation, test: 72/10/18.")
@click.option("--folds", type=click.IntRange(2, 20), help="Number of folds, instead of --holdout.")
@SEED
@click.option("--to", "kind", type=KINDS, help="Format of the parts; default: that of IN.")
@FROM
@click.option("--images", type=IMAGES, help="Default: link where pictures are files of their own, copy elsewhere.")
@AS_JSON
def split(
    path: Path,
    out: Path,
    holdout: tuple[float, float] | None,
    folds: int | None,
    seed: int,
    kind: str | None,
    source: str | None,
    images: str | None,
    as_json: bool,
) -> None:
    """Part IN into training, validation and test, or into folds, by content.

    Written are OUT/train, OUT/validation and OUT/test, or OUT/fold-1/train, OUT/fold-1/test and so on, each a data set
    of its own, and OUT/split.json. A picture goes where the hash of its content falls, with all that show the same:
    names and order play no part, and with --holdout pictures added later move no other.
    """
    if (holdout is None) == (folds is None):
        raise click.UsageError("name either --holdout, e.g. --holdout 72/10/18, or --folds, e.g. --folds 5")
    from ..training.formats.registry import newly_listed, read_labels
    from ..training.formats.split import holdout as split_holdout
    from ..training.formats.split import k_fold, looked_at, write_parts
    from ..training.formats.writing import can_link, check_free
    from .console import ProgressBar

    check_free(out, path)
    with ProgressBar("looking") as progress:
        labels = read_labels(path, source, progress=progress)
        looked = looked_at(labels, progress)
    click.echo(f"comparing {len(looked.pictures)} pictures", err=True)
    record: dict[str, Any] = {"seed": seed}
    if holdout:
        parts = split_holdout(looked, holdout, seed)
        record["shares"] = {"validation": holdout[0], "test": holdout[1]}
    else:
        assert folds is not None
        parts = k_fold(looked, folds, seed)
        record["folds"] = folds
    kind = kind or labels.format
    linkable = kind not in ("tfrecord", "csv") and all(map(can_link, labels.pictures))
    with ProgressBar("writing") as progress:
        told = write_parts(labels, parts, record, out, kind, images or ("link" if linkable else "copy"), progress)
    _say([*labels.notes, *newly_listed(labels, kind)])
    if as_json:
        click.echo(json.dumps(told))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("part", "pictures", "boxes")
        for name, counts in told["parts"].items():
            table.add_row(str(out / name), str(counts["pictures"]), str(counts["boxes"]))
        Console().print(table)


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@click.option("--out", type=FILE, required=True, help="PNG to write; one of that name is replaced.")
@click.option("--count", type=click.IntRange(1, 400), default=36, show_default=True, help="Pictures on it.")
@SEED
@FROM
def preview(path: Path, out: Path, count: int, seed: int, source: str | None) -> None:
    """Draw some pictures of IN with their boxes on one sheet; difficult boxes are dashed."""
    from ..training.formats.preview import choose, sheet, write_sheet
    from ..training.formats.registry import read_labels
    from .console import ProgressBar

    with ProgressBar("drawing") as progress:
        labels = read_labels(path, source, progress=progress)
        drawn = choose(labels, count, seed)
        picture = sheet(drawn, labels.classes, progress)
    write_sheet(out, picture)
    click.echo(f"{len(drawn)} of {len(labels.pictures)} pictures: {out}")


def _summary(labels: AnnotatedDataset) -> dict[str, Any]:
    difficult = sum(int(one.difficult.sum()) for one in labels.pictures)
    empty = sum(not len(one.boxes) for one in labels.pictures)
    return {
        "pictures": len(labels.pictures),
        "empty": empty,
        "boxes": sum(labels.counts.values()),
        "difficult": difficult,
        "classes": dict(labels.counts),
    }


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result))
        return
    classes = ", ".join(f"{name} {count}" for name, count in result["classes"].items()) or "none"
    click.echo(
        f"pictures: {result['pictures']}, of them empty: {result['empty']}; boxes: {result['boxes']}, of them "
        f"difficult: {result['difficult']}; classes: {classes}"
    )
    if "out" in result:
        click.echo(f"written to {result['out']} ({result['format']})")
    if "findings" in result:
        click.echo(f"findings: {result['findings']}" if result["findings"] else "nothing found")


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"note: {line}", err=True)


def _print_findings(found: Sequence[LabelIssue]) -> None:
    """Print a table a kind, of many findings the first only."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    for kind in dict.fromkeys(one.kind for one in found):
        some = [one for one in found if one.kind == kind]
        table = Table("file", "what", title=f"{kind} ({len(some)})", title_justify="left")
        for one in some[:SHOWN]:
            table.add_row(escape(one.file), escape(one.detail))
        console.print(table)
        if len(some) > SHOWN:
            console.print(f"and {len(some) - SHOWN} more; --json lists all")
