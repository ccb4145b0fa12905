"""galaxy-edge: find and name galaxies on small computers at telescopes."""

import os

__version__ = "0.1.0"

# TensorFlow tells of the processor and of missing GPUs when it is imported, wherever that happens first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
