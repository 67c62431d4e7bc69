"""Files of weights: PyTorch's two kinds as it wrote them, safetensors, TensorFlow's, and junk."""

import json
import re
import sys
import types
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from convert.checkpoint_case import EMA, TOLD, arrays, numbers
from numpy.testing import assert_array_equal
from safetensors.numpy import save_file

from gmsdi_jax.convert import export
from gmsdi_jax.convert.files import TABLE, read_weights
from gmsdi_jax.errors import ConfigError, GMSDIError, UnavailableError

HERE = Path(__file__).parent
RECORDED = ["zip", "protocol4", "legacy"]


@pytest.mark.parametrize("kind", RECORDED)
def test_checkpoints_of_pytorch_are_read(kind):
    """Every type and way to lie in a storage; of hyper-parameters what is plain."""
    found = read_weights(HERE / f"{kind}.ckpt")
    assert found.arrays.keys() == arrays().keys()
    for name, array in arrays().items():
        assert_array_equal(found.arrays[name], array, strict=True)
    assert (found.told, found.others) == (TOLD, ["ema.model"])
    assert found.files == [HERE / f"{kind}.ckpt"]


@pytest.mark.parametrize("kind", RECORDED)
def test_arrays_are_views_of_the_file(kind):
    """Nothing is copied, and tensors that share a storage share it here."""
    found = read_weights(HERE / f"{kind}.ckpt").arrays
    assert np.shares_memory(found["plain"], found["tied"])
    assert np.shares_memory(found["plain"], found["transposed"])
    assert found["expanded"].strides[0] == 0
    assert not any(array.flags.writeable for array in found.values())


@pytest.mark.parametrize("kind", RECORDED)
def test_a_key_says_where_the_weights_are(kind):
    path = HERE / f"{kind}.ckpt"
    assert_array_equal(read_weights(path, "ema.model").arrays["weight"], EMA)
    assert read_weights(path, "state_dict").others == []
    with pytest.raises(
        ConfigError, match=r"ckpt: no weights below 'net'; there are state_dict, em"
    ):
        read_weights(path, "net")


def test_what_names_start_with_is_a_key(tmp_path):
    """Of PyTorch's files and of others."""
    held = {"a.b.weight": numbers(2), "a.bias": numbers(3), "c": numbers(4)}
    export.write_state(tmp_path / "x.pt", held)
    export.write_state(tmp_path / "x.safetensors", held)
    for name in ("x.pt", "x.safetensors"):
        assert read_weights(tmp_path / name, "a").arrays.keys() == {"b.weight", "bias"}
        with pytest.raises(ConfigError, match="no weights below 'b'; there are a, c"):
            read_weights(tmp_path / name, "b")


