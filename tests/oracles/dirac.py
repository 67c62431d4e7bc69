"""What the paper's Separator tends to: the Dirac constraint in continuous time, Gaussian sources.

With ``s = sigma^2`` running down, sources of variance v, the last of them constrained, and
``lambda`` the ratio of Langevin noise to the noise that falls away (0: probability-flow ODE, 1:
reverse SDE), the free sources z obey

    dz/ds = p (A z - 1 y / (v_K + s)) + sqrt(lambda) dW/ds,    p = (1 + lambda) / 2,
    A(s)  = diag(1 / (v_k + s)) + 1 1' / (v_K + s)

where dW is white noise. Churn that raises the level by the factor ``1 + gamma`` has, on a geometric
grid, ``lambda = gamma / d ln sigma`` and tends to it. Two sources, and any number of equal ones,
have closed forms; for the rest scipy integrates the equations of the mean and of the covariance.
"""

import numpy as np
from jaxtyping import Float
from oracles.gaussian import Moments, completed
from scipy.integrate import quad, solve_ivp


def two(a: float, b: float, ratio: float) -> tuple[float, float]:
    """Gain and variance of the first of two sources, of variances a and b, from sigma = inf.

    ``p (ab)^p int ds (b + s)^-1 h^-p`` and ``lambda int ds (ab / h)^(1 + lambda)``, with
    ``h = (a + s)(b + s)``. The ODE ends on the amplitude mask ``sqrt a / (sqrt a + sqrt b)``.
    """
    p = (1 + ratio) / 2

    def integral(f):  # over s from 0 to infinity, as s = exp(u): both ends fall off fast
        return quad(lambda u: np.exp(u) * f(np.exp(u)), -40, 40, limit=500, points=[-5, 0, 5])[0]

    def shrunk(s):
        return a * b / ((a + s) * (b + s))

    gain = p * integral(lambda s: shrunk(s) ** p / (b + s))
    return gain, ratio * integral(lambda s: shrunk(s) ** (2 * p))


def alike(a: float, k: int, ratio: float) -> Moments:
    """K sources of variance a, from sigma = inf: the mean is right, and so are their differences.

    Of the free sources' sum (unit vector e = 1 / sqrt(K - 1)) the variance is
    ``lambda a / ((1 + lambda) K - 1)`` where the posterior has ``a / K``; across it, a.
    """
    along = np.ones((k - 1, k - 1)) / (k - 1)
    spread = a * (np.eye(k - 1) - along) + ratio * a / ((1 + ratio) * k - 1) * along
    return completed(Moments(np.full((k - 1, 1), 1 / k), spread[..., None]))


def integrated(variance: Float[np.ndarray, " k"], ratio: float, sigma_max: float) -> Moments:
    """All sources from white noise of level `sigma_max`, one bin, to nine digits."""
    *free, last = variance
    n, p = len(free), (1 + ratio) / 2

    def slope(s, state):
        mean, covariance = state[:n], state[n:].reshape(n, n)
        matrix = np.diag(1 / (np.asarray(free) + s)) + 1 / (last + s)
        turned = matrix @ covariance
        return np.concatenate(
            [
                p * (matrix @ mean - 1 / (last + s)),
                (p * (turned + turned.T) - ratio * np.eye(n)).ravel(),
            ]
        )

    start = np.concatenate([np.zeros(n), sigma_max**2 * np.eye(n).ravel()])
    end = solve_ivp(slope, (sigma_max**2, 0), start, "LSODA", rtol=1e-10, atol=1e-12).y[:, -1]
    return completed(Moments(end[:n, None], end[n:].reshape(n, n, 1)))
