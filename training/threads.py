"""Thread counts of TensorFlow and OpenCV in a training."""

from __future__ import annotations

import contextlib

import cv2

from ..runtime.system.native_output import suppress_native_stderr


def set_threads(threads: int, opencv_threads: int | None = None) -> None:
    """Set TensorFlow's thread count, and OpenCV's (default: the same).

    TensorFlow takes it only before its first operation; later calls in a process leave its count as it is.
    """
    import tensorflow as tf

    # Initialising the devices prints that there is no GPU ("failed call to cuInit"), past TF_CPP_MIN_LOG_LEVEL.
    with suppress_native_stderr():
        tf.config.list_physical_devices()
    cv2.setNumThreads(threads if opencv_threads is None else opencv_threads)
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
