"""Image processing on arrays: statistics, sky motion, stacking, tiling.

No files, no threads.
"""
