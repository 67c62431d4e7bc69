"""A step that went wrong leaves no trace in the weights.

A loss or a gradient that is not finite would spoil weights, optimizer and averages for good, and a
checkpoint would keep that. So the compiled step itself decides whether it counts: if not, all but
the step's number stays what it was, bit for bit, and the host learns of it when it reads the
metrics anyway. No step waits for the host.

What may be left out besides are spikes: steps whose loss or gradient norm is far above the mean of
the last ones, in units of their standard deviation. That is a rule of language models (the
SkipStepAdamW of OLMo-core: 128 steps, 6 deviations); spikes are remembered too, so that a level
that stays is accepted in the end.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gmsdi_jax.config import GuardConfig
from gmsdi_jax.errors import NumericsError
from gmsdi_jax.types import TrainState

Verdict = dict[str, Array]


class Recent(NamedTuple):
    """Losses and gradient norms of the last steps, in a ring."""

    values: Float[Array, "2 n"]
    count: Int[Array, ""]


def none_seen(config: GuardConfig) -> Recent | tuple[()]:
    """What is remembered at step 0; nothing ever where spikes count."""
    if config.spikes is None:
        return ()
    return Recent(jnp.zeros((2, config.recent)), jnp.zeros((), jnp.int32))


def judge(
    recent: Recent | tuple[()], loss: Float[Array, ""], norm: Float[Array, ""], config: GuardConfig
) -> tuple[Verdict, Recent | tuple[()]]:
    """Whether a step is finite, whether it is a spike, and what is remembered after it."""
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    if not isinstance(recent, Recent) or config.spikes is None:
        return {"finite": finite, "spike": jnp.zeros((), bool)}, recent
    values, seen = recent.values, jnp.stack([loss, norm]).astype(recent.values.dtype)
    size = values.shape[1]
    known = jnp.minimum(recent.count, size)
    where = jnp.arange(size) < known
    mean, std = values.mean(1, where=where), values.std(1, where=where)
    spike = (known >= size // 2) & jnp.any(seen > mean + config.spikes * std)
    after = Recent(values.at[:, recent.count % size].set(seen), recent.count + 1)
    after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, recent)
    return {"finite": finite, "spike": finite & spike}, after


def keep(moved: TrainState, unmoved: TrainState, verdict: Verdict) -> TrainState:
    """The state after a step that counts, or the one that it leaves alone."""
    counts = verdict["finite"] & ~verdict["spike"]
    return jax.tree.map(lambda new, old: jnp.where(counts, new, old), moved, unmoved)


class GoBackError(Exception):
    """A step was not finite: the last checkpoint is where to go on from."""


class Guard:
    """What follows, in the host, from the metrics of the steps since the last look."""

    def __init__(self, config: GuardConfig) -> None:
        self._config, self._in_a_row = config, 0

    def check(self, metrics: list[dict[str, Any]], first: int) -> None:
        """Looks at some steps, the first of which is number `first`; each once.

        Raises:
            NumericsError: one of them ends the run.
            GoBackError: one of them sends it back.
        """
        policy = self._config.policy
        for step, values in enumerate(metrics, first):
            finite = bool(np.asarray(values["finite"]))
            if finite and not np.asarray(values["spike"]):
                self._in_a_row = 0
                continue
            if not finite and policy == "rollback":
                raise GoBackError(step)
            self._in_a_row += 1
            if not finite and policy == "abort":
                raise NumericsError(
                    f"loss or gradient of step {step} is not finite: resume from the checkpoint "
                    "before it with a lower optimizer.rate, or with --guard.policy skip or rollback"
                )
            if self._in_a_row >= self._config.most:
                raise NumericsError(
                    f"steps {step - self._in_a_row + 1} to {step} were all left out, and "
                    f"guard.most is {self._config.most}: resume with a lower optimizer.rate"
                )
