"""Run a Picamera2 camera; the program of a child process.

It needs the standard library and Picamera2 only, and nothing of this package: it may be run by the system's own Python,
with which Picamera2 comes. `process.CameraProcess` starts it, and kills it where the camera hangs.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import queue
import re
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

SLOTS = 2
"""Images in the shared memory: while one is copied out, the next is copied in."""
POLL_SECONDS = 0.1
"""Seconds between looks at whether to stop, during an exposure."""
EXIT_SECONDS = 4.0
"""Seconds for stopping the camera after the parent is gone: `stop` may block forever."""
SHORTEST, LONGEST_AUTOMATIC = 100, 1_000_000
"""Microseconds of a frame: the driver takes the shortest it can; the longest while the exposure is automatic."""
METADATA = ("ExposureTime", "AnalogueGain", "DigitalGain", "SensorTemperature", "ColourGains")
Settings = dict[str, Any]


class OptionError(Exception):
    """An option is wrong for this camera; the text says why."""


class CameraError(Exception):
    """The camera cannot be used now; the text says why."""


class Parent:
    """The connection to the parent process, which is read by a thread."""

    def __init__(self, file: int) -> None:
        self._connection = Connection(file)
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.is_gone = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._connection.send_bytes(json.dumps(message).encode())

    def wants_image(self) -> bool:
        """Wait until an image is wanted; return False once the parent is done."""
        return self._requests.get()

    def _listen(self) -> None:
        try:
            while self._connection.recv_bytes() == b"next":
                self._requests.put(True)
        except (EOFError, OSError):
            pass
        self.is_gone.set()
        self._requests.put(False)
        time.sleep(EXIT_SECONDS)
        os._exit(1)


def main(connection: int, memory: int, settings: Settings) -> None:
    """Run the camera until the parent is done or something fails.

    A failure is reported to the parent.

    Args:
        connection: file of a connection to the parent.
        memory: file of shared memory, which is given its size here.
        settings: number, raw, exposure, gain, wb, size, mode, rate, hflip, vflip; None where not given.
    """
    parent = Parent(connection)
    try:
        library, transform = importlib.import_module("picamera2"), importlib.import_module("libcamera").Transform
    except Exception as error:  # noqa: BLE001 - of another numpy's version, for one, it raises a ValueError
        parent.send(kind="library", text=_chain(error))
        return
    camera = None
    try:
        camera = _open(library.Picamera2, settings["number"])
        stream = configure(camera, transform, settings)
        camera.set_controls(controls(camera, settings))
        camera.start()
        _deliver(camera, stream, parent, memory)
    except OptionError as error:
        parent.send(kind="option", text=str(error))
    except Exception as error:  # noqa: BLE001 - libcamera raises many kinds; the parent reports it
        parent.send(kind="camera", text=_chain(error))
    finally:
        if camera is not None:
            camera.cancel_all_and_flush()
            camera.stop()
            camera.close()


def _open(library: Any, number: int) -> Any:
    cameras = library.global_camera_info()
    if number >= len(cameras):
        found = ", ".join(f"{index} ({info.get('Model', 'unnamed')})" for index, info in enumerate(cameras))
        raise CameraError(f"there is no camera {number}; cameras found: {found or 'none, check the cable'}")
    return library(number)


def configure(camera: Any, transform: Any, settings: Settings) -> dict[str, Any]:
    """Configure the camera.

    Returns:
        What it made of the configuration: ``stream``, its name, and ``format``, ``size``, ``stride`` and ``model``.

    Raises:
        OptionError: it has no such mode, size or raw images.
    """
    mode = _mode(camera, settings["mode"]) if settings["mode"] else None
    wanted: dict[str, Any] = {"transform": transform(hflip=settings["hflip"], vflip=settings["vflip"])}
    if mode:
        wanted["sensor"] = {"output_size": mode["size"], "bit_depth": mode["bit_depth"]}
    if settings["raw"]:
        size = mode["size"] if mode else camera.sensor_resolution
        asked = unpacked(str(mode["format"] if mode else camera.sensor_format))
        wanted |= {"main": _main((640, 480)), "raw": {"format": asked, "size": size}}
        stream = _configure(camera, wanted, "raw")
        if "PISP" in stream["format"]:  # compressed with loss; words of 16 bits are not
            wanted["raw"]["format"] = unpacked(stream["format"])
            stream = _configure(camera, wanted, "raw")
    else:
        width, height = settings["size"] or (side // 2 for side in camera.sensor_resolution)
        size = (width - width % 2, height - height % 2)
        stream = _configure(camera, {**wanted, "main": _main(size), "raw": None}, "main")
        if settings["size"] and tuple(stream["size"]) != size:
            raise OptionError(f"there is no size {_text(size)}; the nearest is {_text(stream['size'])}")
    return {**stream, "model": str(camera.camera_properties.get("Model", ""))}


def _main(size: tuple[int, int]) -> dict[str, Any]:
    return {"format": "RGB888", "size": size}  # by libcamera's names, this is blue, green, red in the memory


def _configure(camera: Any, wanted: dict[str, Any], name: str) -> dict[str, Any]:
    camera.configure(camera.create_video_configuration(buffer_count=3, **wanted))
    stream = camera.camera_configuration()[name]
    if stream is None:
        raise OptionError("it has no raw images")
    return {"stream": name, **{key: stream[key] for key in ("format", "size", "stride")}}


def _mode(camera: Any, wanted: list[int]) -> dict[str, Any]:
    """Return the mode of the sensor with this width, height and, if given, bits.

    By default, the most bits.
    """
    modes = [mode for mode in camera.sensor_modes if "size" in mode]
    found = [mode for mode in modes if [*mode["size"], mode["bit_depth"]][: len(wanted)] == wanted]
    if not found:
        names = ", ".join(f"{_text(mode['size'])}:{mode['bit_depth']}" for mode in modes)
        text = _text(wanted[:2]) + "".join(f":{bits}" for bits in wanted[2:])
        raise OptionError(f"the sensor has no mode {text}; it has {names or 'none'}")
    return dict(max(found, key=lambda mode: mode["bit_depth"]))


def unpacked(name: str) -> str:
    """Return the format in words of a raw format that may be packed or compressed."""
    if "PISP" in name:
        return f"S{_pattern(name)}16"
    return name.partition("_")[0]


def _pattern(name: str) -> str:
    match = re.search("RGGB|GRBG|GBRG|BGGR", name)
    return match[0] if match else "RGGB"


def controls(camera: Any, settings: Settings) -> dict[str, Any]:
    """Return the controls that the settings ask for.

    Raises:
        OptionError: the camera lacks one, or a value is outside its range in this mode.
    """
    exposure, gain, white, rate = (settings[name] for name in ("exposure", "gain", "wb", "rate"))
    limits = camera.camera_controls
    found: dict[str, Any] = {}
    if exposure is not None:
        found["ExposureTime"] = round(_in_range("exposure", exposure, limits, "ExposureTime", 1e6, " s") * 1e6)
        if rate and exposure > 1 / rate:
            raise OptionError(f"exposure={exposure:g} s is longer than a frame at rate={rate:g}")
    if gain is not None:
        found["AnalogueGain"] = float(_in_range("gain", gain, limits, "AnalogueGain", 1.0, ""))
    if white is not None:
        if "ColourGains" not in limits:
            raise OptionError("its white balance cannot be set: wb has no effect on it")
        found |= {"AwbEnable": False, "ColourGains": tuple(white)}
    elif settings["raw"] and "AwbEnable" in limits:  # for raw images it is only a longer start
        found["AwbEnable"] = False
    if "FrameDurationLimits" in limits:  # by default 33 ms, to which a longer exposure would be cut
        longest = max(2 * found["ExposureTime"], found["ExposureTime"] + 1_000_000) if exposure else LONGEST_AUTOMATIC
        found["FrameDurationLimits"] = (round(1e6 / rate),) * 2 if rate else (SHORTEST, longest)
    elif rate:
        raise OptionError("its rate cannot be set")
    return found


def _in_range(option: str, value: float, limits: dict[str, Any], name: str, units: float, unit: str) -> float:
    if name not in limits:
        raise OptionError(f"its {option} cannot be set")
    least, most = (number / units for number in limits[name][:2])
    if most > least and not least <= value <= most:
        raise OptionError(f"{option}={value:g} is out of range: {least:g} to {most:g}{unit} in this mode of the sensor")
    return value


def _deliver(camera: Any, stream: dict[str, Any], parent: Parent, memory: int) -> None:
    """Copy images into the shared memory as they are wanted."""
    width, height = stream["size"]
    length = stream["stride"] * height if stream["stream"] == "raw" else 3 * width * height
    os.ftruncate(memory, SLOTS * length)
    shared = memoryview(mmap.mmap(memory, SLOTS * length))
    parent.send(kind="ready", length=length, **stream)
    number = 0
    while parent.wants_image():
        request = _next_request(camera, parent)
        if request is None:
            return
        try:
            image, metadata = request.make_array(stream["stream"]), request.get_metadata()
        finally:
            request.release()  # else the camera runs out of buffers, and stalls
        slot = number % SLOTS
        shared[slot * length : (slot + 1) * length] = memoryview(image).cast("B")
        details = {name: metadata[name] for name in METADATA if name in metadata}
        parent.send(kind="image", slot=slot, time=_start_of_exposure(metadata), metadata=details)
        number += 1


def _next_request(camera: Any, parent: Parent) -> Any:
    """Return the next completed request of the camera; None once the parent is done."""
    job = camera.capture_request(wait=False)
    while not parent.is_gone.is_set():
        try:
            return camera.wait(job, timeout=POLL_SECONDS)
        except TimeoutError:  # the job stays in the queue
            continue
    return None


def _start_of_exposure(metadata: dict[str, Any]) -> float | None:
    """Return the start of the exposure in seconds since 1970.

    None where the camera gives no time.

    The sensor's time is that of the end of the exposure of its first row, by the clock that counts from the start of
    the computer (Picamera2's own `flush` reckons alike).
    """
    stamp = metadata.get("SensorTimestamp")
    if not stamp:
        return None
    offset = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return float((stamp + offset) / 1e9 - metadata.get("ExposureTime", 0) / 1e6)


def _text(size: Any) -> str:
    return "x".join(map(str, size))


def _chain(error: BaseException | None) -> str:
    """Return the text of an error and of what caused it, in one line."""
    texts = []
    while error is not None:
        texts.append(f"{type(error).__name__}: {error}" if not isinstance(error, CameraError) else str(error))
        error = error.__cause__
    return " <- ".join(" ".join(text.split()) for text in texts)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
