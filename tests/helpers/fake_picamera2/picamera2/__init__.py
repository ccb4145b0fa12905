"""A stand-in for Picamera2 0.3.36 with its order of calls, names and errors.

It enforces these and the types.

Errors have the types and texts of picamera2/picamera2.py, request.py, job.py and controls.py; what libcamera adjusts
without an error (formats, Bayer order under a flip, exposures beyond the frame's duration) is adjusted here too. The
file in FAKE_PICAMERA2 describes the cameras; FAKE_PICAMERA2_LOG receives the calls. Frames come every few milliseconds,
whatever the exposure.
"""

import json
import os
import threading
import time
from concurrent.futures import CancelledError, Future
from types import MappingProxyType

import numpy as np
from libcamera import Transform

from .sensor import Sensor

_VALID_KEYS = ("format", "size", "stride", "preserve_ar")
_IGNORED_KEYS = ("bit_depth", "crop_limits", "exposure_limits", "fps", "unpacked")
_ANY, _UNTURNED = MappingProxyType({}), Transform()
_COLOURS = ("BGR888", "RGB888", "XBGR8888", "XRGB8888")
FRAME_SECONDS = 0.003


def _log(text):
    with open(os.environ["FAKE_PICAMERA2_LOG"], "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


with open(os.environ["FAKE_PICAMERA2"], encoding="utf-8") as _file:
    _SCENARIO = json.load(_file)
if "import_error" in _SCENARIO:
    raise ValueError(_SCENARIO["import_error"])


class Job:
    """An operation for the camera's event loop.

    It stays queued where a wait for it times out.
    """

    def __init__(self):
        self.future = Future()
        self.future.set_running_or_notify_cancel()

    def get_result(self, timeout=None):
        return self.future.result(timeout=timeout)

    def cancel(self):
        self.future.set_exception(CancelledError())


class CompletedRequest:
    """A frame whose buffer is not reused until it is released."""

    def __init__(self, picam2, number):
        self.picam2, self.number, self.ref_count = picam2, number, 1
        self.config, self.stop_count = dict(picam2.camera_config), picam2.stop_count

    def release(self):
        with self.picam2.lock:
            self.ref_count -= 1
            if self.ref_count < 0:
                raise RuntimeError("CompletedRequest: lock now has negative ref_count")
            if self.ref_count == 0 and self.stop_count == self.picam2.stop_count:
                self.picam2.free_buffers += 1

    def make_array(self, name):
        if self.config.get(name) is None:
            raise RuntimeError(f"Stream {name!r} is not defined")
        if self.ref_count < 1:
            raise AssertionError("the buffer belongs to the camera")
        return np.copy(self.picam2.sensor.array(self.config[name], self.config["transform"]))

    def get_metadata(self):
        return self.picam2.metadata()


class Picamera2:
    """The class, as far as one camera is read with it."""

    @staticmethod
    def global_camera_info():
        return [
            {
                "Model": camera["model"],
                "Location": 2,
                "Rotation": 0,
                "Id": f"/base/i2c/{camera['model']}",
                "Num": number,
            }
            for number, camera in enumerate(_SCENARIO["cameras"])
        ]

    def __init__(self, camera_num=0, verbose_console=None, tuning=None, allocator=None):
        self.is_open, self.started = False, False
        self.global_camera_info()[camera_num]  # an IndexError where there is none
        self.sensor = Sensor(_SCENARIO["cameras"][camera_num])
        if self.sensor.is_busy:
            try:
                raise RuntimeError("Failed to acquire camera: Device or resource busy")
            except RuntimeError as error:
                raise RuntimeError("Camera __init__ sequence did not complete.") from error
        self.is_open = True
        self.lock = threading.Lock()
        self.camera_config, self._controls, self._jobs = {}, {}, []
        self.stop_count = self.frames = self.free_buffers = 0
        self.sensor_resolution = self.sensor.native["size"]
        self.sensor_format = self.sensor.native["format"]
        _log("open")

    @property
    def camera_properties(self):
        return {"Model": self.sensor.model} | ({} if self.sensor.is_usb else {"ColorFilterArrangement": 0})

    @property
    def camera_controls(self):
        return self.sensor.controls()

    @property
    def sensor_modes(self):
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        _log("sensor_modes")
        self.sensor.mode = self.sensor.modes[-1]  # it reconfigures the camera for each of them
        return [dict(mode) for mode in self.sensor.modes]

    def create_video_configuration(
        self, main=_ANY, lores=None, raw=_ANY, transform=_UNTURNED, colour_space=None, buffer_count=6, controls=_ANY,
        display="main", encode="main", queue=True, sensor=_ANY, use_case="video",
    ):  # fmt: skip
        main = self._stream({"format": "XBGR8888", "size": (1280, 720), "preserve_ar": True}, main)
        main["size"] = tuple(side - side % 2 for side in main["size"])
        raw = None if self.sensor.is_usb else self._stream({"format": self.sensor_format, "size": main["size"]}, raw)
        if "FrameDurationLimits" in self.camera_controls:
            controls = {"FrameDurationLimits": (33333, 33333), **controls}
        return {
            "use_case": use_case, "transform": transform, "colour_space": colour_space, "buffer_count": buffer_count,
            "queue": queue, "main": main, "lores": lores, "raw": raw, "controls": dict(controls),
            "sensor": None if self.sensor.is_usb else sensor, "display": display, "encode": encode,
        }  # fmt: skip

    @staticmethod
    def _stream(stream, updates):
        if updates is None:
            return None
        for key, value in updates.items():
            if key in _VALID_KEYS:
                stream[key] = value
            elif key not in _IGNORED_KEYS:
                raise ValueError(f"Bad key {key!r}: valid stream configuration keys are {_VALID_KEYS}")
        return stream

    def configure(self, camera_config=None):
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        if not isinstance(camera_config, dict):
            raise TypeError("Invalid type for `camera_config` given")
        config = dict(camera_config)
        self.camera_config = {}
        if type(config["transform"]) is not Transform:
            raise RuntimeError("Transform has incorrect type")
        if config["sensor"] is not None and (bad := set(config["sensor"]) - {"bit_depth", "output_size"}):
            raise RuntimeError(f"Unexpected keys {bad} in sensor configuration")
        self._check_stream(config["main"], "main")
        if config["raw"] is not None:
            self._check_stream(config["raw"], "raw")
        self.sensor.adjust(config)  # without an error: only what is read back is true
        self.camera_config, self._controls = config, {}
        self.set_controls(config["controls"])
        _log(f"configure {config['main']['format']} {config['raw'] and config['raw']['format']}")

    def _check_stream(self, stream, name):
        if type(stream["format"]) is not str:
            raise RuntimeError("format in " + name + " stream should be a string")
        if name == "raw" and not self.sensor.is_raw(stream["format"]):
            raise RuntimeError("Unrecognised raw format " + stream["format"])
        if name == "main" and stream["format"] not in _COLOURS:
            raise RuntimeError("Bad format " + stream["format"] + " in stream " + name)
        size = stream["size"]
        if type(size) is not tuple or len(size) != 2:
            raise RuntimeError("size in " + name + " stream should be (width, height)")
        if size[0] % 2 or size[1] % 2:
            raise RuntimeError("width and height should be even")

    def camera_configuration(self):
        return self.camera_config

    def set_controls(self, controls):
        if not isinstance(controls, dict):
            raise RuntimeError(f"Cannot update controls with {type(controls)} type")
        for name, value in controls.items():
            if name not in self.camera_controls:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
            if name in ("ExposureTime",) and type(value) is not int:
                raise TypeError(f"{name} is an integer of microseconds")
            self._controls[name] = value
        _log(f"set_controls {json.dumps(self._controls)}")

    def metadata(self):
        controls = self._controls
        shortest, longest = controls.get("FrameDurationLimits", (33333, 33333))
        exposure = min(controls.get("ExposureTime") or 20000, longest)  # cut without an error
        found = {
            "ExposureTime": exposure, "AnalogueGain": controls.get("AnalogueGain") or 1.0, "DigitalGain": 1.0,
            "FrameDuration": max(exposure, shortest), "SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            "ColourGains": tuple(controls.get("ColourGains", (2.0, 1.5))), "Lux": 0.1,
        }  # fmt: skip
        return found | ({"SensorTemperature": 31.0} if self.sensor.has_thermometer else {})

    def start(self, config=None, show_preview=False):
        if not self.camera_config:
            raise RuntimeError("Camera has not been configured")
        self.started, self.free_buffers = True, self.camera_config["buffer_count"]
        _log("start")
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        """Complete a request for each job, as long as a buffer is free.

        A cable that falls out ends it in silence.
        """
        while self.started:
            time.sleep(FRAME_SECONDS)
            with self.lock:
                if not (self.started and self._jobs and self.free_buffers):
                    continue
                if self.sensor.dies_after is not None and self.frames >= self.sensor.dies_after:
                    os.kill(os.getpid(), 9)
                if self.sensor.hangs_after is not None and self.frames >= self.sensor.hangs_after:
                    continue
                self.free_buffers -= 1
                self.frames += 1
                self._jobs.pop(0).future.set_result(CompletedRequest(self, self.frames))

    def capture_request(self, wait=None, signal_function=None, flush=None):
        job = Job()
        with self.lock:
            self._jobs.append(job)
        if wait is False:
            return job
        return job.get_result(None if wait in (None, True) else wait)

    def wait(self, job, timeout=None):
        return job.get_result(timeout=timeout)

    def cancel_all_and_flush(self):
        with self.lock:
            for job in self._jobs:
                job.cancel()
            self._jobs = []

    def stop(self):
        if not self.started:
            return
        _log("stop")
        if self.sensor.hangs_after is not None and self.frames >= self.sensor.hangs_after:
            threading.Event().wait()  # the job that stops the camera is never executed
        self.stop_count += 1
        self.started = False

    def close(self):
        if not self.is_open:
            return
        self.stop()
        self.is_open = False
        _log("close")
