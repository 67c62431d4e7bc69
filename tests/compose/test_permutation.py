"""Sources have no order: permuting them and their texts permutes the answers of every rule."""

import jax
import jax.numpy as jnp
import pytest
from numpy.testing import assert_allclose
from oracles import words

from gmsdi_jax.compose import (
    couple,
    gaussian,
    guide,
    local_power,
    per_source,
    project,
    project_by_covariance,
    proportional,
    shares,
    stack_texts,
    uniform,
)
from gmsdi_jax.types import Text

B, K, T, SIZE = 2, 3, 96, 32
ORDER = jnp.array([2, 0, 1])


def together(x, sigma):
    """A denoiser of the mixture."""
    return 0.7 / (0.7 + sigma**2) * x


def null() -> Text:
    """One text for all rows, made when a test runs: in its float64."""
    return Text(*(leaf[None] for leaf in words.text((0.0, 1.0))))


RULES = {
    "guide": lambda texts, y, ref: per_source(guide(words.denoise, 2.0, null()), texts),
    "negatives": lambda texts, y, ref: per_source(guide(words.denoise, 2.0, texts), texts),
    **{
        f"couple {form}": lambda texts, y, ref, form=form: couple(
            per_source(words.denoise, texts),
            form,
            2.0,
            mixture=together,
            allocate=local_power(SIZE, corrected=True),
        )
        for form in ("difference", "sum", "mixture", "projected")
    },
    "gaussian": lambda texts, y, ref: gaussian(
        per_source(words.denoise, texts), y, proportional(0.75)
    ),
    "covariance": lambda texts, y, ref: project_by_covariance(
        per_source(words.denoise, texts), y, 5
    ),
    **{
        f"project {name}": lambda texts, y, ref, make=make: project(
            per_source(words.denoise, texts), y, make(ref)
        )
        for name, make in {
            "uniform": lambda ref: uniform,
            "local power": lambda ref: local_power(SIZE),
            "floored": lambda ref: local_power(SIZE, floor=ref),
            "shares": lambda ref: shares(ref, SIZE),
        }.items()
    },
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", RULES)
def test_permuted_sources_give_permuted_answers(name, rng):
    """To rounding, at a high and at a low level."""
    texts = stack_texts(
        words.text((0.2, 0.04), (-0.5, 0.3)), words.text((0.0, 0.1)), words.text((1.0, 0.02))
    )
    turned = Text(*(leaf[ORDER] for leaf in texts))
    x, reference = jnp.asarray(rng.standard_normal((2, B, K, T, 1)))
    mixture = jnp.asarray(rng.standard_normal((B, T, 1)))
    for sigma in (jnp.asarray(0.1), jnp.asarray(1.5)):
        straight = jax.jit(RULES[name](texts, mixture, reference))(x, sigma)
        permuted = jax.jit(RULES[name](turned, mixture, reference[:, ORDER]))(x[:, ORDER], sigma)
        assert_allclose(permuted, straight[:, ORDER], rtol=1e-9, atol=1e-10)
