"""Find galaxies in developed raw frames by fusing the low scores of all views.

One threshold is applied after that.

Raw exposures are noisy and dim, so a galaxy scores lower in them than in processed images. Views of the whole frame
and of tiles confirm each other, and boxes around bright stars, as in reflection nebulae, are dropped.
"""

from __future__ import annotations

import numpy as np

from ...models.raw.stretch import Stretch
from ...models.raw.view_fusion import fuse_views
from ..frame import Detections
from .detector import Detector, ModelInput
from .engine import RawTensor

MIN_STAR_WIDTHS = 3.6
"""Minimum longer side of a box in widths of the frame's stars: the network mistakes wide stars for small galaxies."""
WIDEST_STARS = 12.0
"""Maximum width of stars in pixels, even out of focus; larger boxes need no such check."""
MIN_VIEW_SCORE = 0.05
"""Minimum score in a single view; the operating threshold is applied to the fused list."""


class RawDetector(Detector):
    """A detector whose bundle was trained on developed raw frames.

    For arguments see `Detector`.
    """

    def decode(self, raw: dict[str, RawTensor], model_input: ModelInput, is_tile: bool = False) -> Detections:
        """Return all detections of a view above `MIN_VIEW_SCORE`.

        For arguments see `Detector.decode`.
        """
        operating = self.min_score, self.tile_min_score
        self.min_score = self.tile_min_score = MIN_VIEW_SCORE
        try:
            return super().decode(raw, model_input, is_tile)
        finally:
            self.min_score, self.tile_min_score = operating

    def fuse(
        self, pixels: np.ndarray, views: np.ndarray, found: list[Detections], stretch: Stretch | None
    ) -> Detections:
        """Fuse the detections of all views of a frame and apply the operating threshold.

        Args:
            pixels: (H, W, 3) uint8 RGB, developed with `stretch`.
            views: (V, 4) int x0, y0, x1, y1 in frame pixels, the whole frame first.
            found: results of `decode` for each view, in its own pixels.
        """
        from ...models.raw.extended_sources import star_dominated  # imported when the first raw frame arrives
        from ...models.raw.star_width import star_width

        parts = []
        for (x0, y0, x1, y1), view in zip(views, found, strict=True):
            kept = ~star_dominated(np.ascontiguousarray(pixels[y0:y1, x0:x1]), view.boxes, stretch)
            parts.append((view.boxes[kept], view.scores[kept]))
        boxes, scores, origin = fuse_views(views, parts, min(self.bundle.input_size))
        kept = scores >= np.where(origin > 0, self.tile_min_score, self.min_score)
        longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
        if (kept & (longer < MIN_STAR_WIDTHS * WIDEST_STARS)).any():
            kept &= longer >= MIN_STAR_WIDTHS * (star_width(pixels, stretch) or 0.0)
        return Detections(boxes[kept], scores[kept])
