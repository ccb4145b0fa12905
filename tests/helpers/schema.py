"""The JSON schema of a frame's record, as the package ships it."""

import json
from importlib import resources

FRAME_SCHEMA = json.loads((resources.files("galaxy_edge.runtime.events") / "frame.schema.json").read_text())
