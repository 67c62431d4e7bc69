"""The U-Net has the shape of MSDM's, down to the number of weights."""

from math import prod

import jax
import numpy as np
import pytest
from flax import nnx

from gmsdi_jax.models import UNet1d, UNet1dConfig


def shapes(config):
    def make():
        return nnx.to_pure_dict(nnx.split(UNet1d(config, rngs=nnx.Rngs(0)), nnx.Param)[1])

    return jax.eval_shape(make)


def count(tree):
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def test_paper_preset_has_the_published_number_of_weights():
    """492 625 820 in audio-diffusion-pytorch 0.0.43, of which 64 x 512 are its null embeddings.

    Without text it is the network of MSDM's weakly supervised models: 405 491 100.

    Ours are the conditioner's, hence the difference of exactly that table. The count pins what
    shapes alone can: attention without biases, one norm for self-attention, two for the text,
    transposed convolutions of twice the factor, one block more per level on the way up where a
    level attends.
    """
    paper = shapes(UNet1dConfig.paper())
    assert count(paper) == 492_625_820 - 64 * 512
    blocks = [block for part in ("downs", "ups") for level in paper[part].values()
              for block in level["blocks"].values()]  # fmt: skip
    blocks += [paper["bottleneck"]["before"], paper["bottleneck"]["after"]]
    assert count(paper) - count([block["text"] for block in blocks]) == 405_491_100
    assert paper["downs"][0]["shrink"]["kernel"].shape == (9, 256, 512)
    assert paper["downs"][3]["shrink"]["kernel"].shape == (5, 1024, 1024)
    assert paper["ups"][0]["blocks"][2]["conv1"]["kernel"].shape == (3, 2048, 1024)
    assert paper["ups"][0]["grow"]["kernel"].shape == (4, 1024, 1024)
    assert paper["time"]["enter"]["kernel"].shape == (257, 1024)


def test_tiny_preset_is_tiny():
    """About 1.5 million weights, at windows of any multiple of 256 samples."""
    assert 1.3e6 < count(shapes(UNet1dConfig.tiny())) < 1.7e6
    assert UNet1dConfig.tiny().multiple == 256


def test_windows_of_the_paper_fit():
    """2^18 samples are 32 positions at the bottleneck: one per 8192 samples."""
    assert UNet1dConfig.paper().multiple == 8192


@pytest.mark.parametrize("wrong", [{"blocks": (2, 2)}, {"attentions": (True,)}, {"factors": (4,)}])
def test_levels_that_do_not_match_are_refused(wrong):
    """Every level needs a factor, a number of blocks, a choice of attention and a width."""
    with pytest.raises(ValueError, match=r"factors has \d+ levels"):
        UNet1dConfig(**wrong)


def test_patches_are_folded_and_unfolded():
    """Folding moves neighbouring samples into one position; unfolding is its inverse."""
    unet = nnx.eval_shape(lambda: UNet1d(UNet1dConfig.tiny(), rngs=nnx.Rngs(0)))
    x = np.arange(2 * 64 * 2, dtype=np.float32).reshape(2, 64, 2)
    folded = unet._fold(x)
    assert folded.shape == (2, 4, 32)
    np.testing.assert_array_equal(folded[0, 1, :16], x[0, 16:32, 0])
    np.testing.assert_array_equal(unet._unfold(folded), x)
