"""`galaxy-edge bundle`: describe, compare, sign and verify model bundles."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..options import FILE, FOLDER, PATH

if TYPE_CHECKING:
    from ...models.bundle import Bundle
    from ...models.manifest import Manifest


def info_rows(bundle: Bundle) -> list[tuple[str, str]]:
    """Return the names and values that describe a verified bundle."""
    from ...models.signature import SIGNATURE

    manifest = bundle.manifest
    state = f"UNGATED: failed {', '.join(bundle.failed_gates)}" if bundle.failed_gates else "all passed"
    width, height = bundle.input_size
    sets = ", ".join(f"{name} ({count})" for name, count in manifest.data.sets.items())
    sources = manifest.data.sources
    rest = f" and {len(sources) - 4} more, in the manifest" if len(sources) > 4 else ""
    rows = [
        ("name", f"{bundle.name}, version {manifest.version}"),
        ("task", bundle.task),
        ("hash", bundle.hash),
        ("created", manifest.created),
        ("licence", manifest.licence),
        ("classes", ", ".join(bundle.classes)),
        ("input", f"{width}x{height} {manifest.input.colour}, raw levels"),
        ("network", f"{manifest.network.parameters} parameters, {manifest.network.macs} multiplications"),
        ("data", f"{sets or 'none recorded'}; hash {manifest.data.hash[:16] or 'none'}"),
        ("sources", "; ".join(sources[:4]) + rest or "none recorded"),
        ("gates", f"{len(manifest.gates)}, {state}"),
        ("signature", "present (checked by bundle verify --key)" if (bundle.path / SIGNATURE).exists() else "none"),
    ]
    if bundle.task == "detect":
        rows.append(("score threshold", f"{manifest.detector_decode.score_threshold:.4f}"))
    rows += [(f"fallback of {name}", fallback) for name, fallback in manifest.fallbacks.items()]
    for name, variant in bundle.variants.items():
        details = [f"{variant.file}, {len(bundle.read(variant.file)) / 1024:.0f} KiB"]
        details += [f"{key} {value:.4f}" for key, value in _variant_numbers(manifest, name).items()]
        rows.append((f"variant {name}", "; ".join(details)))
    return rows


def diff_rows(first: Bundle, second: Bundle) -> list[tuple[str, str, str, str]]:
    """Compare two bundles: name, both values, and the change of numbers."""
    rows = [
        (key, str(left), str(right), "" if left == right else "differs")
        for key, left, right in (
            ("name", first.name, second.name),
            ("task", first.task, second.task),
            ("hash", first.hash[:16], second.hash[:16]),
            ("created", first.manifest.created, second.manifest.created),
            ("input", "x".join(map(str, first.input_size)), "x".join(map(str, second.input_size))),
            ("classes", len(first.classes), len(second.classes)),
            ("licence", first.manifest.licence, second.manifest.licence),
            ("data", first.manifest.data.hash[:16], second.manifest.data.hash[:16]),
        )
    ]
    for key in ("parameters", "macs"):
        rows.append(_change_row(key, getattr(first.manifest.network, key), getattr(second.manifest.network, key), "d"))
    for name in dict.fromkeys([*first.variants, *second.variants]):
        sizes = [len(b.read(b.variants[name].file)) if name in b.variants else None for b in (first, second)]
        rows.append(_change_row(f"{name} bytes", sizes[0], sizes[1], "d"))
        left, right = _variant_numbers(first.manifest, name), _variant_numbers(second.manifest, name)
        keys = dict.fromkeys([*left, *right])
        rows += [_change_row(f"{name} {key}", left.get(key), right.get(key), ".4f") for key in keys]
    return rows


def _variant_numbers(manifest: Manifest, variant: str) -> dict[str, float]:
    metrics = manifest.metrics.get(variant, {})
    found = {key: metrics[key] for key in SHOWN_METRICS if isinstance(metrics.get(key), (int, float))}
    parity = metrics.get("parity", {})
    return found | {key: parity[key] for key in ("agreement", "matched") if key in parity}


def _change_row(name: str, first: float | None, second: float | None, spec: str) -> tuple[str, str, str, str]:
    cells = ["-" if value is None else format(value, spec) for value in (first, second)]
    change = "" if first is None or second is None else format(second - first, "+" + spec)
    return name, cells[0], cells[1], change


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
    """Describe, compare, sign and verify model bundles."""


@bundle.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("path", type=FOLDER)
def info(path: Path, as_json: bool) -> None:
    """Show contents, metrics and integrity of the bundle in PATH."""
    from ...models.bundle import Bundle

    rows = info_rows(Bundle.load(path))
    _print_rows(("", ""), rows, as_json, dict(rows))


@bundle.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.argument("first", type=FOLDER)
@click.argument("second", type=FOLDER)
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Compare metrics and sizes of two bundles."""
    from ...models.bundle import Bundle

    rows = diff_rows(Bundle.load(first), Bundle.load(second))
    plain = [dict(zip(("what", "first", "second", "change"), row, strict=True)) for row in rows]
    _print_rows(("", str(first), str(second), "change"), rows, as_json, plain)


