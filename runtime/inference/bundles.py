"""Load the bundles of a run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError

if TYPE_CHECKING:
    from ...models.bundle import Bundle
    from ...models.raw.stretch import Stretch

DETECTOR, CLASSIFIER = "galaxy-detector", "galaxy-classifier"
"""Names of the two bundles, and of their folders in a folder of models."""
RAW_DETECTOR = "galaxy-detector-raw"
"""Name of the bundle for raw frames, which is optional in a folder of models."""
TASKS = {DETECTOR: "detect", CLASSIFIER: "classify", RAW_DETECTOR: "detect"}

logger = logging.getLogger(__name__)


def load_bundle(models: Path | None, name: str, key: Path | None = None, allow_older: bool = False) -> Bundle:
    """Load and check one of the two bundles.

    Log a warning if it failed a gate of its export.

    Args:
        models: folder with the bundles; None for the shipped ones.
        name: `DETECTOR`, `CLASSIFIER` or `RAW_DETECTOR`.
        key: public key by which the bundle's signature is checked. Without it, a bundle that is not shipped with the
            package is first loaded in a separate process, since a file of unknown origin could crash the run.
        allow_older: whether a signed bundle may be older than one of the same name that was used here before.

    Raises:
        UsageError: the folder or the key does not exist.
        BundleError, SignatureError: the bundle cannot be used.
    """
    from ...models.bundle import Bundle, shipped_bundle_path
    from ...models.release import check_shipped

    for option, path in (("--models", models), ("--require-signature", key)):
        if path and not path.exists():
            raise UsageError(f"{option} {path} does not exist")
    bundle = Bundle.load(models / name if models else shipped_bundle_path(name), TASKS[name])
    if key is not None:
        from ...models.manifest import BundleError
        from ...models.newest_signed import newer_seen
        from ...models.signature import verify

        signature = verify(bundle, key)
        newer = newer_seen(signature.key, bundle.name, signature.signed)
        if newer and not allow_older:
            raise BundleError(
                f"{bundle.path} was signed on {signature.signed}, and one signed on {newer} was used here before: "
                "--allow-older uses it anyway"
            )
    if not models:
        check_shipped(bundle)
    elif key is None:
        from .sandbox import check_bundle_loads, runnable_here

        check_bundle_loads(bundle, runnable_here(bundle))
    if bundle.failed_gates:
        logger.warning(
            "%s is UNGATED: it was written although it failed %s", bundle.path, ", ".join(bundle.failed_gates)
        )
    return bundle


def bundle_or_shipped(bundle: Bundle | str | Path | None, name: str) -> Bundle:
    """Return a bundle as given, from a folder, or the shipped one.

    Args:
        bundle: a bundle; its folder, which is first loaded in a separate process; None for the shipped one.
        name: `DETECTOR` or `CLASSIFIER`.

    Raises:
        BundleError: the bundle cannot be used.
    """
    if bundle is None:
        return load_bundle(None, name)
    if not isinstance(bundle, (str, Path)):
        return bundle
    from ...models.bundle import Bundle
    from .sandbox import check_bundle_loads, runnable_here

    loaded = Bundle.load(bundle, TASKS[name])
    check_bundle_loads(loaded, runnable_here(loaded))
    return loaded


def has_raw_detector(models: Path | None) -> bool:
    """Return whether there is a separate detector for raw frames.

    It is optional in a folder of models.
    """
    return models is None or (models / RAW_DETECTOR).is_dir()


def raw_stretch(models: Path | None, default: Stretch) -> Stretch:
    """Return the stretch of the detector for raw frames.

    `default` if there is no such detector.

    Raises:
        BundleError: the bundle cannot be used.
    """
    from ...models.bundle import Bundle, shipped_bundle_path

    if not has_raw_detector(models):
        return default
    return Bundle.load(models / RAW_DETECTOR if models else shipped_bundle_path(RAW_DETECTOR), "detect").stretch
