"""From a configured method to stems."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gmsdi_jax.compose import (
    Allocation,
    BinAllocation,
    coloured,
    complete,
    dirac,
    gaussian,
    guide,
    local_power,
    per_source,
    project,
    project_by_covariance,
    proportional,
    shares,
    uniform,
    wiener,
    with_other,
)
from gmsdi_jax.diffusion import (
    adpm2,
    churn,
    daps,
    dpmpp_2m,
    euler,
    euler_ancestral,
    heun,
    initial_noise,
    karras,
    resample,
    sample,
)
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods.config import SeparationConfig
from gmsdi_jax.tasks import read_out
from gmsdi_jax.types import Denoiser, MultiStep, Step, Text, TextDenoiser

_DRAW = 2**31 - 2**16  # folded into a window's key for its second draw and those after


class Prompts(NamedTuple):
    """What the model is told, embedded."""

    texts: Text
    """One text per stem, ``[k s d]``; together they should cover the mixture."""
    rests: Text
    """Per stem the text of all the others, ``[k s d]``; only ``extract`` reads it."""
    null: Text
    """What guidance points away from, ``[1 s d]``: the learned null, or one negative prompt."""
    negatives: Text | None = None
    """A negative prompt per stem, ``[k s d]``, instead of `null`; rests keep `null`."""


class _Batch(NamedTuple):
    """The rows of a run: every window once per draw, or once per stem and draw."""

    keys: Key[Array, " b"]
    mixture: Float[Array, "b t c"]
    reference: Float[Array, "b k t c"] | None
    """The read-out, where the method needs it."""

    def times(self, n: int, number: Callable[[Array], Array]) -> "_Batch":
        """Every row n times, with the keys that `number` makes of its key."""
        reference = None if self.reference is None else jnp.repeat(self.reference, n, 0)
        keys = jax.vmap(number)(self.keys).reshape(-1)
        return _Batch(keys, jnp.repeat(self.mixture, n, 0), reference)


def separate(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    prompts: Prompts,
    mixture: Float[Array, "b t c"],
    config: SeparationConfig,
) -> Float[Array, "b k t c"]:
    """The stems of each window, in the order of ``prompts.texts``.

    For ``dirac`` the last text is the constrained source. ``extract`` and ``gaussian`` without
    their filter, and ``other`` at work, leave a residual; else the stems sum to the mixture.

    Args:
        keys: one random key per window.
        denoise: the text-conditional denoiser.
        prompts: the embedded texts.
        mixture: windows, full scale = 1.
        config: the method.
    """
    draws = draw(keys, denoise, prompts, mixture, config)
    if config.filter and config.method != "direct":
        filtered = wiener(
            draws, mixture, config.fft, *config.smoothing, config.exponent, config.filter_iterations
        )
        return filtered[:, : prompts.texts.mask.shape[0]]
    return draws.mean(1)[:, : prompts.texts.mask.shape[0]]


def draw(
    keys: Key[Array, " b"],
    denoise: TextDenoiser,
    prompts: Prompts,
    mixture: Float[Array, "b t c"],
    config: SeparationConfig,
) -> Float[Array, "b n k t c"]:
    """All ``config.draws`` posterior draws of each window's stems, before they are averaged.

    The first draw is the one of ``draws = 1``. With ``other`` there is one more source at the end.
    Arguments as in `separate`.
    """
    guided = _guided(denoise, prompts, config)
    reference = None
    if config.reads_out:
        reference = read_out(keys, guided, prompts.texts, mixture, config.sigmas)
    if config.method == "direct":
        assert reference is not None
        filtered = wiener(reference, mixture, config.fft, *config.smoothing, config.exponent)
        return filtered[:, None]
    n = config.draws
    batch = _Batch(keys, mixture, reference).times(n, lambda key: _draw_keys(key, n))
    match config.method:
        case "extract":
            stems = _extract(batch, denoise, prompts, config)
        case "dirac" if config.constrain == "each":
            stems = _each_constrained(batch, denoise, prompts, config)
        case _:
            joint = per_source(guided, prompts.texts)
            stems = _by_joint(batch, joint, prompts.texts.mask.shape[0], config)
    return stems.reshape(mixture.shape[0], n, *stems.shape[1:])


def separate_joint(
    keys: Key[Array, " b"],
    joint: Denoiser,
    sources: int,
    mixture: Float[Array, "b t c"],
    config: SeparationConfig,
    constrained: int = 0,
) -> Float[Array, "b k t c"]:
    """The stems of each window by a model of all sources at once, which hears no text: MSDM's.

    Args:
        keys: one random key per window.
        joint: the denoiser of all sources ``[b k t c]``.
        sources: how many there are.
        mixture: windows, full scale = 1.
        config: ``dirac``, ``gaussian``, or ``project`` with weights that need no read-out.
        constrained: the source that ``dirac`` leaves to be the rest of the others.

    Raises:
        ConfigError: a method that asks for single stems by their text.
    """
    if config.reads_out or config.method == "extract" or config.constrain == "each":
        raise ConfigError(
            "a model of all stems at once hears no text: separate with method dirac or gaussian, "
            "or project with weights local_power, corrected or uniform, one stem constrained"
        )
    n = config.draws
    batch = _Batch(keys, mixture, None).times(n, lambda key: _draw_keys(key, n))
    stems = _by_joint(batch, joint, sources, config, constrained)
    draws = stems.reshape(mixture.shape[0], n, *stems.shape[1:])[:, :, :sources]
    if not config.filter:
        return draws.mean(1)
    return wiener(
        draws, mixture, config.fft, *config.smoothing, config.exponent, config.filter_iterations
    )


def _by_joint(
    batch: _Batch, joint: Denoiser, sources: int, config: SeparationConfig, constrained: int = -1
) -> Float[Array, "b k t c"]:
    """The methods that see nothing of the model but its joint denoiser."""
    match config.method:
        case "dirac":
            return _dirac(batch, joint, sources, config, constrained)
        case "gaussian":
            return _gaussian(batch, joint, sources, config)
        case _:
            return _project(batch, joint, sources, config)


def _draw_keys(key: Key[Array, ""], n: int) -> Key[Array, " n"]:
    more = [jax.random.fold_in(key, _DRAW + i) for i in range(1, n)]
    return jnp.stack([key, *more])


def _guided(denoise: TextDenoiser, prompts: Prompts, config: SeparationConfig) -> TextDenoiser:
    against = prompts.null if prompts.negatives is None else prompts.negatives
    return guide(denoise, config.guidance, against, config.guidance_interval)


def _run(
    batch: _Batch,
    denoise: Denoiser,
    config: SeparationConfig,
    sources: int,
    warm: Float[Array, "b j t c"] | None = None,
    allocate: Allocation | None = None,
) -> Float[Array, "b j t c"]:
    """A sample of `denoise`, from noise, or from `warm` plus noise."""
    sigmas = karras(config.own_steps, config.sigma_min, config.sigma_max, config.rho)
    start = initial_noise(batch.keys, sigmas[0], (sources, *batch.mixture.shape[1:]))
    start = start if warm is None else start + warm
    return sample(batch.keys, denoise, _step(config, allocate), sigmas, start)


def _step(config: SeparationConfig, allocate: Allocation | None) -> Step | MultiStep:
    match config.own_solver:
        case "dpmpp_2m":
            return dpmpp_2m
        case "churn":
            step = churn(euler, config.s_churn, config.own_steps)
        case "heun":
            step = heun
        case "adpm2":
            step = adpm2()
        case "daps":
            assert isinstance(allocate, BinAllocation)  # held by the configuration
            step = daps(allocate.spread)
        case _:
            step = euler_ancestral
    return resample(step, config.resamples)


def _dirac(
    batch: _Batch, joint: Denoiser, sources: int, config: SeparationConfig, constrained: int = -1
) -> Float[Array, "b k t c"]:
    """MSDM's loop (Euler with churn and resampling), then the constrained stem as the rest."""
    warm = batch.reference[:, :-1] if config.warm and batch.reference is not None else None
    rule = dirac(joint, batch.mixture, constrained)
    free = _run(batch, rule, config, sources - 1, warm)
    return complete(free, batch.mixture, constrained)


