"""Networks of the sizes nano and base, in the package galaxy-edge-networks.

The wheel of galaxy-edge has the networks of the size small only. This package registers the folders of the others as
entry points, see `models.sizes`. Networks that a size shares with small are links to the shipped bundles; its wheel
has copies of them.
"""

from pathlib import Path

NANO = Path(__file__).with_name("nano")
BASE = Path(__file__).with_name("base")
