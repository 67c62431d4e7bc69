"""Which checkpoints stay: a pure function of the steps and their scores."""

from collections.abc import Mapping
from dataclasses import dataclass

from gmsdi_jax.errors import ConfigError


@dataclass(frozen=True)
class Retention:
    """The newest few, every so many steps, and the best; the newest one stays in any case.

    Raises:
        ConfigError: a number that makes no sense.
    """

    keep: int = 2
    """Newest checkpoints that stay; with 1 there is none to fall back on when it is damaged."""
    period: int | None = None
    """Multiples of this step stay for ever."""
    best: int = 0
    """Checkpoints with the highest scores that stay, older ones first where scores are equal."""

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ConfigError(f"keep is {self.keep}: keep at least 1 checkpoint, better 2")
        if self.best < 0 or (self.period is not None and self.period < 1):
            raise ConfigError(
                f"best is {self.best} and period is {self.period}: "
                "make best at least 0 and period at least 1"
            )

    def kept(self, scores: Mapping[int, float | None]) -> set[int]:
        """The steps that stay, of those in `scores`; None is a step without a score."""
        steps = sorted(scores)
        scored = [step for step in steps if _is_number(scores[step])]
        ranked = sorted(scored, key=lambda step: -(scores[step] or 0.0))
        forever = [step for step in steps if self.period and step % self.period == 0]
        return {*steps[-self.keep :], *forever, *ranked[: self.best]}


def _is_number(score: float | None) -> bool:
    return score is not None and score == score  # a NaN is no score
