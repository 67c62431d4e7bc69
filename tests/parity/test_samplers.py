"""Our steps, loops and rules answer as the published code does, given the noise that it drew.

`samplers.npz` holds what `record_samplers.py` recorded: MSDM's separators and its notebook, the
samplers of k-diffusion and of audio-diffusion-pytorch 0.0.43 (ADP). Compared are whole walks, of
up to 512 steps in float32, to 1e-5 (full scale = 1).

Ours walk down the recorded grids, and our grids are compared by themselves: either is within 4e-6
of the exact levels, but noise is scaled by roots of differences of their squares, so that such an
error takes one and the same separator up to 1.2e-5 off.
"""

import functools
import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback
from numpy.testing import assert_allclose

from gmsdi_jax.baselines import msdm
from gmsdi_jax.compose import dirac, gaussian, proportional
from gmsdi_jax.diffusion import (
    GRIDS,
    adpm2,
    churn,
    denoising_loss,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    initial_noise,
    karras,
    precondition,
    sample,
    steps,
)
from gmsdi_jax.types import Text

# The package's `sample` is a function: its module has to be asked for by name.
NOISY = (steps, importlib.import_module("gmsdi_jax.diffusion.sample"))
TEXT = Text(jnp.zeros((2, 1, 1)), jnp.ones((2, 1), bool))


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("samplers.npz")) as file:
        return dict(file)


@pytest.fixture
def published_grids(recorded, monkeypatch) -> None:
    """Has MSDM's loops walk down the recorded levels."""
    grid = property(lambda loop: jnp.asarray(recorded[grid_of(loop)]))
    monkeypatch.setattr(msdm.Loop, "grid", grid)


def grid_of(loop: msdm.Loop) -> str:
    return f"grid {loop.steps}, {loop.sigma_min:g} to {loop.sigma_max:g}"


@contextmanager
def noise(draws) -> Iterator[None]:
    """Has our functions take `draws`, in order and all of them, instead of noise."""
    left = iter(draws)

    def window_noise(keys, x):
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return io_callback(lambda: next(left).reshape(x.shape), shape, ordered=True)

    with mock.patch.object(NOISY[0], "window_noise", window_noise):
        with mock.patch.object(NOISY[1], "window_noise", window_noise):
            yield
        jax.effects_barrier()
    assert next(left, None) is None


def run(function, draws):
    """What a function, optimized as users run it, answers to two windows, given the draws."""
    optimized = {"xla_backend_optimization_level": 3}
    with noise(draws):
        keys = jax.random.split(jax.random.key(0), 2)
        return np.asarray(jax.jit(function, compiler_options=optimized)(keys))


def drawn(recorded, name: str) -> np.ndarray:
    """The noise that a published sampler drew."""
    return recorded["draws"][: recorded[f"{name} draws"]]


def close(found, expected) -> None:
    assert_allclose(np.reshape(found, expected.shape), expected, rtol=0, atol=1e-5)


def bimodal(x, sigma, mean, variance):
    """The denoiser of samples that are ``N(mean, variance)`` or ``N(-mean, variance)``."""
    noisy = variance + sigma**2
    return (variance * x + sigma**2 * mean * jnp.tanh(mean * x / noisy)) / noisy


def sources(recorded, which: str):
    """The recorder's prior as a denoiser of sources ``[b k t 1]``."""
    mean, variance, rotation = (recorded[name] for name in ("mean", "variance", "rotation"))
    if which == "weakly":
        pairs = zip(mean, variance, strict=True)
        return msdm.weakly([functools.partial(bimodal, mean=m, variance=v) for m, v in pairs])

    def channels(x, sigma):
        rotated = bimodal(x @ rotation, sigma, mean[None, None], variance[None, None])
        return rotated @ rotation.T

    return msdm.joint(channels)


def windows(array: np.ndarray) -> jax.Array:
    """``[... t]`` as ``[... t 1]``."""
    return jnp.asarray(array)[..., None]


def mixture(recorded) -> jax.Array:
    return windows(recorded["mixture"][:, 0])


@pytest.mark.parametrize("source", [0, 2])
def test_dirac_is_msdms_differential(source, recorded):
    """``differential_with_dirac``: the free sources' slopes; it does not move the constrained."""
    name, sigma = f"dirac slope, source {source}", jnp.float32(0.3)
    x = recorded["sources"] + np.float32(0.3) * drawn(recorded, name)[0]
    denoise = dirac(sources(recorded, "joint"), mixture(recorded), source)
    found = steps.slope(denoise, windows(np.delete(x, source, 1)), sigma)
    close(found, np.delete(recorded[name], source, 1))
    assert not recorded[name][:, source].any()


