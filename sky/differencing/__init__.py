"""Find what is new in a stack of frames: subtract a reference of the same field."""
