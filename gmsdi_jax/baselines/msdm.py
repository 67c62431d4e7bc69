"""MSDM, joint and weakly supervised: two more joint denoisers under the rules of `compose`.

Multi-Source Diffusion Models (Mariani et al. 2023, 2302.02257) learn from stems. The *joint* model
is one network whose channels are the sources, so that it knows how they go together; the *weakly
supervised* model is one network per source. Either becomes a denoiser of ``[b k t c]``, and the
published inference is a few lines of the algebra:

    sources = joint(denoise)                      # or weakly([bass, drums, guitar, piano])
    stems = separate_dirac(keys, sources, mixture)

Every loop is Euler with churn down a Karras grid to 0; `Loop` holds its numbers, the constants
below the published ones. `tests/parity` holds the loops to outputs of the published code.

Audio and noise levels are in units of full scale = 1; `keys` are one random key per window.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from gmsdi_jax.compose import complete, dirac, gaussian, proportional
from gmsdi_jax.diffusion import churn, euler, initial_noise, karras, resample, sample, steps
from gmsdi_jax.types import Denoiser, Step

SOURCES = ("bass", "drums", "guitar", "piano")
"""MSDM's sources, in the order of its channels."""


def joint(denoise: Denoiser) -> Denoiser:
    """A denoiser whose channels are the sources, ``[b t k]``, as one of sources ``[b k t 1]``.

    Its density need not be a product over the sources.

    Raises:
        ValueError: sources with more than one channel.

    Source: MSDM's joint model; GMSDI eq. (3).
    """

    def denoise_sources(x: Float[Array, "b k t 1"], sigma: Float[Array, ""]):
        channels = jnp.swapaxes(jnp.squeeze(x, -1), 1, 2)
        return jnp.swapaxes(denoise(channels, sigma), 1, 2)[..., None]

    return denoise_sources


def weakly(denoisers: Sequence[Denoiser]) -> Denoiser:
    """One denoiser of ``[b t c]`` per source, as one of independent sources ``[b k t c]``.

    Raises:
        ValueError: another number of sources than of denoisers.

    Source: MSDM's weakly supervised model (``WeaklyMSDMSeparator`` of its code).
    """

    def denoise_sources(x: Float[Array, "b k t c"], sigma: Float[Array, ""]):
        rows = zip(denoisers, jnp.unstack(x, axis=1), strict=True)
        return jnp.stack([denoise(row, sigma) for denoise, row in rows], axis=1)

    return denoise_sources


@dataclass(frozen=True, kw_only=True)
class Loop:
    """How a published loop walks from noise to audio; the defaults separate with the joint model.

    `grid` and `resample` refuse, with ValueError, levels and counts that make no walk.
    """

    steps: int = 150
    """Solver steps, the last one to noise level 0."""
    sigma_min: float = 1e-4
    """Lowest noise level above 0."""
    sigma_max: float = 1.0
    """Noise level at which the walk starts."""
    rho: float = 7.0
    """Curvature of the Karras grid."""
    s_churn: float = 20.0
    """Churn: each level rises by the factor ``1 + min(s_churn / steps, sqrt 2 - 1)``."""
    resamples: int = 2
    """Times each step is taken."""

    @property
    def grid(self) -> Float[Array, " n"]:
        """The noise levels, falling to 0."""
        return karras(self.steps, self.sigma_min, self.sigma_max, self.rho)

    @property
    def churned(self) -> Step:
        """One step, taken once."""
        return churn(euler, self.s_churn, self.steps)


JOINT_DIRAC = Loop()
WEAKLY_DIRAC = Loop(s_churn=40.0)
GAUSSIAN = Loop(s_churn=40.0)
GENERATION = Loop(sigma_max=20.0, resamples=1)
IMPUTATION = Loop(steps=256, sigma_max=20.0, s_churn=10.0, resamples=1)


