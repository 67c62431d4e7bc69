"""What separation and generation need of a TPU that is not here, told by its compiler.

Compiled are the very calls that `WindowSeparator` and `draw` make, for shapes: of a model only
``config.json`` is needed, neither weights nor encoder. A pod separates host by host, so a call is
spread over the chips of one; a piece is drawn on one chip.

Operations are those of the network, counted in one call of it before it is compiled, times the
evaluations of the method: a compiler counts a loop of sampling steps as one step.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.stages import Compiled

from gmsdi_jax.build import Model
from gmsdi_jax.compose import stable_gamma
from gmsdi_jax.diffusion import karras
from gmsdi_jax.distributed import Pod, compile_for, device_mesh, needs, place_everywhere
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline.draw import GenerationConfig, heard_by, padded_length, sampler
from gmsdi_jax.pipeline.stream import WindowSeparator
from gmsdi_jax.pipeline.texts import prompt_shapes

TERA = 1e12


def separation_ahead(
    model: Model,
    stems: Sequence[str],
    config: SeparationConfig,
    target: Pod,
    rows: int | None = None,
) -> Iterator[str]:
    """Lines that say what a call of a separation needs on one host of `target`.

    Args:
        model: the model; its weights are not needed.
        stems: what to separate.
        config: the method.
        target: the chips.
        rows: windows per call; by default as many as fit, which takes three compilations or so.

    Raises:
        ConfigError: so many windows do not fit, or an unknown stem.
        UnavailableError: not even one window fits.
    """
    separator = WindowSeparator(
        model, model.shapes, stems, config, rows=rows or "auto",
        devices=target.host, memory=target.limit,
    )  # fmt: skip
    plan = separator.plan
    compiled = compile_for(separator.compile, target.limit, "lower --rows, --draws or the stems")
    seconds = model.config.window / model.config.sample_rate
    yield (
        f"separation: {config.method} on one host of {target.name}: {plan}; {plan.windows} windows "
        f"of {seconds:.1f} s"
    )
    yield from _network(model, separator.evaluations, "window", seconds)
    yield from needs(compiled).lines(target.limit)


def generation_ahead(
    model: Model, stems: Sequence[str], seconds: float, config: GenerationConfig, target: Pod
) -> Iterator[str]:
    """Lines that say what drawing a piece needs on one chip of `target`.

    Args:
        model: the model; its weights are not needed.
        stems: what to draw.
        seconds: length of the piece.
        config: the sampler and the coupling.
        target: the chips.

    Raises:
        ConfigError: it does not fit, or a coupling that the grid cannot follow.
    """
    sigmas = karras(config.steps, config.sigma_min, config.sigma_max, config.rho)
    stable_gamma(config.form, len(stems), sigmas, config.gamma)
    compiled = compile_for(
        partial(_compile_drawing, model, len(stems), seconds, config, target),
        target.limit,
        "take fewer seconds or stems",
    )
    yield f"generation: {len(stems)} stems of {seconds:g} s on one chip of {target.name}"
    piece = max(seconds, model.config.window / model.config.sample_rate)
    yield from _network(model, config.evaluations, "window of a stem", piece)
    yield from needs(compiled).lines(target.limit)


def _compile_drawing(
    model: Model, stems: int, seconds: float, config: GenerationConfig, target: Pod
) -> Compiled:
    length = round(seconds * model.config.sample_rate)
    if length <= model.config.window or config.long == "joined":
        length = padded_length(model, length)
    else:
        length = model.config.window
    together = jax.eval_shape(model.embed, model.shapes, model.prompt_shapes(1))
    heard = jax.eval_shape(heard_by, prompt_shapes(model, model.shapes, stems), together)
    piece = (
        jax.eval_shape(lambda: jax.random.key(0)),
        jax.ShapeDtypeStruct((stems, length, 1), jnp.float32),
        jax.ShapeDtypeStruct((stems, length), bool),
    )
    placed = place_everywhere((model.shapes, heard, *piece), device_mesh(target.devices[:1]))
    return sampler(model, config).lower(*placed).compile()


def _network(model: Model, evaluations: int, unit: str, seconds: float) -> Iterator[str]:
    """Evaluations, and what they cost."""
    text = jax.eval_shape(model.embed, model.shapes, model.prompt_shapes(1))
    channels = getattr(model.config.network, "audio_channels", 1)
    audio = jax.ShapeDtypeStruct((1, model.config.window, channels), jnp.float32)
    sigma = jax.ShapeDtypeStruct((), jnp.float32)

    def once(params, *inputs):
        return model.denoiser(params)(*inputs)

    cost = jax.jit(once).lower(model.shapes, audio, sigma, text).cost_analysis() or {}
    each = cost.get("flops", 0.0) / TERA
    yield (
        f"network: {evaluations} evaluations per {unit}, {each:.4g} TFLOP each: "
        f"{evaluations * each / seconds:.4g} TFLOP per second of audio"
    )