def archive(path: Path, pickled: bytes, compression=zipfile.ZIP_STORED, **members: bytes) -> Path:
    """A checkpoint with that pickle and these members, ``data_0`` for data/0."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in members.items():
            file.writestr(f"archive/{name.replace('_', '/')}", data)
    return path


def tensor(storage: int, offset: int, size: tuple, stride: tuple, kind="Float") -> bytes:
    """A pickle of ``{"x": tensor}``, whose storage 0 is said to hold so many numbers."""
    place = f"(Vstorage\nctorch\n{kind}Storage\nV0\nVcpu\nI{storage}\ntQ"
    sizes, strides = ("".join(f"I{n}\n" for n in numbers) for numbers in (size, stride))
    where = f"({place}I{offset}\n({sizes}t({strides}tI00\nNt"
    return f"}}Vx\nctorch._utils\n_rebuild_tensor_v2\n{where}Rs.".encode()


def test_big_endian_numbers(tmp_path):
    """As machines write them that are not of this kind."""
    for kind, dtype in (("Float", ">f4"), ("Long", ">i8"), ("Bool", "?")):
        data = np.array([1, 0, 1], dtype).tobytes()
        path = archive(
            tmp_path / "b.pt", tensor(3, 1, (2,), (1,), kind), byteorder=b"big", data_0=data
        )
        assert_array_equal(read_weights(path).arrays["x"], [0, 1])
    brain = np.array([1.5, -2], ml_dtypes.bfloat16).view("u2").byteswap().tobytes()
    path = archive(
        tmp_path / "b.pt", tensor(2, 0, (2,), (1,), "BFloat16"), byteorder=b"big", data_0=brain
    )
    assert_array_equal(read_weights(path).arrays["x"].astype(np.float32), [1.5, -2])


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (tensor(5, 0, (4,), (1,)), "storage 0 has fewer than its 5 numbers"),
        (tensor(4, 1, (4,), (1,)), "not a valid|strides"),
        (tensor(4, 0, (2,), (4,)), "not a valid|strides"),
        (tensor(4, 0, (-1,), (1,)), "no number of numbers"),
        (tensor(4, 3, (4,), (-1,)), "no number of numbers"),
        (tensor(4, 0, (2**50,), (0,)), "no number of numbers"),
        (tensor(4, 0, (2**40, 2), (0, 0)), "larger than the whole file"),
        (tensor(4, 0, (2**47, 2**47, 0), (0, 0, 0)), "."),
        (tensor(4, 0, (2,), (1, 1)), "."),
        (tensor(4, 0, (2,), (1,), "QInt8"), "numbers of type torch.QInt8Storage are not read"),
        (b"}Vx\nctorch._utils\n_rebuild_tensor_v2\n(VnoQI0\nttRs.", "."),
        (b"cmodels\nNet\n)R.", "an object of models.Net, .* save its state_dict"),
        (b"(I1\nl.", "holds a list, no weights"),
        (b"}Vepoch\nI1\ns.", "holds no weights; its keys are epoch"),
        (b"}.", "its keys are none"),
        (b"garbage", "."),
    ],
)
def test_tensors_stay_within_their_storages(tmp_path, pickled, why):
    """What a pickle claims is checked against what there is."""
    with pytest.raises(UnavailableError, match=why) as error:
        read_weights(archive(tmp_path / "x.pt", pickled, data_0=numbers(4).tobytes()))
    assert str(error.value).startswith(f"{tmp_path / 'x.pt'}: ")


def test_a_storage_may_be_a_part_of_another(tmp_path):
    """As before PyTorch 1.6: of storage 0 the two numbers from the second on."""
    pickled = tensor(4, 0, (2,), (1,)).replace(b"I4\ntQ", b"I4\n(Vview\nI1\nI2\nttQ")
    path = archive(tmp_path / "x.pt", pickled, data_0=numbers(4).tobytes())
    assert_array_equal(read_weights(path).arrays["x"], [1, 2])
    path = archive(tmp_path / "x.pt", pickled.replace(b"I1\nI2", b"I3\nI2"), data_0=bytes(16))
    with pytest.raises(UnavailableError, match="storage 0 has fewer than its 2 numbers"):
        read_weights(path)


def test_many_arrays_that_repeat_one_storage_are_refused(tmp_path):
    """Each is as small as the file, together they fill the memory."""
    one = tensor(4, 0, (60,), (0,))[1:-2]
    pickled = b"}(" + b"".join(one.replace(b"Vx\n", b"Vx%d\n" % i) for i in range(400)) + b"u."
    path = archive(tmp_path / "x.pt", pickled, data_0=numbers(4).tobytes())
    assert len(read_weights(path).arrays) == 400
    path = archive(tmp_path / "x.pt", pickled.replace(b"I60\n", b"I9999\n"), data_0=bytes(16))
    with pytest.raises(UnavailableError, match="many times larger than the file"):
        read_weights(path)


def test_weights_at_several_places_need_a_key(tmp_path):
    one = tensor(4, 0, (4,), (1,))[:-1]
    path = archive(
        tmp_path / "x.pt", b"}Vunet\n" + one + b"sVema\n" + one + b"s.", data_0=numbers(4).tobytes()
    )
    assert read_weights(path).others == ["unet"]
    path = archive(
        tmp_path / "x.pt", b"}Vunet\n" + one + b"sVvae\n" + one + b"s.", data_0=numbers(4).tobytes()
    )
    with pytest.raises(ConfigError, match="weights below unet, vae: choose with --key"):
        read_weights(path)


def test_an_archive_that_is_none_of_pytorch(tmp_path):
    pickled, data = tensor(4, 0, (4,), (1,)), numbers(4).tobytes()
    path = archive(tmp_path / "x.pt", pickled, zipfile.ZIP_DEFLATED, data_0=data)
    with pytest.raises(UnavailableError, match=r"data\.pkl is compressed or encrypted"):
        read_weights(path)
    with pytest.raises(UnavailableError, match="data/0 is missing in the archive"):
        read_weights(archive(tmp_path / "x.pt", pickled))
    np.savez(tmp_path / "x.npz", a=numbers(3))
    with pytest.raises(UnavailableError, match=r"without data\.pkl: no checkpoint of PyTorch"):
        read_weights(tmp_path / "x.npz")
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UnavailableError, match="a pickle, but not of PyTorch"):
        read_weights(tmp_path / "x.pkl")


@pytest.mark.parametrize("kind", [*RECORDED, "safetensors"])
def test_damage_is_one_line(kind, tmp_path, rng):
    """Cut off anywhere, or with any byte changed: read, or refused by name."""
    source = HERE / f"{kind}.ckpt"
    if kind == "safetensors":
        source = tmp_path / "whole.safetensors"
        save_file({"a": numbers(3), "b": numbers(2, 2)}, source)
    whole, path = source.read_bytes(), tmp_path / "x"
    refused = 0
    for cut in range(0, len(whole), 61):
        path.write_bytes(whole[:cut])
        with pytest.raises(UnavailableError, match=re.escape(str(path))):
            read_weights(path)
    for place in rng.integers(0, len(whole), 400):
        path.write_bytes(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
        try:
            read_weights(path)
        except GMSDIError:
            refused += 1
    assert 0 < refused < 400


def test_safetensors_of_every_type(tmp_path):
    held = {
        "brain": numbers(4).astype(ml_dtypes.bfloat16),
        "half": numbers(2, 2).astype(np.float16),
        "single": numbers(3, 2),
        "scalar": np.array(3.0),
        "empty": numbers(0, 2),
        "long": np.arange(3),
    }
    save_file(held, tmp_path / "x.safetensors", {"format": "pt"})
    found = read_weights(tmp_path / "x.safetensors").arrays
    assert found.keys() == held.keys()
    for name, array in held.items():
        assert_array_equal(found[name], array, strict=True)


def test_a_header_may_not_lie(tmp_path):
    path = tmp_path / "x.safetensors"
    for entry, why in (
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}, "speaks of more than there is"),
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, "."),
        ({"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}, "of type F8_E4M3"),
        ({"dtype": "F32", "shape": [2]}, "not a valid safetensors file"),
        (3, "not a valid safetensors file"),
    ):
        header = json.dumps({"a": entry}).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
        with pytest.raises(UnavailableError, match=why):
            read_weights(path)


def test_a_folder_of_several_files_is_one_dict(tmp_path):
    """As its index says, or either of the files that it names."""
    save_file({"a": numbers(2)}, tmp_path / "model-1.safetensors")
    save_file({"b": numbers(3)}, tmp_path / "model-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    )
    (tmp_path / "config.json").write_text('{"d_model": 8}')
    for source in (tmp_path, index):
        found = read_weights(source)
        assert found.arrays.keys() == {"a", "b"}
        assert found.told == {"d_model": 8}
        assert [path.name for path in found.files] == ["model-1.safetensors", "model-2.safetensors"]
    index.write_text(json.dumps({"weight_map": {"a": "../../secret"}}))
    with pytest.raises(UnavailableError, match="no valid index of files beside it"):
        read_weights(tmp_path)


def test_a_folder_with_one_file(tmp_path):
    with pytest.raises(
        UnavailableError, match=r"no weights here: name a file, or a folder with mod"
    ):
        read_weights(tmp_path)
    export.write_state(tmp_path / "pytorch_model.bin", {"a": numbers(2)})
    assert_array_equal(read_weights(tmp_path).arrays["a"], [0, 1])
    save_file({"a": numbers(3)}, tmp_path / "model.safetensors")
    assert_array_equal(read_weights(tmp_path).arrays["a"], [0, 1, 2])
    (tmp_path / "config.json").write_text('{"d_model": 8}')
    assert read_weights(tmp_path / "model.safetensors").told == {"d_model": 8}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "run git lfs pull"),
        (b"\x00" * 257 + b"ustar  " + b"\x00" * 300, "a tar archive: unpack it"),
        (b"\x1f\x8b\x08", "compressed: unpack it"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"some words that are no weights", "neither a checkpoint of PyTorch or TensorFlow nor"),
    ],
)
def test_what_is_no_file_of_weights_is_called_by_its_name(tmp_path, data, why):
    (tmp_path / "x.ckpt").write_bytes(data)
    with pytest.raises(UnavailableError, match=rf"x\.ckpt: .*{why}"):
        read_weights(tmp_path / "x.ckpt")


def test_no_file_is_one_line(tmp_path):
    with pytest.raises(UnavailableError, match=r"gone\.ckpt: no such file$"):
        read_weights(tmp_path / "gone.ckpt")


class Reader:
    """TensorFlow's reader, as far as it is used."""

    def __init__(self, path):
        self.path = path

    def get_variable_to_shape_map(self):
        return {"vggish/conv1/weights": [3]}

    def get_tensor(self, name):
        return numbers(3)