@bundle.command()
@click.argument("name", type=PATH)
def keygen(name: Path) -> None:
    """Generate the key pair NAME.key (secret) and NAME.pub (for the devices)."""
    from ...models.signature import fingerprint, generate_keypair

    secret, public = generate_keypair(name)
    click.echo(f"{secret}: secret key, for signing\n{public}: public key, for the devices")
    click.echo(f"fingerprint: {fingerprint(public)}")


@bundle.command()
@click.option("--key", type=FILE, required=True, help="Private key, NAME.key.")
@click.option("--days", type=click.IntRange(min=1), help="Let the signature expire after N days.", metavar="N")
@click.argument("path", type=FOLDER)
def sign(path: Path, key: Path, days: int | None) -> None:
    """Sign the bundle in PATH."""
    import datetime

    from ...models.bundle import Bundle
    from ...models.signature import NEVER
    from ...models.signature import sign as sign_bundle
    from ...runtime.system.utc_time import utc_text

    loaded = Bundle.load(path)
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days) if days else None
    click.echo(f"signed: {sign_bundle(loaded, key, utc_text(end, 'seconds') if end else NEVER)}")
    if loaded.failed_gates:
        click.echo(f"galaxy-edge: {path} is UNGATED: it failed {', '.join(loaded.failed_gates)}", err=True)


@bundle.command()
@click.argument("key", type=FILE)
@click.argument("file", type=FILE, required=False)
def revoke(key: Path, file: Path | None) -> None:
    """Revoke KEY: add its fingerprint to FILE.

    FILE is by default revoked-keys in the folder of the key.

    Devices read the file revoked-keys in the folder of their public key.
    """
    from ...models.signature import REVOKED
    from ...models.signature import revoke as revoke_key

    file = file or key.with_name(REVOKED)
    revoke_key(key, file)
    click.echo(f"{key} is revoked in {file}; copy that file to the devices, next to their public key")


@bundle.command()
@click.option("--key", type=FILE, help="Public key, NAME.pub: the bundle must be signed with it.")
@click.argument("path", type=FOLDER)
def verify(path: Path, key: Path | None) -> None:
    """Check hashes, golden vectors and, with --key, the signature of a bundle."""
    from ...models.bundle import Bundle
    from ...models.release import check_shipped, is_shipped, release_key
    from ...models.signature import verify as verify_bundle
    from ...runtime.inference.golden import check_golden
    from ...runtime.inference.sandbox import check_bundle_loads

    loaded = Bundle.load(path)
    if is_shipped(loaded):
        check_shipped(loaded)
        key = key or (release_key() if importlib.util.find_spec("cryptography") else None)
    if key is not None:
        verify_bundle(loaded, key)
    check_bundle_loads(loaded, list(loaded.variants))
    result = check_golden(loaded)
    if loaded.failed_gates:
        result += f"; UNGATED: failed {', '.join(loaded.failed_gates)}"
    signed = f", signed with {key}" if key else ", signature not checked (no --key)"
    click.echo(f"{path}: {len(loaded.manifest.files)} files unchanged; {result}{signed}")


@bundle.command()
@click.option("--rounds", type=click.IntRange(min=1), default=50, show_default=True, help="Inferences per variant.")
@click.option("--out", type=FILE, default=Path("forms.md"), show_default=True, help="File to write, .md or .json.")
@click.argument("paths", type=FOLDER, nargs=-1, required=True)
def forms(paths: tuple[Path, ...], rounds: int, out: Path) -> None:
    """Compare all variants of bundles: size, metrics, agreement, latency.

    Latency is that of one thread.
    """
    from ...benchmarks.performance.variants import compare_variants, write_comparison
    from ...devices.probe import probe
    from ...models.bundle import Bundle
    from ..terminal.progress_bar import ProgressBar

    with ProgressBar("rounds") as progress:
        result = compare_variants([Bundle.load(path) for path in paths], rounds, probe(), progress)
    write_comparison(out, result)
    click.echo(f"written to {out}")


def _print_rows(heading: Sequence[str], rows: Sequence[Sequence[str]], as_json: bool, plain: Any) -> None:
    if as_json:
        click.echo(json.dumps(plain))
        return
    from rich.table import Column, Table

    from ...runtime.monitoring.console import PlainConsole

    table = Table(*(Column(name, overflow="fold") for name in heading), show_header=any(heading))  # show hashes in full
    for row in rows:
        table.add_row(*row)
    PlainConsole().print(table)