def test_gaussian_is_msdms_differential(recorded):
    """``differential_with_gaussian`` with gamma = 0.75 sigma."""
    x = recorded["sources"] + np.float32(0.3) * drawn(recorded, "gaussian slope")[0]
    joint = sources(recorded, "joint")
    denoise = gaussian(joint, mixture(recorded), proportional(0.75), factor=0.5)
    close(steps.slope(denoise, windows(x), jnp.float32(0.3)), recorded["gaussian slope"])


RESAMPLED = msdm.Loop(steps=100, sigma_max=20.0, s_churn=10.0)
DIRAC = {
    "churn 20": ("joint", 0, msdm.JOINT_DIRAC),
    "churn 40": ("joint", 2, msdm.Loop(s_churn=40.0)),
    "churn 0": ("joint", 3, msdm.Loop(s_churn=0.0, resamples=1)),
    "weakly, churn 20": ("weakly", 2, msdm.JOINT_DIRAC),
    "weakly, churn 40": ("weakly", 0, msdm.WEAKLY_DIRAC),
    "coarse": ("joint", 0, msdm.Loop(steps=60, sigma_min=0.1)),
}


@pytest.mark.usefixtures("published_grids")
@pytest.mark.parametrize("name", DIRAC)
def test_dirac_separation_is_msdms(name, recorded):
    """``MSDMSeparator`` and ``WeaklyMSDMSeparator``, 150 steps.

    They noise the constrained source too, only to overwrite it: we take the noise of the others.
    They also return it as it was overwritten the last time, before the others' last update: theirs
    is the mixture less what our free sources were when the denoiser was last asked.
    """
    which, source, loop = DIRAC[name]
    expected, y, seen = recorded[f"dirac, {name}"], mixture(recorded), []
    joint, free = sources(recorded, which), np.delete(np.arange(4), source)

    def heard(x, sigma):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x, ordered=True)
        return joint(x, sigma)

    draws = drawn(recorded, f"dirac, {name}")[:, :, free]
    draws = draws if loop.s_churn else draws[:1]  # theirs draws noise also where it adds none
    found = run(lambda keys: msdm.separate_dirac(keys, heard, y, loop, source), draws)
    assert len(seen) == loop.steps * loop.resamples
    close(found[:, free], expected[:, free])
    close(seen[-1][:, source], expected[:, source])


@pytest.mark.usefixtures("published_grids")
def test_msdms_stems_miss_the_mixture_by_their_last_update(recorded):
    """Where the last step is long one sees it; ours sum to the mixture wherever the grid ends."""
    _, source, loop = DIRAC["coarse"]
    joint, y = sources(recorded, "joint"), mixture(recorded)
    draws = np.delete(drawn(recorded, "dirac, coarse"), source, 2)
    found = run(lambda keys: msdm.separate_dirac(keys, joint, y, loop, source), draws)
    assert_allclose(found.sum(1), y, rtol=0, atol=3e-7)
    assert np.abs(recorded["dirac, coarse"].sum(1) - y[..., 0]).max() > 0.05


@pytest.mark.usefixtures("published_grids")
@pytest.mark.parametrize("which", ["joint", "weakly"])
def test_gaussian_separation_is_msdms(which, recorded):
    """The published settings are our defaults."""
    joint, y = sources(recorded, which), mixture(recorded)
    draws = drawn(recorded, f"gaussian, {which}")
    found = run(lambda keys: msdm.separate_gaussian(keys, joint, y), draws)
    close(found, recorded[f"gaussian, {which}"])


@pytest.mark.usefixtures("published_grids")
def test_generation_is_msdms(recorded):
    """The notebook's ``generate_track``; it noises a source also where none is known."""
    joint = sources(recorded, "joint")
    start, *draws = drawn(recorded, "generate")
    found = run(lambda keys: msdm.generate(keys, joint, (4, 6, 1)), [start, *draws[1::2]])
    close(found, recorded["generate"])


@pytest.mark.usefixtures("published_grids")
@pytest.mark.parametrize("resamples", [1, 2])
def test_imputation_is_msdms(resamples, recorded):
    """The notebook's ``generate_track`` with drums known: 256 steps as published, 100 resampled."""
    name = "impute" if resamples == 1 else "impute, resamples 2"
    loop = msdm.IMPUTATION if resamples == 1 else RESAMPLED
    joint, known = sources(recorded, "joint"), windows(recorded["sources"])
    is_known = jnp.arange(4) == 1
    found = run(lambda keys: msdm.impute(keys, joint, known, is_known, loop), drawn(recorded, name))
    close(found, recorded[name])


