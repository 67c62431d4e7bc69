"""The models of the two papers, as configurations.

What a line rests on is said beside it: *stated* in the paper or in code that its authors published,
*inferred* from those, or *our choice* where nothing is known. GMSDI's authors published no code;
its network is taken to be that of MSDM, their earlier work, with the text of the library that both
build on (audio-diffusion-pytorch).
"""

from collections.abc import Callable

from gmsdi_jax.config import ModelConfig
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import ClapTextConfig, T5TextConfig, UNet1dConfig, WithoutTextConfig

_SLAKH = ("Bass", "Drums", "Guitar", "Piano")  # stated: the paper's four classes and their order


def paper_slakh() -> ModelConfig:
    """GMSDI's model of Slakh2100: text is t5-small's answer to the labels of the mixture."""
    return ModelConfig(
        network=_paper_network(),
        conditioner=T5TextConfig(
            labels=_SLAKH,
            features=512,  # stated: t5-small
            tokens=64,  # inferred: the library's default
            attend_padding=True,  # inferred: the library passes no mask
        ),
        sigma_data=0.2,  # inferred: MSDM's
        limit=1.0,  # inferred: MSDM's
        sample_rate=22050,  # stated
        window=2**18,  # stated
        separation=_paper_separation(),
    )


def paper_jamendo() -> ModelConfig:
    """GMSDI's model of MTG-Jamendo: text is CLAP's vector of the audio itself."""
    return ModelConfig(
        network=_paper_network(),
        conditioner=ClapTextConfig(
            labels=(),  # stated: the data have no stems
            features=512,  # stated: CLAP's joint space
            noise=0.0,  # inferred: nothing is said of any
        ),
        sigma_data=0.2,  # inferred: MSDM's
        limit=1.0,  # inferred: MSDM's
        sample_rate=22050,  # stated
        window=2**19,  # stated
        separation=_paper_separation(),
    )


def msdm_joint() -> ModelConfig:
    """MSDM's joint model: one network whose four channels are the stems, without text."""
    return ModelConfig(
        network=UNet1dConfig.msdm(audio_channels=4),  # stated: train_msdm.yaml
        conditioner=WithoutTextConfig(labels=_SLAKH),  # stated: the order of the channels
        sigma_data=0.2,  # stated
        limit=1.0,  # stated: dynamic_threshold 0 clamps to [-1, 1]
        sample_rate=22050,  # stated
        window=2**18,  # stated
        separation=_msdm_separation(s_churn=20.0),  # stated: exp/eval_msdm
    )


def msdm_weak(stem: str = "Bass") -> ModelConfig:
    """One of MSDM's weakly supervised models: a network of a single stem, without text."""
    return ModelConfig(
        network=UNet1dConfig.msdm(audio_channels=1),  # stated: train_weakly_msdm.yaml
        conditioner=WithoutTextConfig(labels=(stem,)),
        sigma_data=0.2,  # stated
        limit=1.0,  # stated: dynamic_threshold 0 clamps to [-1, 1]
        sample_rate=22050,  # stated
        window=2**18,  # stated
        separation=_msdm_separation(s_churn=40.0),  # stated: exp/eval_weakly
    )


PRESETS: dict[str, Callable[[], ModelConfig]] = {
    "paper-slakh": paper_slakh,
    "paper-jamendo": paper_jamendo,
    "msdm-joint": msdm_joint,
    "msdm-weak": msdm_weak,
}


def _paper_network() -> UNet1dConfig:
    return UNet1dConfig(
        audio_channels=1,  # stated: trained on mixtures
        text_features=512,  # stated: t5-small, CLAP
        channels=256,  # inferred: MSDM's, as is the shape below
        patch=16,
        multipliers=(1, 2, 4, 4, 4, 4, 4),
        factors=(4, 4, 4, 2, 2, 2),
        blocks=(2, 2, 2, 2, 2, 2),
        attentions=(0, 0, 0, 1, 1, 1),
        heads=8,
        head_features=128,
        text_in="blocks",  # inferred: where MSDM's version of the library has it
        dtype="bfloat16",  # inferred: MSDM trains in bf16
        remat=False,  # our choice
    )


def _paper_separation() -> SeparationConfig:
    return SeparationConfig(
        method="dirac",  # stated: the Separator
        guidance=3.0,  # our choice: the scales of table 1 are lost
        steps=150,  # inferred: MSDM's, as are the numbers below
        resamples=2,
        s_churn=20.0,
        sigma_min=1e-4,
        sigma_max=1.0,
        rho=7.0,
    )


def _msdm_separation(s_churn: float) -> SeparationConfig:
    return SeparationConfig(
        method="dirac",  # stated, as is all below: main/separation.py, exp/eval_*.yaml
        steps=150,
        resamples=2,
        s_churn=s_churn,
        sigma_min=1e-4,
        sigma_max=1.0,
        rho=7.0,
    )
