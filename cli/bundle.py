"""`galaxy-edge bundle`: describe, compare, sign and verify model bundles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, FOLDER, PATH

if TYPE_CHECKING:
    from ..models.bundle import Bundle


def info_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Describe a verified bundle, line by line."""
    from ..models.signature import SIGNATURE

    manifest = bundle.manifest
    state = f"UNGATED: failed {', '.join(bundle.failed_gates)}" if bundle.failed_gates else "all passed"
    width, height = bundle.input_size
    sets = ", ".join(f"{name} ({count})" for name, count in manifest["data"]["sets"].items())
    sources = manifest["data"]["sources"]
    more = f" and {len(sources) - 4} more, in the manifest" if len(sources) > 4 else ""
    rows = [
        ("name", f"{bundle.name}, version {manifest['version']}"),
        ("task", bundle.task),
        ("hash", bundle.hash),
        ("created", manifest["created"]),
        ("licence", manifest["licence"]),
        ("classes", ", ".join(bundle.classes)),
        ("input", f"{width}x{height} {manifest['input']['colour']}, raw levels"),
        ("network", f"{manifest['network']['parameters']} parameters, {manifest['network']['macs']} multiplications"),
        ("data", f"{sets or 'none recorded'}; hash {manifest['data']['hash'][:16] or 'none'}"),
        ("sources", "; ".join(sources[:4]) + more or "none recorded"),
        ("gates", f"{len(manifest['gates'])}, {state}"),
        ("signature", "there is one (bundle verify --key checks it)" if (bundle.path / SIGNATURE).exists() else "none"),
    ]
    if "score_threshold" in manifest["decode"]:
        rows.append(("score threshold", f"{manifest['decode']['score_threshold']:.4f}"))
    rows += [(f"rescue of {name}", how) for name, how in manifest.get("export", {}).get("rescue", {}).items()]
    for name, variant in bundle.variants.items():
        told = [f"{variant.file}, {len(bundle.read(variant.file)) / 1024:.0f} KiB"]
        told += [f"{key} {value:.4f}" for key, value in _variant_numbers(manifest, name).items()]
        rows.append((f"form {name}", "; ".join(told)))
    return rows


def diff_rows(first: Bundle, second: Bundle) -> list[tuple[str, str, str, str]]:
    """Compare two bundles: what, the first's, the second's, and the change where there is one to compute."""
    rows = [
        (key, str(one), str(other), "" if one == other else "differs")
        for key, one, other in (
            ("name", first.name, second.name),
            ("task", first.task, second.task),
            ("hash", first.hash[:16], second.hash[:16]),
            ("created", first.manifest["created"], second.manifest["created"]),
            ("input", "x".join(map(str, first.input_size)), "x".join(map(str, second.input_size))),
            ("classes", len(first.classes), len(second.classes)),
            ("licence", first.manifest["licence"], second.manifest["licence"]),
            ("data", first.manifest["data"]["hash"][:16], second.manifest["data"]["hash"][:16]),
        )
    ]
    for key in ("parameters", "macs"):
        rows.append(_change_row(key, first.manifest["network"][key], second.manifest["network"][key], "d"))
    for name in dict.fromkeys([*first.variants, *second.variants]):
        sizes = [len(b.read(b.variants[name].file)) if name in b.variants else None for b in (first, second)]
        rows.append(_change_row(f"{name} bytes", sizes[0], sizes[1], "d"))
        one, other = _variant_numbers(first.manifest, name), _variant_numbers(second.manifest, name)
        keys = dict.fromkeys([*one, *other])
        rows += [_change_row(f"{name} {key}", one.get(key), other.get(key), ".4f") for key in keys]
    return rows


def _variant_numbers(manifest: dict[str, Any], variant: str) -> dict[str, float]:
    metrics = manifest["metrics"].get(variant, {})
    found = {key: metrics[key] for key in SHOWN_METRICS if isinstance(metrics.get(key), (int, float))}
    alike = metrics.get("parity", {})
    return found | {key: alike[key] for key in ("agreement", "matched") if key in alike}


def _change_row(what: str, one: float | None, other: float | None, form: str) -> tuple[str, str, str, str]:
    cells = ["-" if value is None else format(value, form) for value in (one, other)]
    change = "" if one is None or other is None else format(other - one, "+" + form)
    return what, cells[0], cells[1], change


