"""Change a signed bundle at random, and misuse its signature.

An older bundle is brought back, its signature expires, and its key is revoked.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from .....errors import UserError
from .....models.bundle import Bundle, shipped_bundle_path
from .....models.newest_signed import newer_seen
from .....models.signature import SIGNATURE, generate_keypair, revoke, sign, verify
from .....runtime.inference.bundles import CLASSIFIER
from ...attack import Attack, NotPossible, Outcome


def run(count: int, folder: Path) -> Outcome:
    """Change one byte of the bundle `count` times.

    Then use a valid signature in ways that are not allowed.
    """
    try:
        private, public = generate_keypair(folder / "key")
    except UserError as error:
        raise NotPossible(str(error)) from None
    path = shutil.copytree(shipped_bundle_path(CLASSIFIER), folder / CLASSIFIER)
    sign(Bundle.load(path), private, expires="2999-01-01T00:00:00Z")
    numbers = random.Random(21)
    accepted = 0
    for _ in range(count):
        file = numbers.choice([path / SIGNATURE, *sorted(path.iterdir())])
        content = file.read_bytes()
        at = numbers.randrange(len(content))
        # One bit; in the signature's file, the case of hexadecimal digits and trailing text do not change its meaning.
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        file.write_bytes(changed)
        if file.name != SIGNATURE or at < len(content) - 1:
            accepted += _accepted(path, public)
        file.write_bytes(content)
    found = verify(Bundle.load(path), public)
    seen = folder / "newest.json"
    newer_seen(found.key, CLASSIFIER, "2998-01-01T00:00:00Z", seen)
    accepted += newer_seen(found.key, CLASSIFIER, found.signed, seen) is None
    accepted += _accepted(path, public, now="2999-01-01T00:00:00Z")
    revoke(public, folder / "revoked-keys")
    accepted += _accepted(path, public)
    return Outcome({"changes": count, "accepted": accepted}, accepted == 0)


def _accepted(path: Path, key: Path, now: str | None = None) -> bool:
    try:
        verify(Bundle.load(path), key, now)
    except UserError:
        return False
    return True


ATTACK = Attack(
    promise="A signed bundle is refused if it was changed, replaced by an older one or has expired, or if its key "
    "was revoked.",
    method="{count} changes of one bit in any file, an older bundle, an expired signature and a revoked key",
    run=run,
    count=2_000,
    small_count=100,
)
