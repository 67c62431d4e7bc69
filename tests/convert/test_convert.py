"""Published weights are recognised and converted whole, or refused in one line that says why."""

import json
import re

import numpy as np
import pytest
from convert.small import CONFIGS, checkpoint, prefixed, small
from numpy.testing import assert_array_equal

from gmsdi_jax.arrays import digest
from gmsdi_jax.convert import convert, write_state
from gmsdi_jax.errors import ConfigError, UnavailableError


def folder_of(tmp_path, name, **more):
    """A folder of Hugging Face's with a config.json."""
    folder = tmp_path / name
    checkpoint(folder / "model.safetensors", name, **more)
    (folder / "config.json").write_text(json.dumps(small(name).told))
    return folder


@pytest.mark.parametrize("name", CONFIGS)
def test_every_format_is_recognised_and_comes_out_to_the_bit(name, tmp_path):
    """Names and arrays; the sizes, except for what no array of CLAP's tells."""
    found = convert(folder_of(tmp_path, name))
    assert found.format.name == name
    if "clap" not in name:
        assert found.config == small(name).config
    assert found.arrays.keys() == small(name).ours.keys()
    for key, array in small(name).ours.items():
        assert_array_equal(found.arrays[key], array)
    assert found.notes == []


def test_the_source_is_kept_in_mind(tmp_path):
    path = checkpoint(tmp_path / "vggish.pth", "vggish-torch")
    provenance = convert(path).provenance
    assert provenance["source"] == "vggish.pth"
    assert provenance["source_sha256"] == digest(path)
    assert provenance["published_as"] == "vggish-torch"
    assert set(provenance) == {"source", "source_sha256", "published_as", "gmsdi_jax"}


def test_half_precision_becomes_float32(tmp_path):
    halves = {key: a.astype(np.float16) for key, a in prefixed("vggish-torch").items()}
    write_state(tmp_path / "half.pt", halves)
    found = convert(tmp_path / "half.pt").arrays["layers.0.kernel"]
    assert found.dtype == np.float32
    assert_array_equal(found, halves["embeddings.0.weight"].T)


def test_the_copy_in_msdm_is_left_out_if_it_is_one(tmp_path):
    """`model.diffusion.net.*` repeats `model.unet.*`; where it does not, somebody must choose."""
    copies = {
        key.replace("model.unet.", "model.diffusion.net."): array
        for key, array in prefixed("msdm").items()
    }
    folder = folder_of(tmp_path, "msdm", **copies)
    assert_array_equal(convert(folder).arrays["network.time.weights"],
                       small("msdm").ours["network.time.weights"])  # fmt: skip
    copies["model.diffusion.net.to_time.0.0.weights"] = np.zeros(4, np.float32)
    folder = folder_of(tmp_path, "msdm", **copies)
    with pytest.raises(ConfigError, match=r"diffusion\.net\.to_time\.0\.0\.weights and model\.un"):
        convert(folder)
    ours = convert(folder, key="model.diffusion.net").arrays
    assert_array_equal(ours["network.time.weights"], np.zeros(4))


def test_a_tied_embedding_may_have_either_name(tmp_path):
    """And both, if they are equal."""
    theirs = dict(prefixed("t5"))
    table = theirs["shared.weight"]
    theirs["encoder.embed_tokens.weight"] = table
    write_state(tmp_path / "t5.pt", theirs)
    assert_array_equal(convert(tmp_path / "t5.pt").arrays["embed.embedding"], table)
    del theirs["shared.weight"]
    write_state(tmp_path / "t5.pt", theirs)
    assert_array_equal(convert(tmp_path / "t5.pt").arrays["embed.embedding"], table)
    write_state(tmp_path / "t5.pt", {**theirs, "shared.weight": table + 1})
    with pytest.raises(ConfigError, match=r"shared\.weight should be the same but differ"):
        convert(tmp_path / "t5.pt")