def separate_dirac(
    keys: Key[Array, " b"],
    sources: Denoiser,
    mixture: Float[Array, "b t c"],
    loop: Loop = JOINT_DIRAC,
    constrained: int = 0,
    k: int = len(SOURCES),
) -> Float[Array, "b k t c"]:
    """All k sources of the mixture, one of them (bass) being what the others leave.

    They sum to the mixture to rounding. MSDM's code returns the constrained source as it was before
    the last update of the others, so that its sum misses the mixture by that update.

    Source: ``separate_mixture`` with ``differential_with_dirac`` of MSDM's code, whose settings for
    the weakly supervised model are `WEAKLY_DIRAC`.
    """
    rule = dirac(sources, mixture, constrained)
    free = generate(keys, rule, (k - 1, *mixture.shape[1:]), loop, mixture.dtype)
    return complete(free, mixture, constrained)


def separate_gaussian(
    keys: Key[Array, " b"],
    sources: Denoiser,
    mixture: Float[Array, "b t c"],
    loop: Loop = GAUSSIAN,
    gamma: float = 0.75,
    factor: float = 0.5,
    k: int = len(SOURCES),
) -> Float[Array, "b k t c"]:
    """All k sources, the mixture being observed with an error of ``gamma * sigma``.

    `factor` is that of `compose.gaussian`: 1/2 is the published code, 1 the Gaussian. The error
    falls to 0 with sigma, so that the sources sum to the mixture about, but not to rounding.

    Source: ``separate_mixture`` with ``differential_with_gaussian`` of MSDM's code.
    """
    rule = gaussian(sources, mixture, proportional(gamma), factor)
    return generate(keys, rule, (k, *mixture.shape[1:]), loop, mixture.dtype)


def generate(
    keys: Key[Array, " b"],
    sources: Denoiser,
    shape: tuple[int, ...],
    loop: Loop = GENERATION,
    dtype=jnp.float32,
) -> Float[Array, "b k t c"]:
    """Sources out of noise; `shape` is one window's, ``(k, t, c)``.

    Separation is generation with a composed denoiser.

    Source: ``generate_track`` of MSDM's notebook.
    """
    return _walk(keys, sources, resample(loop.churned, loop.resamples), loop.grid, shape, dtype)


def impute(
    keys: Key[Array, " b"],
    sources: Denoiser,
    known: Float[Array, "b k t c"],
    is_known: Bool[Array, " k"],
    loop: Loop = IMPUTATION,
) -> Float[Array, "b k t c"]:
    """Sources that go with known ones, which are returned as they are.

    What `known` holds where nothing is known is not read. `generate` with `compose.clamp` imputes
    as well, without a step of its own: the noise of the known sources is then carried down the walk
    instead of drawn anew. Either way the others hear little of the known ones while the noise is
    loud, and come to depend on them too weakly; resampling mends that.

    Source: ``generate_track`` of MSDM's notebook, partial generation.
    """
    step = repaint(loop.churned, known, is_known, loop.resamples)
    return _walk(keys, sources, step, loop.grid, known.shape[1:], known.dtype)


def repaint(
    step: Step, known: Float[Array, "b k t c"], is_known: Bool[Array, " k"], n: int = 1
) -> Step:
    """The step taken `n` times, each time from known sources in noise: RePaint's replacement.

    The noise of the known sources is new at every level, the same for the `n` times. After the
    step the known sources are clean: the next one noises them anyway, and the last one is the end.

    Source: RePaint (Lugmayr et al. 2022, algorithm 1) as in MSDM's notebook.
    """
    here = jnp.asarray(is_known)[None, :, None, None]

    def repainted(keys, denoise, x, sigma, sigma_next):
        noisy = known + sigma * steps.window_noise(steps.fold(keys, 0), x)

        def from_known(keys, denoise, x, sigma, sigma_next):
            return step(keys, denoise, jnp.where(here, noisy, x), sigma, sigma_next)

        x = resample(from_known, n)(steps.fold(keys, 1), denoise, x, sigma, sigma_next)
        return jnp.where(here, known, x)

    return repainted


def _walk(keys, denoise: Denoiser, step: Step, grid, shape: tuple[int, ...], dtype):
    """`sample` from white noise down `grid`."""
    grid = grid.astype(dtype)
    return sample(keys, denoise, step, grid, initial_noise(keys, grid[0], shape, dtype))
