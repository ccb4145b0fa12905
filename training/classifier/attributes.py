"""What experts said of galaxies beside their class: the attributes of EFIGI (Baillard et al. 2011, A&A 532, A74).

Tight, medium and loose arms are steps of one scale, as are bulges and inclinations. A class says on which side of a
step a galaxy lies, an attribute how far; a network that must tell both learns from the same pictures what the steps are
about. Only in training: the attributes' outputs are left out of what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

ATTRIBUTES = (
    "T",
    "Bulge_to_Total",
    "Arm_Strength",
    "Arm_Curvature",
    "Bar_Length",
    "Inner_Ring",
    "Outer_Ring",
    "Pseudo_Ring",
    "Perturbation",
    "Visible_Dust",
    "Dust_Dispersion",
    "Flocculence",
    "Hot_Spots",
    "Inclination",
)
"""Those that stay what they are when a picture is turned, mirrored, or cropped: neither the sense of rotation nor what
else is in the frame."""

LOWEST_TYPE, HIGHEST_TYPE = -6.0, 11.0
"""The morphological type, from compact to dwarf ellipticals; every other attribute goes from 0 to 1."""


def read_attributes(row: Mapping[str, str]) -> np.ndarray:
    """Read a table's row: (A,) float32 in 0..1, NaN where nothing was said.

    Raises:
        ValueError: a value is no number.
    """
    values = np.array([float(row.get(name) or "nan") for name in ATTRIBUTES], np.float32)
    values[0] = (values[0] - LOWEST_TYPE) / (HIGHEST_TYPE - LOWEST_TYPE)
    values[(values < 0) | (values > 1)] = np.nan  # -1 stands for what cannot be seen, e.g. arms of an edge-on galaxy
    return values


def with_attributes(network: keras.Model) -> keras.Model:
    """Give a network that tells a logit of every attribute, too, from the features that its last layer sees.

    Returns:
        A model with the outputs logits (N, C) and attributes (N, A), which shares all of the network's layers.
    """
    import keras

    features = network.get_layer("logits").input
    told = keras.layers.Dense(len(ATTRIBUTES), name="attributes")(features)
    return keras.Model(network.input, [network.output, told], name=f"{network.name}_with_attributes")
