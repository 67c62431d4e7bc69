"""Stems drawn from text, alone or to given ones, for pieces of any length.

A piece that fits the model's window is one window. A longer one is drawn in one of two ways:

* ``joined``: the piece is one state; its overlapping windows are denoised side by side and their
  answers cross-faded at every step (`gmsdi_jax.compose.windowed`).
* ``continued``: window after window, each with its beginning clamped to what the one before it
  drew: the method's own partial generation (GMSDI eq. 12), in time instead of over stems.

Clamping replaces what is known; it does not condition on it. Where the known part ends, the new one
is about 1 dB too quiet and too little correlated even with a perfect model, however many steps are
taken; with a perfect model, taking every step four times halves that (`GenerationConfig.resamples`;
RePaint, Lugmayr et al. 2022). ``joined`` has no such place, and is the default
(`tests/compose/test_seams.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from gmsdi_jax.build import Model
from gmsdi_jax.compose import guide, stable_gamma, windowed
from gmsdi_jax.compose.coupling import FORMS, Form
from gmsdi_jax.diffusion import adpm2, initial_noise, karras, resample, sample
from gmsdi_jax.errors import ConfigError, NumericsError
from gmsdi_jax.methods import Prompts
from gmsdi_jax.pipeline.texts import prompts_for
from gmsdi_jax.tasks import accompany
from gmsdi_jax.types import Params, Text

Long = Literal["joined", "continued"]
MAX_SECONDS = 1200.0
"""Longest piece: its noisy stems are held in memory, several times."""
_ROWS = 8  # rows of one network call of a joined piece: bounds memory, not the result
_WINDOW = 2**30  # folded with a window's number into the key: no solver step has such a number


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How stems are drawn; the paper's sampler is ADPM2 with rho = 1."""

    steps: int = 100
    """Solver steps; the paper takes 150 for one stem, 300 and 600 for partial and total."""
    sigma_min: float = 1e-3
    """Lowest noise level above 0, full scale = 1."""
    sigma_max: float = 1.0
    """Noise level at which sampling starts."""
    rho: float = 7.0
    """Curvature of the Karras grid."""
    resamples: int = 1
    """How often each step is taken, with noise in between; with a good model, more than 1 fits what
    is drawn to what is known, in accompaniments and in continued pieces."""
    guidance: float = 1.0
    """Guidance scale; 1 is off."""
    form: Form = "difference"
    """Reading of the coupling: difference (the paper's text), sum, mixture, or projected (ours: the
    stems sum to a sample of the mixture model)."""
    gamma: float = 2.0
    """Standard deviation of the coupling, full scale = 1; of difference and sum."""
    long: Long = "joined"
    """How pieces longer than the model's window are drawn: joined (all windows at once) or
    continued (one after the other)."""
    overlap: float = 0.5
    """Share of a window that the next one repeats in long pieces, more than 0, less than 1."""

    def __post_init__(self):
        """Refuses what cannot be drawn."""
        if self.steps < 2 or not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(
                f"steps is {self.steps}, sigma_min {self.sigma_min}, sigma_max {self.sigma_max}: "
                f"take at least 2 steps, and 0 < sigma_min < sigma_max"
            )
        if self.resamples < 1:
            raise ConfigError(f"resamples is {self.resamples}: take every step at least once")
        if not 0 < self.overlap < 1:
            raise ConfigError(f"overlap is {self.overlap}: take more than 0 and less than 1")
        for name, known in (("form", FORMS), ("long", get_args(Long))):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r} is unknown: use {', '.join(known)}"
                )

    @property
    def evaluations(self) -> int:
        """Network evaluations per stem of every window, guidance branches counted."""
        return 2 * self.steps * self.resamples * (1 if self.guidance == 1 else 2)


class Heard(NamedTuple):
    """All that the network hears while it draws."""

    stems: Prompts
    mixture: Text
    """Of all stems together, ``[s d]``."""


Run = Callable[[Params, Heard, Array, Array, Array], Array]
"""Weights, texts, key, known stems ``[k t 1]`` and a mask of them ``[k t]``, to all stems."""


