"""How well a model separates: on fixed windows while it trains, on whole songs when it is done."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gmsdi_jax.build import Model
from gmsdi_jax.data import FixedWindows
from gmsdi_jax.methods import SeparationConfig, separate
from gmsdi_jax.metrics.si_sdr import si_sdr_improvement
from gmsdi_jax.pipeline import prompts_for
from gmsdi_jax.types import Params


def validator(
    model: Model, windows: FixedWindows, config: SeparationConfig, rows: int = 8
) -> Callable[[Params], dict[str, float]]:
    """A function of the weights: mean SI-SDR improvement on active stems, per stem and over all.

    Args:
        model: the model under training.
        windows: validation windows with stems.
        config: the method; a cheap one, since it runs often.
        rows: windows per compiled call; `windows` must hold a multiple of it.
    """
    labels = list(model.config.labels)
    references = windows.stems[..., 0]
    keys = jax.vmap(jax.random.key)(np.arange(len(windows.mixture)))

    @jax.jit
    def run(params: Params, keys: Array, mixture: Float[Array, "b t c"]):
        return separate(
            keys, model.denoiser(params), prompts_for(model, params, labels), mixture, config
        )

    def validate(params: Params) -> dict[str, float]:
        parts = [
            np.asarray(run(params, keys[i : i + rows], jnp.asarray(windows.mixture[i : i + rows])))
            for i in range(0, len(windows.mixture), rows)
        ]
        estimates = np.concatenate(parts)[..., 0]
        gains = si_sdr_improvement(estimates, references, windows.mixture[:, None, :, 0])
        gains = np.where(windows.presence, gains, np.nan)
        means = np.nanmean(gains, axis=0)
        return {"score": float(means.mean()), **dict(zip(labels, means.tolist(), strict=True))}

    return validate
