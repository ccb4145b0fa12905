"""V4L2 cameras: their controls and their raw formats.

OpenCV would reduce these formats to 8 bits or not read them at all.
"""