def _extract(
    batch: _Batch, denoise: TextDenoiser, prompts: Prompts, config: SeparationConfig
) -> Float[Array, "b k t c"]:
    """One pair (stem, rest) per stem, all of them side by side as windows of one batch."""
    b, k = batch.mixture.shape[0], prompts.texts.mask.shape[0]
    pairs = Text(*(jnp.stack(two, 1) for two in zip(prompts.texts, prompts.rests, strict=True)))
    if prompts.negatives is not None:
        null = Text(*(jnp.broadcast_to(leaf, (k, *leaf.shape[1:])) for leaf in prompts.null))
        two = zip(prompts.negatives, null, strict=True)
        flat = Text(*(jnp.stack(leaves, 1).reshape(2 * k, *leaves[0].shape[1:]) for leaves in two))
        prompts = prompts._replace(negatives=flat)
    rows = batch.times(k, lambda key: jax.random.split(key, k))
    if rows.reference is not None:
        own = rows.reference[jnp.arange(b * k), jnp.tile(jnp.arange(k), b)][:, None]
        rows = rows._replace(reference=jnp.concatenate([own, own], 1))
    texts = Text(*(jnp.tile(leaf, (b, *(1,) * (leaf.ndim - 1))) for leaf in pairs))
    stems = _dirac(rows, per_source(_guided(denoise, prompts, config), texts), 2, config)
    return stems[:, 0].reshape(b, k, *batch.mixture.shape[1:])


