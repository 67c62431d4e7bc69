import numpy as np
import pytest

from gmsdi_jax.data import ChunkRecord, Settings, cut, decode, encode
from gmsdi_jax.data.records import safe_gain
from gmsdi_jax.errors import InputError


def tones(length, classes=4, amplitude=0.2):
    t = np.arange(length) / 22050
    return np.stack(
        [amplitude * np.sin(2 * np.pi * 110 * (k + 1) * t) for k in range(classes)]
    ).astype(np.float32)


def records_of(stems, chunk, hop, with_stems, activity=None, name="a"):
    labels = tuple("ABCD"[: len(stems)])
    return list(cut(name, stems, Settings(labels, 22050, chunk, hop, stems=with_stems), activity))


@pytest.mark.parametrize("with_stems", [False, True])
def test_decode_inverts_encode(with_stems):
    for record in records_of(tones(2500), 1024, 256, with_stems, name="Track00001 é"):
        again = decode(encode(record))
        for before, after in zip(record, again, strict=True):
            if isinstance(before, np.ndarray):
                assert before.dtype == after.dtype
                np.testing.assert_array_equal(before, after)
            else:
                assert before == after


def test_decode_makes_views_only():
    data = encode(records_of(tones(1024), 1024, 256, True)[0])
    record = decode(data)
    assert record.stems is not None
    for array in (record.mixture, record.levels, record.stems):
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert array.ctypes.data % array.itemsize == 0


def test_cut_pads_the_last_chunk_and_keeps_its_true_length():
    stems = tones(2500)
    records = records_of(stems, 1024, 256, True)
    assert [record.valid for record in records] == [1024, 1024, 452]
    assert [record.index for record in records] == [0, 1, 2]
    assert not records[2].mixture[452:].any()
    mixture = np.concatenate([record.mixture for record in records])[:2500] / 32768
    np.testing.assert_allclose(mixture, stems.sum(0), atol=0.51 / 32768)


def test_mixture_is_the_sum_of_the_stems_to_rounding():
    record = records_of(tones(1024), 1024, 256, True)[0]
    difference = record.mixture.astype(int) - record.stems.astype(int).sum(0)
    assert np.abs(difference).max() <= 2  # (4 stems + 1 mixture) roundings of half a step


def test_levels_are_mean_squares_per_frame():
    stems = np.zeros((2, 512), np.float32)
    stems[0, :256] = 0.5
    stems[1, 256:384] = -0.5
    levels = records_of(stems, 512, 256, False)[0].levels
    np.testing.assert_allclose(levels, [[0.25, 0], [0, 0.125]], rtol=1e-6)


def test_levels_from_elsewhere_are_cut_with_the_track_and_end_in_silence():
    activity = np.zeros((2, 5), np.float32)
    activity[0, 3:], activity[1, 0] = 1, 1
    first, second = records_of(np.full((2, 1792), 0.1, np.float32), 1024, 256, False, activity)
    np.testing.assert_array_equal(first.levels, [[0, 0, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_array_equal(second.levels, [[1, 0, 0, 0], [0, 0, 0, 0]])


def test_tracks_with_other_stems_than_the_settings_are_refused():
    with pytest.raises(InputError, match="a has 2 stems, not 4"):
        list(cut("a", tones(1024, 2), Settings(("A", "B", "C", "D"))))
    mixture = list(cut("a", tones(1024, 1), Settings(("x", "y"), presence="track")))
    assert mixture[0].levels.shape == (1, 128)


def test_safe_gain_keeps_sum_and_stems_below_full_scale():
    quiet = np.full((4, 8), 0.2, np.float32)
    assert safe_gain(quiet) == 1.0
    np.testing.assert_allclose(safe_gain(2 * quiet), 0.999 / 1.6, rtol=1e-6)
    cancelling = np.array([[1.5], [-1.5]], np.float32)
    np.testing.assert_allclose(safe_gain(cancelling), 0.999 / 1.5, rtol=1e-6)


@pytest.mark.parametrize("damage", ["empty", "magic", "short", "header"])
def test_damaged_bytes_are_an_input_error(damage):
    data = encode(records_of(tones(1024), 1024, 256, False)[0])
    broken = {
        "empty": b"",
        "magic": b"XXXX" + data[4:],
        "short": data[: len(data) // 2],
        "header": data[:8] + b"?" + data[9:],
    }[damage]
    with pytest.raises(InputError, match="not a record"):
        decode(broken)


def test_record_without_stems_is_small():
    stems = tones(1024)
    with_stems, without = (records_of(stems, 1024, 256, w)[0] for w in (True, False))
    assert isinstance(without, ChunkRecord)
    assert without.stems is None
    assert len(encode(with_stems)) - len(encode(without)) == 4 * 1024 * 2
