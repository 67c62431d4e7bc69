"""The score of a model under training: mean SI-SDR improvement on the same windows every time."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from gmsdi_jax.train.observe import Sample


class Validator:
    """A function of the weights: mean SI-SDR improvement on active stems, per stem and over all.

    A stem that sounds in no window scores NaN and does not count.
    """

    def __init__(
        self,
        model: Model,
        windows: FixedWindows,
        config: SeparationConfig,
        rows: int = 8,
        keep: int = 0,
    ):
        """Nothing is compiled before the first call.

        Args:
            model: the model under training.
            windows: validation windows with stems.
            config: the method; a cheap one, since it runs often.
            rows: windows per compiled call.
            keep: of so many windows, the first ones, the estimates are kept for `samples`.
        """
        self._model, self._windows, self._rows, self._keep = model, windows, rows, keep
        self._keys = jax.vmap(jax.random.key)(jnp.arange(len(windows.mixture)))
        self._kept: Float[np.ndarray, "b k t"] | None = None

        @jax.jit
        def run(params: Params, keys: Array, mixture: Float[Array, "b t c"]):
            prompts = prompts_for(model, params, model.config.labels)
            return separate(keys, model.denoiser(params), prompts, mixture, config)

        self._run = run

    def __call__(self, params: Params) -> dict[str, float]:
        """``score`` over all labels, and each label's own, in dB."""
        windows, step = self._windows, self._rows
        parts = [
            np.asarray(
                self._run(params, self._keys[i : i + step], jnp.asarray(windows.mixture[i:][:step]))
            )
            for i in range(0, len(windows.mixture), step)
        ]
        estimates = np.concatenate(parts)[..., 0]
        self._kept = estimates[: self._keep]
        gains = si_sdr_improvement(estimates, windows.stems[..., 0], windows.mixture[:, None, :, 0])
        counts = windows.presence.sum(0)
        sums = np.where(windows.presence, gains, 0).sum(0)
        means = np.where(counts, sums / np.maximum(counts, 1), np.nan)
        labels = self._model.config.labels
        return {"score": float(np.nanmean(means)), **dict(zip(labels, means.tolist(), strict=True))}

    def samples(self) -> "list[Sample]":
        """What the last call made of the first windows; none before it."""
        from gmsdi_jax.train.observe import Sample  # all of training, which scorecards do without

        config, windows = self._model.config, self._windows
        return [
            Sample(
                f"{windows.track[i]} at {windows.start[i] / config.sample_rate:.1f} s",
                tuple(config.labels),
                windows.mixture[i, :, 0],
                windows.stems[i, :, :, 0],
                estimate,
                config.sample_rate,
            )
            for i, estimate in enumerate(() if self._kept is None else self._kept)
        ]