def test_names_below_others_are_found(tmp_path):
    """What all names start with is left out; one of several networks is chosen with a key."""
    wrapped = {f"generator.net.{key}": a for key, a in small("vggish-torch").theirs.items()}
    write_state(tmp_path / "a.pt", wrapped)
    found = convert(tmp_path / "a.pt")
    assert found.notes == ["all names start with generator.net., which was left out"]
    assert found.arrays.keys() == small("vggish-torch").ours.keys()
    write_state(tmp_path / "b.pt", {**wrapped, "critic.weight": np.zeros(2, np.float32)})
    with pytest.raises(UnavailableError, match=r"no format that is known here has such names: cri"):
        convert(tmp_path / "b.pt")
    assert convert(tmp_path / "b.pt", key="generator.net").arrays.keys() == found.arrays.keys()


def refusal(tmp_path, name, **changes) -> str:
    """Why weights are refused of which some were changed, or left out (None)."""
    theirs = {**prefixed(name), **changes}
    path = tmp_path / "weights.pt"
    write_state(path, {key: array for key, array in theirs.items() if array is not None})
    with pytest.raises(UnavailableError) as error:
        convert(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_what_is_missing_unknown_or_misshapen_is_named(tmp_path):
    """Under the names in the file."""
    changes = {
        "unet.bottleneck.pre_block.block1.project.bias": None,
        "unet.bottleneck.colour": np.zeros(16, np.float32),
        "unet.to_mapping.2.bias": np.zeros(3, np.float32),
    }
    assert refusal(tmp_path, "adp-0.0.43", **changes).endswith(
        "does not fit the U-Net of audio-diffusion-pytorch 0.0.43: "
        "bottleneck.pre_block.block1.project.bias is missing; bottleneck.colour is unknown; "
        "to_mapping.2.bias gives network.time.second.bias the shape (3,), not (32,)"
    )


def test_five_differences_are_named_and_the_likely_cause(tmp_path):
    more = {f"critic.{i}.weight": np.zeros(2, np.float32) for i in range(7)}
    message = refusal(tmp_path, "vggish-torch", **more)
    assert message.count("is unknown") == 5
    assert "and 2 more. All of these start with critic.: a second network?" in message
    gone = {key: None for key in prefixed("adp-0.0.43") if re.search("cross_|upsample", key)}
    assert "Many are missing: is the file whole?" in refusal(tmp_path, "adp-0.0.43", **gone)


def test_a_part_of_several_files_says_so(tmp_path):
    theirs = prefixed("vggish-torch")
    del theirs["embeddings.2.bias"]
    write_state(tmp_path / "model-00001-of-00002.safetensors", theirs)
    with pytest.raises(UnavailableError, match="one of several files: name their folder"):
        convert(tmp_path / "model-00001-of-00002.safetensors")


def test_sizes_without_sense_are_no_traceback(tmp_path):
    """A layer is gone, whole numbers, a setting of another type: one line each."""
    message = refusal(tmp_path, "vggish-torch", **{"embeddings.0.bias": np.zeros(16, np.int64)})
    assert "layers.0.bias would be of int64" in message
    folder = folder_of(tmp_path, "msdm")
    (folder / "config.json").write_text('{"attention_heads": "many"}')
    with pytest.raises(UnavailableError, match="does not fit the U-Net of a multi-source"):
        convert(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(UnavailableError, match=r"config\.json holds no JSON object"):
        convert(folder)


def test_a_format_can_be_named(tmp_path):
    """One that does not fit is refused; one that does not exist gets a hint."""
    path = checkpoint(tmp_path / "vggish.pt", "vggish-torch")
    assert convert(path, "vggish-torch").format.name == "vggish-torch"
    with pytest.raises(UnavailableError, match="does not fit a T5 encoder"):
        convert(path, "t5")
    with pytest.raises(ConfigError, match=r"format 'vggish' is unknown: did you mean vggish-t"):
        convert(path, "vggish")
