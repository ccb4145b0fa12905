"""EFIGI's galaxy attributes as an auxiliary training target.

See Baillard et al. 2011, A&A 532, A74.

The classes divide continuous scales: the tightness of arms, the size of the bulge, the inclination. A class gives the
side of a boundary on which a galaxy lies, an attribute the distance from it, so predicting both teaches the scales.
Attributes are used in training only: their outputs are not part of the saved network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..data.archives import read_number

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
"""Attributes that do not change when an image is rotated, mirrored or cropped: neither the sense of rotation nor the
presence of neighbours."""

LOWEST_TYPE, HIGHEST_TYPE = -6.0, 11.0
"""The morphological type, from compact to dwarf ellipticals; every other attribute ranges from 0 to 1."""


def read_attributes(row: Mapping[str, str]) -> np.ndarray:
    """Read a table's row: (A,) float32 in 0..1, NaN where an attribute is not known.

    Raises:
        DataError: a value is not a number.
    """
    known = [row.get(name, "").strip().lower() not in ("", "nan") for name in ATTRIBUTES]
    numbers = [read_number(row, name) if is_known else np.nan for name, is_known in zip(ATTRIBUTES, known, strict=True)]
    values = np.array(numbers, np.float32)
    values[0] = (values[0] - LOWEST_TYPE) / (HIGHEST_TYPE - LOWEST_TYPE)
    values[(values < 0) | (values > 1)] = np.nan  # -1 marks what cannot be seen, e.g. arms of an edge-on galaxy
    return values


def with_attributes(network: keras.Model) -> keras.Model:
    """Add an output with one logit per attribute, computed from the last features.

    Returns:
        A model with the outputs logits (N, C) and attributes (N, A), which shares all the network's layers.
    """
    import keras

    features = network.get_layer("logits").input
    attributes = keras.layers.Dense(len(ATTRIBUTES), name="attributes")(features)
    return keras.Model(network.input, [network.output, attributes], name=f"{network.name}_with_attributes")
