"""galaxy-edge: find and name galaxies on small computers at telescopes."""

import os

__version__ = "0.1.0"

# TensorFlow prints messages about the processor and missing GPUs when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
