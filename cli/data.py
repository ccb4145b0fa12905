"""`galaxy-edge data`: convert, check, split and preview labelled images."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .data_reviews import from_reviews
from .evaluate_sky import noise_model
from .options import FILE, PATH, SEED_NUMBER

if TYPE_CHECKING:
    from ..training.formats.annotation import AnnotatedDataset
    from ..training.formats.check import LabelIssue

logger = logging.getLogger(__name__)

FORMATS = click.Choice(["voc", "yolo", "coco", "tfrecord", "csv"])
MAX_SHOWN = 10
"""Number of issues of a kind that are shown in a terminal."""


@click.group()
def data() -> None:
    """Convert, check, split and preview labelled images.

    IN is a folder or file with labels: Pascal VOC XML (labelImg), YOLO txt, COCO JSON, TFRecord, or a folder of data
    sets with CSV tables. The format is detected from the content.
    """


data.add_command(noise_model)
data.add_command(from_reviews)


def _parse_shares(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        train, validation, test = (float(share) for share in text.split("/"))
    except ValueError:
        raise click.BadParameter("must be three numbers with / between, e.g. 72/10/18") from None
    if not (train > 0 and validation >= 0 and test >= 0 and abs(train + validation + test - 100) < 1e-9):
        raise click.BadParameter("must be percentages that add up to 100, the first over 0, e.g. 72/10/18")
    return validation / 100, test / 100


FROM = click.option("--from", "source", type=FORMATS, help="Format of IN; default: detected from its content.")
SEED = click.option("--seed", type=SEED_NUMBER, default=1, show_default=True, help="Random seed.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
IMAGES = click.Choice(["copy", "link", "none"])


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@click.argument("out", type=PATH)
@click.option("--to", "kind", type=FORMATS, required=True, help="Format of OUT.")
@FROM
@click.option(
    "--images",
    type=IMAGES,
    default="copy",
    show_default=True,
    help="Copy the images, make symbolic links to them, or write labels only.",
)
@AS_JSON
def convert(path: Path, out: Path, kind: str, source: str | None, images: str, as_json: bool) -> None:
    """Write the labels in IN to OUT in another format.

    OUT is a folder that does not exist yet; for coco and tfrecord it may also be a file (.json, .tfrecord). On any
    error nothing is written. Conversion is lossless: what a format cannot represent is kept in an additional file or
    field.

    \b
    galaxy-edge data convert my-sky my-sky-coco --to coco
    """
    from ..training.formats.registry import conversion_notes, read_labels, write_labels
    from ..training.formats.writing import ensure_free
    from .terminal.progress_bar import ProgressBar

    ensure_free(out, path)
    with ProgressBar("reading") as progress:
        labels = read_labels(path, source, progress=progress)
    with ProgressBar("writing") as progress:
        write_labels(labels, out, kind, images, progress)
    _print_notes([*labels.notes, *conversion_notes(labels, kind, images)])
    _print_summary({"format": kind, "out": str(out), **_summary(labels)}, as_json)


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@FROM
@AS_JSON
def check(path: Path, source: str | None, as_json: bool) -> None:
    """Find errors in the labels and images of IN.

    Exit codes: 0 no errors, 1 errors found, 2 usage error.

    Unreadable labels, missing and broken images, sizes that differ from the label, boxes outside the image, without
    area or drawn twice, classes that are not in the set's list, names used twice, and duplicate images.

    \b
    galaxy-edge data check my-sky
    """
    from ..training.formats.check import check as check_labels
    from ..training.formats.check import describe_classes
    from .terminal.progress_bar import ProgressBar

    with ProgressBar("checking") as progress:
        labels, issues = check_labels(path, source, progress)
    if as_json:
        rows = [{"kind": issue.kind, "file": issue.file, "detail": issue.detail} for issue in issues]
        click.echo(json.dumps({**_summary(labels), "findings": rows, "notes": describe_classes(labels)}))
    else:
        _print_issues(issues)
        for line in describe_classes(labels):
            click.echo(f"note: {line}")
        _print_summary(_summary(labels) | {"findings": len(issues)}, False)
    if issues:
        raise SystemExit(1)


# Many parameters because click passes one for each option.
@data.command()
@click.argument("path", metavar="IN", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--holdout", callback=_parse_shares, metavar="A/B/C", help="Percent for training, validation, test: 72/10/18."
)
@click.option("--folds", type=click.IntRange(2, 20), help="Number of folds, instead of --holdout.")
@SEED
@click.option("--to", "kind", type=FORMATS, help="Format of the parts; default: that of IN.")
@FROM
@click.option("--images", type=IMAGES, help="Default: link if all images are single files, else copy.")
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
    """Split IN by content into training, validation and test, or into folds.

    Writes OUT/train, OUT/validation and OUT/test, or OUT/fold-1/train, OUT/fold-1/test and so on, each a data set of
    its own, and OUT/split.json. The hash of its content decides the part of an image, and duplicates stay together:
    names and order do not matter, and with --holdout images that are added later move no other.

    \b
    galaxy-edge data split my-sky parts --holdout 72/10/18
    """
    if (holdout is None) == (folds is None):
        raise click.UsageError("give either --holdout, e.g. --holdout 72/10/18, or --folds, e.g. --folds 5")
    from ..training.formats import split as splitting
    from ..training.formats.registry import new_class_notes, read_labels
    from ..training.formats.writing import can_link, ensure_free
    from .terminal.progress_bar import ProgressBar

    ensure_free(out, path)
    with ProgressBar("reading") as progress:
        labels = read_labels(path, source, progress=progress)
        decoded = splitting.decode_dataset(labels, progress)
    logger.info("comparing %d images", len(decoded.images))
    record: dict[str, Any] = {"seed": seed}
    if holdout:
        parts = splitting.holdout(decoded, holdout, seed)
        record["shares"] = {"validation": holdout[0], "test": holdout[1]}
    else:
        assert folds is not None
        parts = splitting.k_fold(decoded, folds, seed)
        record["folds"] = folds
    kind = kind or labels.format
    linkable = kind not in ("tfrecord", "csv") and all(map(can_link, labels.images))
    with ProgressBar("writing") as progress:
        summary = splitting.write_split(
            labels, parts, record, out, kind, images or ("link" if linkable else "copy"), progress
        )
    _print_notes([*labels.notes, *new_class_notes(labels, kind)])
    if as_json:
        click.echo(json.dumps(summary))
    else:
        from rich.table import Table

        from ..runtime.monitoring.console import PlainConsole

        table = Table("part", "images", "boxes")
        for name, counts in summary["parts"].items():
            table.add_row(str(out / name), str(counts["pictures"]), str(counts["boxes"]))
        PlainConsole().print(table)


@data.command()
@click.argument("path", metavar="IN", type=PATH)
@click.option("--out", type=FILE, required=True, help="PNG to write; an existing file is replaced.")
@click.option("--count", type=click.IntRange(1, 400), default=36, show_default=True, help="Number of images.")
@SEED
@FROM
def preview(path: Path, out: Path, count: int, seed: int, source: str | None) -> None:
    """Draw some images of IN with their boxes on one contact sheet.

    Boxes of difficult objects are dashed.
    """
    from ..training.formats.preview import choose_images, draw_sheet, write_sheet
    from ..training.formats.registry import read_labels
    from .terminal.progress_bar import ProgressBar

    with ProgressBar("drawing") as progress:
        labels = read_labels(path, source, progress=progress)
        chosen = choose_images(labels, count, seed)
        sheet = draw_sheet(chosen, labels.classes, progress)
    write_sheet(out, sheet)
    click.echo(f"{len(chosen)} of {len(labels.images)} images: {out}")


@data.command()
@click.argument("out", type=PATH)
@click.option("--to", "kind", type=FORMATS, default="voc", show_default=True, help="Format of OUT.")
@SEED
def sample(out: Path, kind: str, seed: int) -> None:
    """Write 50 drawn images with labels to OUT, to try training with.

    45 show a galaxy, five of each class, and 5 only stars. They are drawn by formulas and may be used for anything. A
    network that is trained on them shows that the commands work, not how good a network can be.
    """
    from ..training.scenes.sample_set import write_sample_set

    labels = write_sample_set(out, seed, kind)
    _print_summary({"format": kind, "out": str(out), **_summary(labels)}, False)
    click.echo(f"next: galaxy-edge train detector --data {out} --out runs/detector (or train classifier)")


def _summary(labels: AnnotatedDataset) -> dict[str, Any]:
    return {
        "pictures": len(labels.images),
        "empty": sum(not len(image.boxes) for image in labels.images),
        "boxes": sum(labels.counts.values()),
        "difficult": sum(int(image.difficult.sum()) for image in labels.images),
        "classes": dict(labels.counts),
    }


def _print_summary(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary))
        return
    classes = ", ".join(f"{name} {count}" for name, count in summary["classes"].items()) or "none"
    click.echo(
        f"images: {summary['pictures']} ({summary['empty']} empty); boxes: {summary['boxes']} "
        f"({summary['difficult']} difficult); classes: {classes}"
    )
    if "out" in summary:
        click.echo(f"written to {summary['out']} ({summary['format']})")
    if "findings" in summary:
        click.echo(f"issues: {summary['findings']}" if summary["findings"] else "no issues found")


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)


def _print_issues(issues: Sequence[LabelIssue]) -> None:
    """Print a table of each kind of issue, with the first `MAX_SHOWN` of them."""
    from rich.table import Table

    from ..runtime.monitoring.console import PlainConsole

    console = PlainConsole()
    for kind in dict.fromkeys(issue.kind for issue in issues):
        of_kind = [issue for issue in issues if issue.kind == kind]
        table = Table("file", "issue", title=f"{kind} ({len(of_kind)})", title_justify="left")
        for issue in of_kind[:MAX_SHOWN]:
            table.add_row(issue.file, issue.detail)
        console.print(table)
        if len(of_kind) > MAX_SHOWN:
            console.print(f"and {len(of_kind) - MAX_SHOWN} more; --json lists all")
