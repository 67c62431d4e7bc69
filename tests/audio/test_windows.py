"""Windows: cut and joined again a signal is itself, for every length and overlap."""

import numpy as np
import pytest

from gmsdi_jax.audio import OverlapAdd, WindowPlan, plan, windows

WINDOW = 64


def noise(frames: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(frames).standard_normal((frames, channels)).astype(np.float32)


def blocks(audio: np.ndarray, size: int):
    return (audio[i : i + size] for i in range(0, len(audio), size))


def join(stream, process=lambda window: window) -> np.ndarray:
    joined = OverlapAdd(stream.plan)
    parts = [joined.push(process(window)) for _, window in stream]
    return np.concatenate([*parts, joined.finish(stream.frames)], axis=-2)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("frames", [1, 17, 63, 64, 65, 96, 97, 112, 113, 128, 129, 192, 1000])
@pytest.mark.parametrize("block", [7, 100, 5000])
def test_identity(overlap, frames, block):
    audio = noise(frames)
    joined = join(windows(blocks(audio, block), plan(WINDOW, overlap)))
    assert joined.dtype == np.float32
    assert joined.shape == audio.shape
    np.testing.assert_allclose(joined, audio, rtol=1e-6, atol=1e-7)


def test_identity_of_stems_at_the_size_of_a_model():
    audio = noise(300_001, 1)
    stems = join(
        windows(blocks(audio, 65536), plan(2**17, 0.25)),
        lambda window: np.stack([window, -2 * window, 0 * window]),
    )
    np.testing.assert_allclose(stems, [audio, -2 * audio, 0 * audio], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "count"), [(0, 0), (1, 1), (64, 1), (65, 2), (112, 2), (113, 3), (160, 3)]
)
def test_windows_start_every_hop_and_the_last_is_padded(frames, count):
    audio = noise(frames)
    stream = windows(blocks(audio, 10), plan(WINDOW, 0.25))
    cut = list(stream)
    assert stream.frames == frames
    assert stream.plan.count(frames) == count
    assert [index for index, _ in cut] == list(range(count))
    padded = np.concatenate([audio, np.zeros((WINDOW, 2), np.float32)])
    for index, window in cut:
        np.testing.assert_array_equal(window, padded[48 * index : 48 * index + WINDOW])


def test_windows_are_given_as_soon_as_they_are_full():
    source = iter(blocks(noise(1000), 10))
    next(windows(source, plan(WINDOW, 0.5)))
    assert len(list(source)) == 100 - 7


def test_cross_fade_is_smooth_and_outer_edges_are_not_faded():
    stream = windows([np.ones((112, 1), np.float32)], plan(WINDOW, 0.25))
    gains = iter([1.0, 0.0])
    joined = join(stream, lambda window: next(gains) * window)[:, 0]
    np.testing.assert_array_equal(joined[:48], 1)
    np.testing.assert_array_equal(joined[64:], 0)
    expected = np.cos(0.5 * np.pi * (np.arange(16) + 0.5) / 16) ** 2
    np.testing.assert_allclose(joined[48:64], expected, atol=1e-6)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5])
def test_weights_of_neighbours_sum_to_one(overlap):
    chosen = plan(WINDOW, overlap)
    shared = WINDOW - chosen.hop
    weights = chosen.weights
    np.testing.assert_allclose(weights[:shared] + weights[chosen.hop :], 1, atol=1e-6)
    np.testing.assert_array_equal(weights[shared : chosen.hop], 1)


def test_samples_come_out_as_soon_as_they_are_final():
    joined = OverlapAdd(plan(WINDOW, 0.25))
    window = np.ones((4, WINDOW, 1), np.float32)
    assert [joined.push(window).shape for _ in range(3)] == [(4, 0, 1), (4, 48, 1), (4, 48, 1)]
    assert joined.finish(150).shape == (4, 54, 1)


def test_plan_counts_in_samples():
    assert plan(2**17, 0.25) == WindowPlan(131072, 98304)
    assert plan(10, 0) == WindowPlan(10, 10)
    assert plan(10, 0.999) == WindowPlan(10, 1)
    for overlap in (-0.1, 1.0, 25):
        with pytest.raises(ValueError, match="fraction"):
            plan(10, overlap)
    for window, hop in [(10, 0), (10, 11), (0, 0)]:
        with pytest.raises(ValueError, match="hop"):
            WindowPlan(window, hop)


def test_wrong_use():
    joined = OverlapAdd(plan(WINDOW, 0.5))
    with pytest.raises(ValueError, match="cover"):
        joined.finish(10)
    with pytest.raises(ValueError, match="expected"):
        joined.push(np.zeros((WINDOW + 1, 2), np.float32))
    joined.push(np.zeros((WINDOW, 2), np.float32))
    with pytest.raises(ValueError, match="cover"):
        joined.finish(WINDOW + 1)
