"""What Picamera2's users need of libcamera's Python module."""


class Transform:
    """A stand-in for libcamera.Transform: keywords only, of 0 and 1."""

    def __init__(self, *, hflip=0, vflip=0, transpose=0):
        self.hflip, self.vflip, self.transpose = bool(hflip), bool(vflip), bool(transpose)
