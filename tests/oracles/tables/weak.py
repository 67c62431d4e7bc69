"""Separators under a prior that believes too little in one source: who starves it."""

from typing import NamedTuple

import jax
import numpy as np
from oracles.groups import by_class, by_local_power, groups, improvement, level

from gmsdi_jax.compose import complete, dirac, project, project_by_covariance
from gmsdi_jax.diffusion import euler_ancestral, initial_noise, karras, sample

WINDOWS, BELIEFS = 16, (0.6, 0.1, 0.02)


class WeakRow(NamedTuple):
    """A separator under a belief; the source that it underrates, and the mean of all, in dB."""

    belief: float
    rule: str
    steps: int
    level: float
    """Of the rare source's estimates against the truth."""
    rare: float
    """SI-SDR improvement of the rare source."""
    mean: float
    """SI-SDR improvement, mean of all sources."""


def rows() -> list[WeakRow]:
    """All separators under all beliefs; one draw each."""
    truth, rng = groups(), np.random.default_rng(0)
    stems = truth.draw(rng, WINDOWS)
    mixture, keys = stems.sum(1), jax.random.split(jax.random.key(0), WINDOWS)

    def run(denoise, steps, free=4):
        grid = karras(steps, 1e-3)
        start = initial_noise(keys, grid[0], (free, *stems.shape[2:]))
        return jax.jit(lambda x: sample(keys, denoise, euler_ancestral, grid, x))(start)

    found = []
    for belief in BELIEFS:
        prior = truth.believing([belief, *truth.probability[1:]])
        weak = prior.denoise
        drawn = {
            ("exact posterior", 0): prior.posterior_draw(rng, mixture),
            ("Dirac", 150): complete(run(dirac(weak, mixture), 150, 3), mixture),
            ("by Jacobian", 25): run(project_by_covariance(weak, mixture, 12), 25),
            ("local power", 25): run(project(weak, mixture, by_local_power(truth)), 25),
            ("local power, floored", 25): run(
                project(weak, mixture, by_local_power(truth, 0.1)), 25
            ),
            ("class shares", 25): run(project(weak, mixture, by_class(truth)), 25),
        }
        for (rule, steps), estimate in drawn.items():
            gain = improvement(estimate, stems, mixture)
            loudness = level(estimate, stems)[0]
            found.append(WeakRow(belief, rule, steps, loudness, gain[0], gain.mean()))
    return found