def test_tensorflow_reads_its_own(tmp_path, monkeypatch):
    """Both versions of its checkpoints, where it is installed."""
    old, index = tmp_path / "old.ckpt", tmp_path / "new.ckpt.index"
    old.write_bytes(b"..." + TABLE)
    index.write_bytes(b"..." + TABLE)
    numbers_file = tmp_path / "new.ckpt.data-00000-of-00001"
    numbers_file.write_bytes(b"...")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UnavailableError, match="pip install tensorflow-cpu"):
        read_weights(old)
    tf = types.ModuleType("tensorflow")
    tf.train = types.SimpleNamespace(
        load_checkpoint=lambda path: opened.append(path) or Reader(path)
    )  # type: ignore[attr-defined]
    tf.errors = types.SimpleNamespace(OpError=ArithmeticError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorflow", tf)
    opened: list[str] = []
    for source, prefix, files in (
        (old, old, [old]),
        (index, tmp_path / "new.ckpt", [index, numbers_file]),
        (tmp_path / "new.ckpt", tmp_path / "new.ckpt", [index, numbers_file]),
    ):
        found = read_weights(source)
        assert opened.pop() == str(prefix)
        assert found.files == files
        assert_array_equal(found.arrays["vggish/conv1/weights"], [0, 1, 2])
