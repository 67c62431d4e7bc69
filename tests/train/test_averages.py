"""Averages of power-function profile: published numbers, brute force, lengths chosen later."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from gmsdi_jax.config import AveragesConfig
from gmsdi_jax.errors import ConfigError, UnavailableError
from gmsdi_jax.train import train
from gmsdi_jax.train.averages import (
    advance,
    average_of,
    coefficients,
    exponent,
    save_snapshots,
    snapshots,
)

WIDTHS = (0.05, 0.1)


def test_the_exponents_of_the_paper():
    """EDM2, section 3.1: widths of 5 % and 10 % are gammas of 16.97 and 6.94."""
    assert_allclose([exponent(0.05), exponent(0.10)], [16.97, 6.94], atol=0.005)


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.25])
def test_the_exponent_has_its_width(width):
    """The profile (g + 1) t**g on 0 to 1 has that standard deviation, by its moments."""
    g = exponent(width)
    mean, square = (g + 1) / (g + 2), (g + 1) / (g + 3)
    assert_allclose(np.sqrt(square - mean**2), width, rtol=1e-6)


@pytest.mark.parametrize("width", [0.0, -1.0, 0.29, 3.0])
def test_widths_that_no_profile_has(width):
    with pytest.raises(ConfigError, match="lies between 0 and"):
        exponent(width)


def weights_of(steps, width):
    """How much the value of each step counts in the average, by hand and in double precision."""
    g, shares = exponent(width), np.zeros(steps)
    for t in range(1, steps + 1):
        beta = (1 - 1 / t) ** (g + 1)
        shares *= beta
        shares[t - 1] = 1 - beta
    return shares


def scripted(steps):
    """A random walk that settles, as weights do."""
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.standard_normal((steps, 6)) / np.sqrt(np.arange(1, steps + 1))[:, None], 0)
    return walk.astype(np.float32)


def run(walk, every, folder=None):
    """The averages after all steps, with snapshots on the way."""

    @jax.jit
    def step(profiles, value, number):
        return advance(profiles, {"a": {"w": value}}, number, WIDTHS)

    profiles = tuple({"a": {"w": jnp.zeros(walk.shape[1])}} for _ in WIDTHS)
    for number, value in enumerate(walk, 1):
        profiles = step(profiles, value, jnp.asarray(number, jnp.int32))
        if folder and number % every == 0:
            save_snapshots(folder, number, WIDTHS, profiles)
    return profiles


def test_the_recursion_is_the_profile():
    """What the first weights were is forgotten; each later one counts by its share."""
    walk = scripted(500)
    for width, profile in zip(WIDTHS, run(walk, 500), strict=True):
        assert_allclose(profile["a"]["w"], weights_of(500, width) @ walk, atol=2e-5)


def test_shares_stay_exact_after_many_steps():
    """At step 10 million a weight counts 1.8e-6, which 1 - beta would round by a third."""
    number = jnp.asarray(10**7, jnp.int32)
    [after] = advance(({"w": jnp.zeros(())},), {"w": jnp.ones(())}, number, (0.05,))
    assert_allclose(float(after["w"]), (exponent(0.05) + 1) * 1e-7, rtol=1e-5)


def test_a_kept_profile_is_found_again():
    """Asked for a width and a step that a snapshot has, the coefficients pick that snapshot."""
    steps, widths = np.repeat([100.0, 200.0, 300.0], 2), np.tile(WIDTHS, 3)
    assert_allclose(coefficients(steps, widths, 200.0, 0.1), [0, 0, 0, 1, 0, 0], atol=1e-7)


@pytest.mark.parametrize("width", [0.06, 0.08, 0.12, 0.15])
def test_any_length_is_chosen_afterwards(width, tmp_path):
    """Made of 16 snapshots of two widths: close to the average that would have been kept."""
    walk = scripted(1600)
    run(walk, 100, tmp_path)
    assert len(snapshots(tmp_path)) == 32
    found = np.asarray(average_of(tmp_path, width)["a"]["w"])
    wanted = weights_of(1600, width) @ walk
    kept = np.asarray(average_of(tmp_path, 0.05)["a"]["w"])
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(kept - wanted)


def test_an_average_may_end_earlier(tmp_path):
    walk = scripted(800)
    run(walk, 100, tmp_path)
    found = np.asarray(average_of(tmp_path, 0.08, 400)["a"]["w"])
    wanted = weights_of(400, 0.08) @ walk[:400]
    last = np.asarray(average_of(tmp_path, 0.08)["a"]["w"])
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(last - wanted)
    with pytest.raises(ConfigError, match=r"no snapshot of step 450: name one of .*700, 800"):
        average_of(tmp_path, 0.08, 450)


def test_without_snapshots(tmp_path):
    with pytest.raises(UnavailableError, match="train with --averages"):
        average_of(tmp_path, 0.08)


def test_a_run_writes_snapshots_and_resumes_the_averages(config, batches, tmp_path):
    """Two files each third step; interrupted between, the last ones are the same bits."""
    averages = AveragesConfig(widths=WIDTHS, every=3)
    straight = config(out=tmp_path / "straight", averages=averages)
    train(straight, batches())

    def interrupt(step, values):
        if step == 4:
            raise KeyboardInterrupt

    settings = config(averages=averages)
    with pytest.raises(KeyboardInterrupt):
        train(settings, batches(), on_progress=interrupt)
    state = train(settings, batches(), resume=True)
    names = [path.name for _, _, path in snapshots(settings.out / "averages")]
    assert names == [
        f"step-00000000{step}-width-{width}.safetensors" for step in (3, 6) for width in WIDTHS
    ]
    for name in names:
        one, two = (run.out / "averages" / name for run in (straight, settings))
        assert one.read_bytes() == two.read_bytes()
    found = average_of(settings.out / "averages", 0.1)
    last = jax.tree.map(np.array, state.profiles[1])
    jax.tree.map(lambda a, b: assert_allclose(a, b, atol=1e-6), found, last)
