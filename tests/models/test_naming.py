"""Display names: the class if it is sure, else a sure group, else neither."""

import pytest
from galaxy_edge.models.labels import CLASSES
from galaxy_edge.models.naming import UNCERTAIN, display_name, sure_group


def spread(**parts):
    """Probabilities of all nine classes; those not named share nothing."""
    return {name: parts.get(name, 0.0) for name in CLASSES}


@pytest.mark.parametrize(
    ("probabilities", "sure", "shown"),
    [
        (spread(spiral_tight=0.95, smooth_round=0.05), True, "spiral_tight"),
        (spread(spiral_tight=0.95, smooth_round=0.05), None, "spiral_tight"),  # a bundle without a threshold
        (spread(spiral_tight=0.4, spiral_medium=0.3, spiral_loose=0.25, smooth_round=0.05), False, "spiral galaxy"),
        (spread(spiral_tight=0.4, spiral_medium=0.3, smooth_round=0.3), False, UNCERTAIN),
        (spread(edge_on_rounded_bulge=0.5, edge_on_no_bulge=0.4, smooth_cigar=0.1), False, "edge-on galaxy"),
    ],
)
def test_what_a_galaxy_is_called(probabilities, sure, shown):
    """The winding of a spiral is often doubtful; that it is a spiral is not."""
    assert display_name("spiral_tight", probabilities, sure) == shown


def test_foreign_classes_have_no_group():
    """A user's own classes are shown or not; nothing is known of their groups."""
    assert sure_group({"cat": 0.5, "dog": 0.5}) is None
    assert sure_group({"smooth": 1.0}) is None
