"""Separation methods by name: a batch of mixture windows in, stems out, for any denoiser.

=========== ======================================================================================
``dirac``    the paper's Separator: Euler with churn on ``dirac``; one stem is constrained
``extract``  the paper's Extractor: every stem against the text of all others, each a run of its own
``project``  beyond the paper: every denoised estimate is projected on the mixture
``direct``   no sampler: the denoiser's plain read-out of the mixture, made to sum to it
=========== ======================================================================================

Windows, stems and guidance branches are one batch axis: one network call per denoiser evaluation.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gmsdi_jax.compose import (
    complete,
    dirac,
    guide,
    local_power,
    per_source,
    shares,
    uniform,
    wiener,
)
from gmsdi_jax.diffusion import (
    churn,
    euler,
    euler_ancestral,
    initial_noise,
    karras,
    resample,
    sample,
)
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.tasks import direct, projector, read_out, separator
from gmsdi_jax.types import Denoiser, Step, Text, TextDenoiser

Method = Literal["direct", "project", "dirac", "extract"]
METHODS: tuple[Method, ...] = ("direct", "project", "dirac", "extract")
Weights = Literal["shares", "local_power", "uniform"]
WEIGHTS: tuple[Weights, ...] = ("shares", "local_power", "uniform")


@dataclass(frozen=True, kw_only=True)
class SeparationConfig:
    """A method and its settings; settings that a method does not use are ignored by it."""

    method: Method = "direct"
    """direct, project, dirac or extract."""
    steps: int = 25
    """Solver steps (project, dirac, extract); the paper's lineage uses 150."""
    sigma_min: float = 1e-3
    """Lowest noise level above 0, full scale = 1; the paper's lineage uses 1e-4."""
    sigma_max: float = 1.0
    """Noise level at which sampling starts."""
    rho: float = 7.0
    """Curvature of the Karras grid."""
    s_churn: float = 20.0
    """Churn of dirac and extract; the paper's lineage uses 20 or 40."""
    resamples: int = 1
    """Times each step of dirac and extract is taken; the paper's lineage uses 2."""
    guidance: float = 1.0
    """Guidance scale; 1 is off."""
    sigmas: tuple[float, ...] = (0.02, 0.05, 0.1)
    """Noise levels of the read-out (direct, and project's shares)."""
    weights: Weights = "shares"
    """How project splits what is unexplained: by the read-out's fixed power shares, by the local
    power of the current estimate, or evenly."""
    exponent: float = 2.0
    """Of the amplitudes whose shares split the mixture: 2 is Wiener's filter, 1 a ratio mask."""
    filter: bool = False
    """Whether a Wiener filter built from the stems replaces them (dirac, extract, project)."""

    def __post_init__(self):
        """Refuses what no method can run."""
        if self.method not in METHODS:
            raise ConfigError(f"method {self.method!r} is unknown: use {', '.join(METHODS)}")
        if self.weights not in WEIGHTS:
            raise ConfigError(f"weights {self.weights!r} is unknown: use {', '.join(WEIGHTS)}")
        if self.steps < 2 or not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(
                f"steps is {self.steps}, sigma_min {self.sigma_min}, sigma_max {self.sigma_max}: "
                f"take at least 2 steps, and 0 < sigma_min < sigma_max"
            )
        if self.resamples < 1 or self.s_churn < 0 or not self.sigmas or min(self.sigmas) <= 0:
            raise ConfigError(
                f"resamples is {self.resamples}, s_churn {self.s_churn}, sigmas {self.sigmas}: "
                "take resamples >= 1, s_churn >= 0 and positive sigmas"
            )
        if self.exponent <= 0:
            raise ConfigError(f"exponent is {self.exponent}: take more than 0, such as 2 or 1")

    def evaluations(self, stems: int) -> int:
        """Network evaluations (rows) per window for `stems` texts, guidance branches counted."""
        branches = 1 if self.guidance == 1 else 2
        readout = stems * len(self.sigmas)
        runs = {
            "direct": readout,
            "project": stems * self.steps + (readout if self.weights == "shares" else 0),
            "dirac": stems * self.steps * self.resamples,
            "extract": 2 * stems * self.steps * self.resamples,
        }
        return branches * runs[self.method]