SHOWN_METRICS = (
    "accuracy",
    "macro_f1",
    "coarse_accuracy",
    "ece",
    "map50",
    "map",
    "precision",
    "recall",
    "fp_per_frame",
)


@click.group()
def bundle() -> None:
    """Look at model bundles, compare and sign them."""


@bundle.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("path", type=FOLDER)
def info(path: Path, as_json: bool) -> None:
    """Say what the bundle in PATH is, how good it is, and whether it is whole."""
    from ..models.bundle import Bundle

    rows = info_rows(Bundle.load(path))
    _print_rows(("", ""), rows, as_json, dict(rows))


@bundle.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Compare metrics and sizes of two bundles."""
    from ..models.bundle import Bundle

    rows = diff_rows(Bundle.load(first), Bundle.load(second))
    plain = [dict(zip(("what", "first", "second", "change"), row, strict=True)) for row in rows]
    _print_rows(("", str(first), str(second), "change"), rows, as_json, plain)


@bundle.command()
@click.argument("name", type=PATH)
def keygen(name: Path) -> None:
    """Make the keys NAME.key (keep it secret) and NAME.pub (give it to devices)."""
    from ..models.signature import generate_keypair

    secret, public = generate_keypair(name)
    click.echo(f"{secret}: sign with it, keep it to yourself\n{public}: give it to every device")


@bundle.command()
@click.option("--key", type=FILE, required=True, help="Private key, NAME.key.")
@click.argument("path", type=FOLDER)
def sign(path: Path, key: Path) -> None:
    """Sign the bundle in PATH."""
    from ..models.bundle import Bundle
    from ..models.signature import sign as sign_bundle

    whole = Bundle.load(path)
    click.echo(f"signed: {sign_bundle(whole, key)}")
    if whole.failed_gates:
        click.echo(f"galaxy-edge: {path} is UNGATED: it failed {', '.join(whole.failed_gates)}", err=True)


@bundle.command()
@click.option("--key", type=FILE, help="Public key, NAME.pub: the bundle must be signed with it.")
@click.argument("path", type=FOLDER)
def verify(path: Path, key: Path | None) -> None:
    """Check every hash of the bundle in PATH, its golden vectors, and, with --key, who signed it."""
    from ..models.bundle import Bundle
    from ..models.signature import verify as verify_bundle
    from ..runtime.inference.golden import check_golden
    from ..runtime.inference.sandbox import check_bundle_loads

    whole = Bundle.load(path)
    if key is not None:
        verify_bundle(whole, key)
    check_bundle_loads(whole, list(whole.variants))
    told = check_golden(whole)
    if whole.failed_gates:
        told += f"; UNGATED: failed {', '.join(whole.failed_gates)}"
    signed = f", signed with {key}" if key else ", signature not asked for"
    click.echo(f"{path}: {len(whole.manifest['files'])} files unchanged; {told}{signed}")


@bundle.command()
@click.option("--rounds", type=click.IntRange(min=1), default=50, show_default=True, help="Inferences of each form.")
@click.option("--out", type=FILE, default=Path("forms.md"), show_default=True, help="File to write, .md or .json.")
@click.argument("paths", type=FOLDER, nargs=-1, required=True)
def forms(paths: tuple[Path, ...], rounds: int, out: Path) -> None:
    """Compare all forms of bundles: size, metrics, drop, agreement, and latency on this machine with one thread."""
    from ..benchmarks.performance.variants import compare_forms, write_forms
    from ..devices.probe import probe
    from ..models.bundle import Bundle
    from .console import ProgressBar

    with ProgressBar("rounds") as progress:
        result = compare_forms([Bundle.load(path) for path in paths], rounds, probe(), progress)
    write_forms(out, result)
    click.echo(f"written to {out}")


def _print_rows(heading: Sequence[str], rows: Sequence[Sequence[str]], as_json: bool, plain: Any) -> None:
    if as_json:
        click.echo(json.dumps(plain))
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(*(Column(name, overflow="fold") for name in heading), show_header=any(heading))  # a hash is whole
    for row in rows:
        table.add_row(*row)
    Console(markup=False).print(table)
