"""The only sampling loop of the project: a `lax.scan` of solver steps down the noise levels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gmsdi_jax.diffusion.steps import fold, window_noise
from gmsdi_jax.types import Denoiser, MultiStep, Step

_START = 2**31 - 1  # folded into a window's key for its first noise: no step has this number


def initial_noise(
    keys: Key[Array, " b"], sigma: Float[Array, ""], shape: tuple[int, ...], dtype=jnp.float32
) -> Float[Array, "b *x"]:
    """The state before the first step: white noise at level `sigma`; `shape` is one window's."""
    return sigma * window_noise(fold(keys, _START), jnp.zeros((keys.shape[0], *shape), dtype))


def sample(
    keys: Key[Array, " b"],
    denoise: Denoiser,
    step: Step | MultiStep,
    sigmas: Float[Array, " n"],
    x: Float[Array, "b *x"],
) -> Float[Array, "b *x"]:
    """`x` taken from noise level ``sigmas[0]`` to ``sigmas[-1]`` by `step`.

    Args:
        keys: one random key per window.
        denoise: the (composed) denoiser.
        step: a solver step of `gmsdi_jax.diffusion.steps`.
        sigmas: falling noise levels; only the last may be 0.
        x: the noisy state at ``sigmas[0]``, for instance `initial_noise`.
    """
    solver = step if isinstance(step, MultiStep) else _forgetful(step)

    def body(state, level):
        number, sigma, sigma_next = level
        return solver.step(fold(keys, number), denoise, *state, sigma, sigma_next), None

    sigmas = sigmas.astype(x.dtype)
    levels = (jnp.arange(sigmas.shape[0] - 1), sigmas[:-1], sigmas[1:])
    return jax.lax.scan(body, (x, solver.init(x)), levels)[0][0]


def _forgetful(step: Step) -> MultiStep:
    def forget(keys, denoise, x, memory, sigma, sigma_next):
        return step(keys, denoise, x, sigma, sigma_next), memory

    return MultiStep(lambda x: (), forget)
