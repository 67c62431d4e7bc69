"""Our weights go back under the published names, in files that PyTorch's safe loader reads.

That it does was seen with PyTorch 2.13: ``record_checkpoints.py --check FILE.pt``.
"""

import pickletools
import zipfile

import numpy as np
import pytest
from convert.small import CONFIGS, small
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import load_file

from gmsdi_jax.convert import convert, named, published, write_state
from gmsdi_jax.convert.files import read_weights
from gmsdi_jax.errors import ConfigError, OutputError


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("name", CONFIGS)
def test_names_are_the_published_ones(name, suffix, tmp_path):
    """Every array of theirs, to the bit, after it was ours; without the prefix of a checkpoint."""
    ours, theirs = small(name).ours, small(name).theirs
    write_state(tmp_path / f"x{suffix}", published(ours, named(name), small(name).config))
    found = read_weights(tmp_path / f"x{suffix}").arrays
    assert found.keys() == theirs.keys()
    for key, array in theirs.items():
        assert found[key].tobytes() == array.tobytes()
        assert found[key].shape == array.shape


def test_what_was_exported_is_converted(tmp_path):
    """There, back and there again."""
    ours = small("t5").ours
    write_state(tmp_path / "x.pt", published(ours, named("t5"), small("t5").config))
    again = convert(tmp_path / "x.pt").arrays
    assert all(again[key].tobytes() == array.tobytes() for key, array in ours.items())


def test_a_pt_file_is_what_the_safe_loader_takes(tmp_path):
    """Members by PyTorch's names, and no global but the three that tensors are made of."""
    held = {"größe.a": np.float32([[1, 2], [3, 4]]), "b": np.array(5, np.float32)}
    write_state(tmp_path / "x.pt", held)
    with zipfile.ZipFile(tmp_path / "x.pt") as archive:
        assert {name.partition("/")[2] for name in archive.namelist()} == {
            "data.pkl", "byteorder", "data/0", "data/1", "version",
        }  # fmt: skip
        operations = list(pickletools.genops(archive.read("archive/data.pkl")))
        assert archive.read("archive/data/0") == held["größe.a"].tobytes()
    assert {argument for op, argument, _ in operations if op.name == "GLOBAL"} == {
        "collections OrderedDict", "torch FloatStorage", "torch._utils _rebuild_tensor_v2",
    }  # fmt: skip
    found = read_weights(tmp_path / "x.pt").arrays
    assert_array_equal(found["größe.a"], held["größe.a"])
    assert found["b"].shape == ()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_arrays_may_lie_in_memory_in_any_way(suffix, tmp_path):
    """Views are written as what they show; a size of 0x71.... is no end of a pickle's string."""
    numbers = np.arange(12, dtype=np.float32)
    held = {"transposed": numbers.reshape(3, 4).T, "second": numbers[::2]}
    held["large"] = np.zeros((0, 0x710000), np.float32)
    write_state(tmp_path / f"x{suffix}", held)
    found = read_weights(tmp_path / f"x{suffix}").arrays
    for key, array in held.items():
        assert_array_equal(found[key], array)


def test_safetensors_say_that_they_are_of_pytorch(tmp_path):
    """transformers refuses files that do not."""
    write_state(tmp_path / "x.safetensors", {"a": np.zeros(2, np.float32)})
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    assert load_file(tmp_path / "x.safetensors")["a"].shape == (2,)


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match=r"x\.pt: cannot be written \(No space left"):
        write_state(tmp_path / "x.pt", {"a": np.zeros(2, np.float32)})
    assert not list(tmp_path.iterdir())


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match=r"x\.zip: name a file that ends in \.pt, "):
        write_state(tmp_path / "x.zip", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"x\.pt: cannot be written"):
        write_state(tmp_path / "file" / "x.pt", {"a": np.zeros(2, np.float32)})
    with pytest.raises(ConfigError, match=r"t5: head has no name in that format"):
        published({"head": np.zeros(2)}, named("t5"), small("t5").config)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
