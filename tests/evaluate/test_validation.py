"""The score of a model under training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evaluate.tones import LABELS, QUICK
from numpy.testing import assert_allclose

from gmsdi_jax.data import FixedWindows, fixed_windows
from gmsdi_jax.evaluate import Validator
from gmsdi_jax.methods import separate
from gmsdi_jax.metrics.si_sdr import si_sdr
from gmsdi_jax.pipeline import prompts_for


def test_validation_score_is_the_mean_over_stems(model, split):
    """Mean SI-SDR improvement per stem where it sounds; the score is the mean of the stems'."""
    windows = fixed_windows(split, 2048, 5)
    presence = windows.presence.copy()
    presence[0, 1] = False
    windows = windows._replace(presence=presence)
    found = Validator(model.model, windows, QUICK, rows=2)(model.params)

    @jax.jit
    def answer(params, keys, mixture):
        prompts = prompts_for(model.model, params, LABELS)
        return separate(keys, model.model.denoiser(params), prompts, mixture, QUICK)

    keys = jax.vmap(jax.random.key)(jnp.arange(5))
    stems = answer(model.params, keys, jnp.asarray(windows.mixture))
    expected = {}
    for k, label in enumerate(LABELS):
        gains = [
            si_sdr(np.asarray(stems)[i, k, :, 0], windows.stems[i, k, :, 0])
            - si_sdr(windows.mixture[i, :, 0], windows.stems[i, k, :, 0])
            for i in range(5)
            if presence[i, k]
        ]
        expected[label] = np.mean(gains)
    assert list(found) == ["score", *LABELS]
    assert_allclose([found[label] for label in LABELS], list(expected.values()), atol=1e-3)
    assert_allclose(found["score"], np.mean(list(expected.values())), atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_stem_that_never_sounds_does_not_spoil_the_score(model, split):
    """A class without a window has no score; the mean is over the others, so runs can be ranked."""
    windows: FixedWindows = fixed_windows(split, 2048, 2)
    windows = windows._replace(presence=windows.presence & np.array([True, False]))
    found = Validator(model.model, windows, QUICK)(model.params)
    assert np.isnan(found["High"])
    assert found["score"] == found["Low"]
