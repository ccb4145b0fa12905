"""Check that the pool of frame buffers never returns memory that is still in use."""

import numpy as np
from galaxy_edge.runtime.system.buffer_pool import FrameBufferPool


def test_buffer_is_reused_only_when_no_view_of_it_is_left():
    """A view of an array keeps its memory in use, as a crop of a frame does."""
    buffers = FrameBufferPool()
    first = buffers.acquire((8, 8, 3))
    view, address = first[2:4], first.ctypes.data
    del first
    assert buffers.acquire((8, 8, 3)).ctypes.data != address
    del view
    assert buffers.acquire((8, 8, 3)).ctypes.data == address
    assert buffers.acquire((4, 4, 3)).shape == (4, 4, 3)


def test_adopted_array_is_reused_once_it_is_free():
    """Decoders allocate their own arrays, which can be reused as well."""
    buffers, array = FrameBufferPool(), np.zeros((8, 8, 3), np.uint8)
    address = array.ctypes.data
    buffers.adopt(array)
    assert buffers.acquire((8, 8, 3)).ctypes.data != address
    del array
    assert buffers.acquire((8, 8, 3)).ctypes.data == address
