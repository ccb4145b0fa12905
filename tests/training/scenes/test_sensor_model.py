"""The sensor model produces the configured noise."""

import numpy as np
from galaxy_edge.training.scenes.sensor_model import SensorModel, bank, draw_sensor, mosaic_of


def exposed(sensor: SensorModel, level: float = 0.0, share: float = 1.0) -> np.ndarray:
    return sensor.expose(np.random.default_rng(1), np.full((400, 500, 3), level, np.float32), share)


def test_noise_of_the_sky_and_of_light():
    sky = exposed(SensorModel(channels=(1.3, 1.0, 0.9)))
    assert np.allclose(sky.std(axis=(0, 1)), [1.3, 1.0, 0.9], rtol=0.02) and abs(sky.mean()) < 0.01
    bright = exposed(SensorModel(electrons=20.0, channels=(1, 1, 1)), 60.0)
    assert np.allclose(bright.std(axis=(0, 1)), 2.0, rtol=0.02)  # 1 + 60 / 20
    assert np.allclose(bright.mean(axis=(0, 1)), 60, atol=0.05)


def test_a_real_sky_gets_no_second_noise():
    assert exposed(SensorModel(rows=0.3, hot=1000), share=0.0).std() == 0


def test_smoothed_noise_keeps_its_spread_and_is_correlated():
    noise = exposed(SensorModel(smooth=0.8, channels=(1, 1, 1)))[..., 0]
    assert abs(noise.std() - 1) < 0.06
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] > 0.4


def test_banding_walking_noise_hot_pixels_and_saturation():
    rows = exposed(SensorModel(rows=0.5, channels=(1, 1, 1))).mean(axis=(1, 2))
    assert abs(rows.std() - 0.5) < 0.1
    assert abs(exposed(SensorModel(walking=0.5, drift=(6.0, 2.0), channels=(1, 1, 1))).std() - np.hypot(1, 0.5)) < 0.05
    assert (exposed(SensorModel(hot=200)) > 7).sum() > 10
    assert exposed(SensorModel(full=50.0), 100.0).max() == 50


def test_mono_image_has_equal_channels():
    noise = exposed(SensorModel(mono=True, hot=500, walking=0.2, drift=(3.0, 0.0)))
    assert np.allclose(noise[..., 0], noise[..., 1], atol=1e-6) and np.allclose(noise[..., 0], noise[..., 2], atol=1e-6)


def test_cameras_are_drawn_from_a_seed():
    assert draw_sensor(np.random.default_rng(5)) == draw_sensor(np.random.default_rng(5))
    assert len({draw_sensor(np.random.default_rng(seed)).mono for seed in range(40)}) == 2


def test_the_noise_bank_is_white():
    noise = bank(np.random.default_rng(2), 300, 400)
    assert noise.shape == (300, 400) and abs(noise.std() - 1) < 0.01
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


def test_a_mosaic_takes_one_colour_of_each_pixel():
    rgb = np.random.default_rng(3).random((6, 8, 3))
    mosaic = mosaic_of(rgb, "GRBG")
    assert (mosaic[0, 0], mosaic[0, 1], mosaic[1, 0], mosaic[1, 1]) == (
        rgb[0, 0, 1],
        rgb[0, 1, 0],
        rgb[1, 0, 2],
        rgb[1, 1, 1],
    )
