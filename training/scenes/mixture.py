"""The kinds of training scenes and their usual shares."""

from __future__ import annotations

from collections.abc import Mapping

MIXTURE = {
    "survey": 0.11,
    "deepsky": 0.17,
    "composed": 0.13,
    "deep_field": 0.07,
    "mosaic": 0.04,
    "close_up": 0.10,
    "negative": 0.15,
    "stars": 0.13,
    "nebula": 0.10,
}
"""Share of each kind of scene; `generator.SceneGenerator` draws them."""


def check_shares(shares: Mapping[str, float]) -> None:
    """Check shares that replace some of `MIXTURE`.

    Raises:
        ValueError: a kind is unknown, a share is outside of 0..1, or their sum is over 1.
    """
    for kind, share in shares.items():
        if kind not in MIXTURE:
            raise ValueError(f"'{kind}' is not a kind of scene; known: {', '.join(MIXTURE)}")
        if not 0 <= share <= 1:
            raise ValueError(f"the share of {kind} scenes must be in 0..1, not {share}")
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"the shares of scenes must not be over 1 together: {dict(shares)}")
