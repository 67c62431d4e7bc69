"""MSDM's joint model through the same commands: a network whose channels are the stems."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from parity.weights import draw

from gmsdi_jax.baselines import msdm
from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.errors import ConfigError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import UNet1dConfig, WithoutTextConfig
from gmsdi_jax.pipeline import GMSDI
from gmsdi_jax.types import no_text

WINDOW = 512
DIRAC = SeparationConfig(method="dirac", steps=60, resamples=2, sigma_min=1e-4, s_churn=20)


@pytest.fixture(scope="module")
def joint():
    network = UNet1dConfig(
        audio_channels=4, text_features=None, channels=16, patch=4, multipliers=(1, 2),
        factors=(2,), blocks=(1,), attentions=(0,), heads=2, head_features=4, groups=4,
    )  # fmt: skip
    config = ModelConfig(
        network=network, conditioner=WithoutTextConfig(), sigma_data=0.2, limit=1.0, window=WINDOW
    )
    return GMSDI(config, jax.tree.map(jnp.asarray, draw(Model(config).shapes)), "msdm")


@pytest.fixture(scope="module")
def whole(joint, song):
    """One window, all stems."""
    return joint.separate(song(WINDOW), None, DIRAC, overlap=0.0)


def test_weights_are_the_networks_alone(joint):
    """There is no conditioner to train."""
    assert set(joint.params) == {"network"}


def test_command_is_the_published_loop(joint, song, whole):
    """One window through the pipeline is `baselines.msdm.separate_dirac` with bass constrained."""
    mixture = song(WINDOW)
    assert list(whole.stems) == ["Bass", "Drums", "Guitar", "Piano"]
    denoise = joint.model.denoiser(joint.params)
    sources = msdm.joint(lambda x, sigma: denoise(x, sigma, no_text(x.shape[0])))
    key = jax.random.fold_in(jax.random.key(0), 0)
    loop = msdm.Loop(steps=60, s_churn=20.0, resamples=2)
    run = jax.jit(lambda y: msdm.separate_dirac(key[None], sources, y, loop))
    expected = np.asarray(run(jnp.asarray(mixture)[None]))[0]
    for stem, own in zip(whole.stems.values(), expected, strict=True):
        assert_allclose(stem, own, atol=2e-5)
    assert_allclose(sum(whole.stems.values()), mixture, atol=1e-5)


def test_stems_are_channels_in_the_order_asked_for(joint, song, whole):
    """Two of them, turned around: the same audio; what nobody asked for is the residual."""
    some = joint.separate(song(WINDOW), ["piano", "Bass"], DIRAC)
    assert_allclose(some.stems["piano"], whole.stems["Piano"], atol=1e-6)
    assert_allclose(some.stems["Bass"], whole.stems["Bass"], atol=1e-6)
    rest = whole.stems["Drums"] + whole.stems["Guitar"]
    assert_allclose(some.residual, rest, atol=1e-5)


def test_stem_constrained_is_the_one_named(joint, song, whole):
    """Constraining another stem is another walk; the sum is the mixture either way."""
    other = joint.separate(song(WINDOW), None, DIRAC, constrained="Drums")
    assert np.abs(whole.stems["Bass"] - other.stems["Bass"]).max() > 1e-3
    assert_allclose(sum(other.stems.values()), song(WINDOW), atol=1e-5)


@pytest.mark.parametrize(
    "change", [{"method": "gaussian"}, {"method": "project", "weights": "uniform"}]
)
def test_other_rules_take_it_too(joint, song, change):
    """MSDM's Gaussian likelihood and projection see nothing but the joint denoiser."""
    config = SeparationConfig(steps=3, **change)
    result = joint.separate(song(WINDOW), None, config)
    assert np.isfinite(np.stack(list(result.stems.values()))).all()


def test_joined_song_is_one_state(joint, song):
    """A song longer than a window, all windows at once: the stems sum to it."""
    mixture = song(3 * WINDOW)
    result = joint.separate(mixture, None, DIRAC, joined=True, overlap=0.5)
    assert_allclose(sum(result.stems.values()), mixture, atol=1e-5)


@pytest.mark.parametrize("method", ["direct", "extract", "project"])
def test_methods_that_ask_by_text_are_refused(joint, song, method):
    """The message says which methods there are; exit code 2."""
    with pytest.raises(ConfigError, match="hears no text: separate with method dirac"):
        joint.separate(song(WINDOW), None, SeparationConfig(method=method))


def test_generation_is_pointed_to_the_baseline(joint):
    """Total generation of a joint model is not a matter of prompts."""
    with pytest.raises(ConfigError, match=r"gmsdi_jax\.baselines\.msdm"):
        joint.generate(["Bass"], 0.01)


def test_a_channel_has_one_name(joint):
    """Two labels are two channels, not one stem; exit code 2."""
    with pytest.raises(ConfigError, match=r"'Bass, Drums': name one of Bass, .*each is a channel"):
        joint.separator(["Bass, Drums"], DIRAC)
    with pytest.raises(ConfigError, match=r"'': name one of Bass"):
        joint.separator(["Bass"], DIRAC, constrained="")


def test_one_weakly_supervised_model_separates_nothing(joint):
    """Its own stem would be the whole mixture: the message says how several are put together."""
    network = replace(joint.model.config.network, audio_channels=1)
    labels = WithoutTextConfig(labels=("Bass",))
    config = replace(joint.model.config, network=network, conditioner=labels)
    weak = GMSDI(config, jax.tree.map(jnp.asarray, draw(Model(config).shapes)), "weak")
    with pytest.raises(ConfigError, match=r"Bass alone.*gmsdi_jax\.baselines\.msdm\.weakly"):
        weak.separator(["Bass"], DIRAC)