def _each_constrained(
    batch: _Batch, denoise: TextDenoiser, prompts: Prompts, config: SeparationConfig
) -> Float[Array, "b k t c"]:
    """`_dirac` with each source constrained in turn, side by side, and the mean of all.

    A constrained source may not change within a run, which costs more than it cures.
    """
    b, k = batch.mixture.shape[0], prompts.texts.mask.shape[0]
    # Run i has source i at the end; [i, j] is the source at place j.
    order = jnp.stack([jnp.roll(jnp.arange(k), -i - 1) for i in range(k)])
    places = jnp.argsort(order, axis=1)

    def ordered(text: Text) -> Text:
        return Text(*(leaf[order] for leaf in text))

    if prompts.negatives is not None:
        flat = (leaf.reshape(k * k, *leaf.shape[2:]) for leaf in ordered(prompts.negatives))
        prompts = prompts._replace(negatives=Text(*flat))
    rows = batch.times(k, lambda key: jax.random.split(key, k))
    if rows.reference is not None:
        turned = jnp.take_along_axis(
            rows.reference, jnp.tile(order, (b, 1))[:, :, None, None], axis=1
        )
        rows = rows._replace(reference=turned)
    texts = Text(*(jnp.tile(leaf, (b, *(1,) * (leaf.ndim - 1))) for leaf in ordered(prompts.texts)))
    stems = _dirac(rows, per_source(_guided(denoise, prompts, config), texts), k, config)
    stems = jnp.take_along_axis(stems, jnp.tile(places, (b, 1))[:, :, None, None], axis=1)
    return stems.reshape(b, k, *stems.shape[1:]).mean(1)


def _gaussian(
    batch: _Batch, joint: Denoiser, sources: int, config: SeparationConfig
) -> Float[Array, "b k t c"]:
    """MSDM's other likelihood; its stems sum to the mixture only nearly."""
    rule = gaussian(joint, batch.mixture, proportional(config.gamma), factor=0.5)
    return _run(batch, rule, config, sources, batch.reference if config.warm else None)


def _project(
    batch: _Batch, joint: Denoiser, sources: int, config: SeparationConfig
) -> Float[Array, "b k t c"]:
    """Every estimate projected on the mixture, with the weights of the configuration."""
    smoothing, reference = (config.fft, *config.smoothing), batch.reference
    if config.other:
        joint = with_other(joint, coloured(batch.mixture, config.other, *smoothing))
        sources += 1
        if reference is not None:
            rest = (config.other**0.5 * batch.mixture)[:, None]
            reference = jnp.concatenate([reference, rest], axis=1)
    warm = reference if config.warm else None
    match config.weights:
        case "covariance":
            joint = project_by_covariance(joint, batch.mixture, config.iterations)
            return _run(batch, joint, config, sources, warm)
        case "shares":
            assert reference is not None
            allocate = shares(reference, *smoothing, config.exponent)
        case "uniform":
            allocate = uniform
        case "floored":
            assert reference is not None
            allocate = local_power(*smoothing, floor=config.floor**0.5 * reference)
        case _:
            allocate = local_power(*smoothing, corrected=config.weights == "corrected")
    joint = project(joint, batch.mixture, allocate)
    return _run(batch, joint, config, sources, warm, allocate)
