"""The recipe of ours for a network so small that a test can train it."""

from dataclasses import replace

from galaxy_edge.training.classifier.recipe import RECIPES

SPEC = {
    "stem_channels": 4, "stem_kernel": 3, "stem_stride": 2, "pooling": "average", "dense": 0, "dropout": 0.3,
    "stages": [{"width": 8, "depth": 0, "kernel": 3, "kind": "plain"}, {"width": 12, "depth": 1, "kernel": 3, "kind": "separable"}],
}  # fmt: skip
TINY = replace(RECIPES["small"], size=48, spec=SPEC, epochs=2, batch=8)