def walk(recorded, step, grid: str, which="weakly"):
    """From white noise at the first of the recorded levels down to the last."""
    denoise, sigmas = sources(recorded, which), jnp.asarray(recorded[grid])
    if grid == "grid of ADP":
        sigmas = sigmas[:-1]  # ADP appends a 0 that its samplers do not use

    def run_one(keys):
        return sample(keys, denoise, step, sigmas, initial_noise(keys, sigmas[0], (4, 6, 1)))

    return run_one


CHURN = {"s_churn": 5.0, "steps": 20, "s_min": 0.05, "s_max": 5.0, "s_noise": 1.003}
K_DIFFUSION = {
    "sample_euler, churn 5": churn(euler, **CHURN),
    "sample_euler_ancestral": euler_ancestral,
    "sample_heun": heun,
    "sample_heun, churn 5": churn(heun, **CHURN),
    "sample_dpm_2_ancestral": adpm2(math.inf),
    "sample_dpmpp_2m": dpmpp_2m,
}


@pytest.mark.parametrize("name", K_DIFFUSION)
def test_steps_are_k_diffusions(name, recorded):
    """20 steps from level 10 to 0."""
    draws = drawn(recorded, name)
    if name == "sample_heun":
        draws = draws[:1]  # theirs draws noise also where it adds none
    if name.endswith("ancestral"):
        draws = [*draws, np.zeros_like(draws[0])]  # and ours, in the step to 0, scales it by 0
    found = run(walk(recorded, K_DIFFUSION[name], "grid of k-diffusion"), draws)
    close(found, recorded[name])


ADP = {"ADPM2": adpm2(), "ADPM2 rho 7": adpm2(7.0), "AEuler": euler_ancestral}


@pytest.mark.parametrize("name", ADP)
def test_steps_are_adps(name, recorded):
    """50 levels from 3 to 1e-4, where ADP stops."""
    found = run(walk(recorded, ADP[name], "grid of ADP"), drawn(recorded, name))
    close(found, recorded[name])


def test_repaint_is_adps_inpainting(recorded):
    """``ADPM2Sampler.inpaint`` with 2 resamples: the replacement of MSDM, around another step."""
    known = windows(recorded["sources"])
    step = msdm.repaint(adpm2(), known, jnp.arange(4) == 1, 2)
    walked = walk(recorded, step, "grid of ADP", "joint")
    found = run(walked, drawn(recorded, "ADPM2 inpaint"))
    close(found, recorded["ADPM2 inpaint"])


def test_grids_are_the_published(recorded):
    """The ramps that are raised to the power rho, to one unit of float32 rounding."""
    loops = [*(loop for _, _, loop in DIRAC.values()), msdm.GENERATION, msdm.IMPUTATION, RESAMPLED]
    grids = {grid_of(loop): (loop.rho, loop.grid) for loop in loops}
    grids["grid of k-diffusion"] = 7.0, karras(20, 1e-2, 10.0)
    grids["grid of ADP"] = GRIDS["adp"]["rho"], jnp.append(karras(50, **GRIDS["adp"]), 0)
    assert grids.keys() == {name for name in recorded if name.startswith("grid ")}
    for name, (rho, grid) in grids.items():
        found, expected = (np.asarray(x, np.float64) ** (1 / rho) for x in (grid, recorded[name]))
        unit = np.finfo(np.float32).eps * expected[0]
        assert_allclose(found, expected, rtol=0, atol=unit, err_msg=name)


def network(x, c_noise, text):
    return jnp.sin(2 * x) * (4 + c_noise[:, None, None])


def test_preconditioning_is_adps(recorded):
    """``Diffusion.denoise_fn`` with its clamp to [-1, 1], of two rows at two levels."""
    levels, draws = recorded["levels"], drawn(recorded, "denoise_fn")
    found = precondition(network, 0.2, limit=1.0)(jnp.asarray(draws[0]), levels, TEXT)
    close(found, recorded["denoise_fn"])
    assert np.abs(recorded["denoise_fn"]).max() == 1


def test_loss_is_adps(recorded):
    """``Diffusion.forward``."""
    levels, audio = recorded["levels"], recorded["sources"]
    denoise, silence = precondition(network, 0.2, limit=1.0), np.zeros_like(audio)
    eps = drawn(recorded, "loss")[0]
    found = denoising_loss(denoise, audio, silence, TEXT, levels, eps, 0.2).mean()
    assert_allclose(found, recorded["loss"], rtol=1e-6)
