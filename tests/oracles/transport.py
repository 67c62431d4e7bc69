"""The exact probability-flow map in one dimension, for any density: the map between its quantiles.

The flow of a one-dimensional ODE keeps the order of its points, so it carries the distribution
function of one noise level to that of the other: ``F_s(flow(x)) = F_sigma(x)``. No solver is
involved, and the denoiser may be as nonlinear as it likes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import ndtr


class Mixture(NamedTuple):
    """An even mixture of Gaussians, whose denoiser is `oracles.words` with one token for each."""

    mean: tuple[float, ...]
    variance: tuple[float, ...]

    def below(self, x: float, sigma: float) -> float:
        """The probability that a noisy sample is below x."""
        deviation = np.sqrt(np.asarray(self.variance) + sigma**2)
        return float(ndtr((x - np.asarray(self.mean)) / deviation).mean())

    def flow(
        self, x: Float[np.ndarray, " n"], sigma: float, sigma_next: float
    ) -> Float[np.ndarray, " n"]:
        """Where the probability-flow ODE takes each point, from sigma to sigma_next."""

        def image(point):
            rank = self.below(point, sigma)
            return brentq(
                lambda z: self.below(z, sigma_next) - rank, -20, 20, xtol=1e-14, rtol=1e-14
            )

        return np.array([image(point) for point in x])
