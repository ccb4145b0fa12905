"""Check the shipped bundles against the package's release, and sign them.

``python -m galaxy_edge.models.release --key RELEASE.key`` is run after a shipped bundle was replaced: it signs each of
them, and writes their hashes and the key's public half into the package.

Every run compares the hashes, for which no additional package is needed. They show a bundle that was changed or
swapped by mistake, or by someone who cannot change the package's other files. ``bundle verify`` of a shipped bundle
checks the signature too; a public key that does not come from the package itself, given with ``--key``, proves more.
"""

from __future__ import annotations

import json
from pathlib import Path

from .bundle import Bundle, shipped_bundle_path
from .manifest import BundleError

HASHES = "hashes.json"
KEY = "release.pub"
COMMAND = "python -m galaxy_edge.models.release --key RELEASE.key"


def shipped_folder() -> Path:
    """Return the folder of the shipped bundles."""
    return Path(__file__).with_name("shipped")


def release_key() -> Path:
    """Return the public half of the key that the shipped bundles are signed with."""
    return shipped_folder() / KEY


def is_shipped(bundle: Bundle) -> bool:
    """Return whether a bundle is one of those in the package."""
    return bundle.path.resolve().parent == shipped_folder().resolve()


def check_shipped(bundle: Bundle) -> None:
    """Check a shipped bundle against the package's list of hashes.

    Raises:
        BundleError: the package was released with another bundle of this name.
    """
    hashes = json.loads((shipped_folder() / HASHES).read_text(encoding="utf-8"))
    if hashes.get(bundle.path.name) != bundle.hash:
        raise BundleError(
            f"{bundle.path} is not the bundle that this version was released with: install galaxy-edge again, or, "
            f"after replacing it on purpose, run {COMMAND}"
        )


def sign_shipped(key: Path, folder: Path | None = None) -> list[str]:
    """Sign all shipped bundles and write the list of their hashes.

    Return their names.

    Args:
        key: the private key; generated, with its public half, if it does not exist.
        folder: of the bundles; None for the package's.

    Raises:
        BundleError: a bundle cannot be used or written, or the key is not a private key.
    """
    from .signature import SignatureError, generate_keypair, public_pem, sign, verify

    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        generate_keypair(key.with_suffix(""))
    folder = folder or shipped_folder()
    bundles = [Bundle.load(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    for bundle in bundles:
        try:
            verify(bundle, key)  # an unchanged bundle keeps its signature
        except SignatureError:
            sign(bundle, key)
    hashes = {bundle.path.name: bundle.hash for bundle in bundles}
    (folder / HASHES).write_text(json.dumps(hashes, indent=1) + "\n", encoding="utf-8")
    (folder / KEY).write_bytes(public_pem(key))
    return list(hashes)


def main() -> None:
    """Run the command line."""
    import argparse  # not needed where a run imports this module for its hashes

    parser = argparse.ArgumentParser(description="Sign the shipped bundles and write their hashes.")
    parser.add_argument("--key", type=Path, required=True, help="Private key, NAME.key, outside of the repository.")
    names = sign_shipped(parser.parse_args().key)
    print(f"signed: {', '.join(names)}; commit {shipped_bundle_path('')}, never the private key")


if __name__ == "__main__":
    main()
