"""The training loop: one compiled step, exact resume, metrics that say where the loss is made."""

from gmsdi_jax.train.loop import train
from gmsdi_jax.train.state import make_optimizer
from gmsdi_jax.train.step import make_step
from gmsdi_jax.train.stop import Stop

__all__ = ["Stop", "make_optimizer", "make_step", "train"]