def draw(
    model: Model,
    params: Params,
    stems: list[str],
    known: Float[np.ndarray, "k t 1"],
    is_known: Bool[np.ndarray, " k"],
    config: GenerationConfig,
    seed: int,
    negative: str = "",
    negatives: Mapping[str, str] | None = None,
) -> Float[np.ndarray, "k t 1"]:
    """The stems, in the order of their names, the known ones as they are given.

    Args:
        model: the model.
        params: its weights.
        stems: one prompt per stem.
        known: the known stems, zeros for the others; the length is that of the piece.
        is_known: which stems are known.
        config: the sampler and the coupling.
        seed: of all noise.
        negative: a prompt that guidance points away from, instead of the learned null.
        negatives: such prompts of single stems, by their prompts.

    Raises:
        ConfigError: an unknown stem, a coupling that the grid cannot follow, or negatives of single
            stems with a coupling that asks for the mixture, which has none.
        NumericsError: the model answered NaN or infinity.
    """
    if model.is_joint:
        raise ConfigError(
            "this model draws all its stems at once and hears no text: generate and impute with "
            "gmsdi_jax.baselines.msdm"
        )
    sigmas = karras(config.steps, config.sigma_min, config.sigma_max, config.rho)
    stable_gamma(config.form, len(stems), sigmas, config.gamma)
    key, length, window = jax.random.key(seed), known.shape[1], model.config.window
    given = np.broadcast_to(is_known[:, None], known.shape[:2])
    if negatives and config.guidance != 1 and config.form in ("mixture", "projected"):
        raise ConfigError(
            f"form {config.form!r} asks for the mixture, which has no negative prompt of its own: "
            "take form difference or sum, or one negative prompt of all stems"
        )
    prompts = prompts_for(model, params, stems, negative, negatives)
    heard = heard_by(prompts, model.embed(params, model.prompt([", ".join(stems)])))
    run = partial(sampler(model, config), params, heard)
    if length > window and config.long == "continued":
        drawn = _continued(run, key, known, given, window, _hop(window, config))
    else:
        missing = padded_length(model, length) - length
        padded = np.pad(known, ((0, 0), (0, missing), (0, 0)))
        given = np.pad(given, ((0, 0), (0, missing)), mode="edge")
        drawn = np.asarray(run(key, jnp.asarray(padded), jnp.asarray(given)))[:, :length]
    if not np.isfinite(drawn).all():
        raise NumericsError("the model answered NaN: take more steps or a larger gamma")
    return drawn


def heard_by(prompts: Prompts, together: Text) -> Heard:
    """The texts of the stems, and that of all of them, a batch of one."""
    return Heard(prompts, Text(together.embedding[0], together.mask[0]))


@lru_cache(maxsize=16)
def sampler(model: Model, config: GenerationConfig) -> Run:
    """The compiled function that draws a piece, or a window of one.

    It is kept, so that the next piece of the same shape is not compiled again.
    """
    sigmas = karras(config.steps, config.sigma_min, config.sigma_max, config.rho)
    window = model.config.window

    @jax.jit
    def run(
        params: Params,
        heard: Heard,
        key: Key[Array, ""],
        known: Float[Array, "k t 1"],
        is_known: Bool[Array, "k t"],
    ) -> Float[Array, "k t 1"]:
        denoise = windowed(model.denoiser(params), window, _hop(window, config), _ROWS)
        own = heard.stems.negatives
        denoise = guide(denoise, config.guidance, heard.stems.null if own is None else own)
        keys = key[None]
        # What is known starts at itself plus noise; what is not, at noise.
        given = jnp.where(is_known[..., None], known, 0)
        start = given[None] + initial_noise(keys, sigmas[0], known.shape)
        coupling = (config.form, config.gamma, heard.mixture)
        joint = accompany(denoise, heard.stems.texts, given[None], is_known, *coupling)
        return sample(keys, joint, resample(adpm2(), config.resamples), sigmas, start)[0]

    return run


def padded_length(model: Model, length: int) -> int:
    """Samples of what is drawn for a piece: a multiple of what the network needs."""
    return length + -length % getattr(model.config.network, "multiple", 1)


def _continued(
    run: Callable[..., Array],
    key: Key[Array, ""],
    known: Float[np.ndarray, "k t 1"],
    is_known: Bool[np.ndarray, "k t"],
    window: int,
    hop: int,
) -> Float[np.ndarray, "k t 1"]:
    """Window after window; what was drawn before is known to the next."""
    length = known.shape[1]
    count = 1 + -(-(length - window) // hop)
    missing = window + (count - 1) * hop - length
    drawn = np.pad(known, ((0, 0), (0, missing), (0, 0)))
    settled = np.pad(is_known, ((0, 0), (0, missing)), mode="edge")
    for number in range(count):
        here = slice(number * hop, number * hop + window)
        part = run(
            jax.random.fold_in(key, _WINDOW + number) if number else key,
            jnp.asarray(drawn[:, here]),
            jnp.asarray(settled[:, here]),
        )
        drawn[:, here] = np.asarray(part)
        settled[:, here] = True
    return drawn[:, :length]


def _hop(window: int, config: GenerationConfig) -> int:
    return max(1, round(window * (1 - config.overlap)))
