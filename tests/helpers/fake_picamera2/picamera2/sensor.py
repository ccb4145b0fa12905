"""The sensor and the hardware behind the stand-in.

Its modes, what libcamera makes of a configuration, its images.
"""

import re

import numpy as np
from helpers.packed_pixels import packed

_RAW = re.compile(r"(?:S(?:RGGB|GRBG|GBRG|BGGR)|R)(?:8|10|12|16)(?:_CSI2P)?|(?:RGGB|GRBG|GBRG|BGGR)_PISP_COMP1")


class Sensor:
    """A camera of the scenario.

    ``model``, ``scene`` (.npy of linear RGB), ``order``, ``bits`` and kinds of trouble.
    """

    def __init__(self, camera):
        self.model, self.order, self.bits = camera["model"], camera.get("order", "RGGB"), camera.get("bits", 12)
        self.scene = np.load(camera["scene"])
        self.is_pi5, self.is_usb = camera.get("pi5", False), camera.get("usb", False)
        self.is_busy, self.compresses = camera.get("busy", False), camera.get("compresses", False)
        self.is_mono, self.has_thermometer = self.order == "R", camera.get("thermometer", True)
        self.hangs_after, self.dies_after = camera.get("hangs_after"), camera.get("dies_after")
        height, width = self.scene.shape[:2]
        letter = "" if self.is_mono else "S"
        self.modes = [
            {"format": f"{letter}{self.order}{bits}_CSI2P", "unpacked": f"{letter}{self.order}{bits}", "bit_depth": bits,
             "size": size, "fps": 30.0, "crop_limits": (0, 0, width, height), "exposure_limits": (60, 230_000_000)}
            for bits, size in ((10, (width // 2, height // 2)), (self.bits, (width, height)))
        ]  # fmt: skip
        self.native = self.mode = self.modes[-1]

    @staticmethod
    def is_raw(name):
        return bool(_RAW.fullmatch(name))

    def controls(self):
        """Return minimum, maximum and default of each control, which depend on the mode."""
        if self.is_usb:
            return {"Brightness": (-1.0, 1.0, 0.0)}
        longest = 230_000_000 if self.mode is self.native else 66_000_000
        found = {
            "ExposureTime": (60, longest, 20000), "AnalogueGain": (1.0, 22.26, 1.0),
            "FrameDurationLimits": (20000, 240_000_000, 33333), "AeEnable": (False, True, True),
        }  # fmt: skip
        colour = {"AwbEnable": (False, True, None), "ColourGains": (0.0, 32.0, None)}
        return found if self.is_mono else found | colour

    def adjust(self, config):
        """Adjust a configuration in place as libcamera does."""
        raw, main = config["raw"], config["main"]
        main["stride"] = -(-main["size"][0] * 3 // 64) * 64
        main["framesize"] = main["stride"] * main["size"][1]
        wanted = (config["sensor"] or {}).get("output_size") or (raw or main)["size"]
        self.mode = min(self.modes, key=lambda mode: abs(mode["size"][0] - wanted[0]))
        if raw is None:
            return
        raw["size"] = self.mode["size"]
        order = self.flipped_order(config["transform"])
        bits, letter = self.mode["bit_depth"], "" if self.is_mono else "S"
        is_packed = raw["format"].endswith("_CSI2P")
        if self.is_pi5:
            raw["format"] = f"{order}_PISP_COMP1" if is_packed or self.compresses else f"{letter}{order}16"
        else:
            raw["format"] = f"{letter}{order}{bits}{'_CSI2P' if is_packed or self.compresses else ''}"
        raw["stride"] = -(-(self._row_bytes(raw["format"])) // 32) * 32 + 32
        raw["framesize"] = raw["stride"] * raw["size"][1]

    def _row_bytes(self, name):
        width = self.mode["size"][0]
        return width * self.mode["bit_depth"] // 8 if name.endswith("_CSI2P") else 2 * width

    def flipped_order(self, transform):
        """Return the Bayer order of the first two rows when they are read out mirrored."""
        if self.is_mono:
            return "R"
        cell = np.array(list(self.order)).reshape(2, 2)
        return "".join(self._flip(cell, transform).flatten())

    @staticmethod
    def _flip(array, transform):
        array = array[:, ::-1] if transform.hflip else array
        return array[::-1] if transform.vflip else array

    def array(self, stream, transform):
        """Return an image as `make_array` does.

        Of raw formats uint8 (height, stride), of others (height, width, 3).
        """
        width, height = stream["size"]
        scene = self._flip(self.scene, transform)
        if not self.is_raw(stream["format"]):
            image = np.empty((height, width, 3), np.uint8)
            image[:] = np.clip(scene[:height, :width] / 64, 0, 255)
            return image[..., ::-1] if stream["format"] == "RGB888" else image  # named from the highest byte
        values = mosaic(scene[:height, :width], self.flipped_order(transform), self.mode["bit_depth"])
        if stream["format"].endswith("_CSI2P"):
            rows = packed(values, self.mode["bit_depth"])
        else:  # the Pi 5 moves the bits of a pixel to the top of its word
            shift = 16 - self.mode["bit_depth"] if stream["format"].endswith("16") else 0
            rows = np.frombuffer((values << shift).astype("<u2").tobytes(), np.uint8).reshape(height, -1)
        return np.pad(rows, ((0, 0), (0, stream["stride"] - rows.shape[1])))


def mosaic(scene, order, bits):
    """Sample a linear scene (H, W, 3) through a Bayer order.

    A sensor of one colour gives the scene's green.
    """
    values = scene[..., 1].copy()
    for index, letter in enumerate(order if len(order) == 4 else ""):
        y, x = divmod(index, 2)
        values[y::2, x::2] = scene[y::2, x::2, "RGB".index(letter)]
    return np.clip(np.rint(values), 0, 2**bits - 1).astype(np.int64)
