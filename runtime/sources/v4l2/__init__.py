"""V4L2 cameras: their controls, and raw formats that OpenCV would reduce to 8 bits or not read at all."""
