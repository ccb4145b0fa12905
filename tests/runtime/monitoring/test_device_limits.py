"""Warnings of a device that is too hot, and of a run that takes too much memory."""

from dataclasses import replace

from galaxy_edge.devices.profile import load_profile
from galaxy_edge.runtime.monitoring.device_limits import CHECK_SECONDS, DeviceLimits

PROFILE = load_profile("raspberry-pi-4")


def test_a_limit_that_is_exceeded_is_one_line_until_the_processor_has_cooled_down(tmp_path, caplog):
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    now, used = [0.0], [PROFILE.memory * 2**20]
    limits = DeviceLimits(PROFILE, tmp_path, lambda: now[0], lambda: used[0])
    caplog.set_level("INFO", logger="galaxy_edge")
    for degrees in (79, 80, 85, 78, 82, 75, 81):
        (zone / "temp").write_text(str(1000 * degrees))
        limits.frame(None, None, None)
        now[0] += CHECK_SECONDS
    hot = "C, and raspberry-pi-4 slows down at 80: improve the cooling, or use fewer --threads"
    assert caplog.messages == [
        f"the processor has 80 degrees {hot}", "the processor has cooled down to 75 degrees C",
        f"the processor has 81 degrees {hot}",
    ]  # fmt: skip
    used[0] += 2**20
    for _ in range(2):
        limits.frame(None, None, None)
        now[0] += CHECK_SECONDS
    assert "the run uses 513 MiB of memory, and the profile raspberry-pi-4 allows 512" in caplog.messages[-1]
    assert len(caplog.messages) == 4


def test_limits_that_are_not_known_are_not_checked(tmp_path, caplog):
    limits = DeviceLimits(replace(PROFILE, memory=0, throttle=0), tmp_path, memory=lambda: 2**60)
    limits.frame(None, None, None)
    assert not caplog.messages