class Prompts(NamedTuple):
    """What the model is told, embedded."""

    texts: Text
    """One text per stem, ``[k s d]``; together they should cover the mixture."""
    rests: Text
    """Per stem the text of all the others, ``[k s d]``; only ``extract`` reads it."""
    null: Text
    """What guidance points away from, ``[1 s d]``: the learned null, or a negative prompt."""


def separate(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    prompts: Prompts,
    mixture: Float[Array, "b t c"],
    config: SeparationConfig,
) -> Float[Array, "b k t c"]:
    """The stems of each window, in the order of ``prompts.texts``.

    For ``dirac`` the last text is the constrained source. All methods but ``extract`` without its
    filter return stems that sum to the mixture.

    Args:
        keys: one random key per window.
        denoise: the text-conditional denoiser.
        prompts: the embedded texts.
        mixture: windows, full scale = 1.
        config: the method.
    """
    guided = guide(denoise, config.guidance, prompts.null)
    match config.method:
        case "direct":
            return direct(keys, guided, prompts.texts, mixture, config.sigmas, config.exponent)
        case "project":
            stems = _project(keys, guided, prompts.texts, mixture, config)
        case "dirac":
            stems = _dirac(keys, separator(guided, prompts.texts, mixture), mixture,
                           prompts.texts.mask.shape[0] - 1, config)  # fmt: skip
        case "extract":
            stems = _extract(keys, guided, prompts, mixture, config)
    return wiener(stems, mixture, exponent=config.exponent) if config.filter else stems


def _run(
    keys: Key[Array, " b"],
    denoise: Denoiser,
    step: Step,
    mixture: Float[Array, "b t c"],
    sources: int,
    config: SeparationConfig,
) -> Float[Array, "b k t c"]:
    sigmas = karras(config.steps, config.sigma_min, config.sigma_max, config.rho)
    start = initial_noise(keys, sigmas[0], (sources, *mixture.shape[1:]))
    return sample(keys, denoise, step, sigmas, start)


def _dirac(
    keys: Key[Array, " b"],
    denoise: Denoiser,
    mixture: Float[Array, "b t c"],
    free: int,
    config: SeparationConfig,
) -> Float[Array, "b k t c"]:
    """MSDM's loop (Euler with churn and resampling), then the constrained stem as the rest."""
    step = resample(churn(euler, config.s_churn, config.steps), config.resamples)
    return complete(_run(keys, denoise, step, mixture, free, config), mixture)


def _extract(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    prompts: Prompts,
    mixture: Float[Array, "b t c"],
    config: SeparationConfig,
) -> Float[Array, "b k t c"]:
    """One pair (stem, rest) per stem, all of them side by side as windows of one batch."""
    b, k = mixture.shape[0], prompts.texts.mask.shape[0]
    pairs = Text(
        *(jnp.stack(leaves, 1) for leaves in zip(prompts.texts, prompts.rests, strict=True))
    )
    pairs = Text(*(jnp.tile(leaf, (b, *(1,) * (leaf.ndim - 1))) for leaf in pairs))
    rows = jnp.repeat(mixture, k, axis=0)
    row_keys = jax.vmap(lambda key: jax.random.split(key, k))(keys).reshape(b * k)
    joint = dirac(per_source(denoise, pairs), rows)
    return _dirac(row_keys, joint, rows, 1, config)[:, 0].reshape(b, k, *mixture.shape[1:])


def _project(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    texts: Text,
    mixture: Float[Array, "b t c"],
    config: SeparationConfig,
) -> Float[Array, "b k t c"]:
    match config.weights:
        case "shares":
            reference = read_out(keys, denoise, texts, mixture, config.sigmas)
            allocate = shares(reference, exponent=config.exponent)
        case "local_power":
            allocate = local_power()
        case "uniform":
            allocate = uniform
    joint = projector(denoise, texts, mixture, allocate)
    return _run(keys, joint, euler_ancestral, mixture, texts.mask.shape[0], config)
