"""The mixture of every window here spells its labels, so that audio and tokens can be compared.

Class k plays a constant of 0.01 * 2**k: the sum names the set of classes that play.
"""

import itertools

import numpy as np
import pytest

from gmsdi_jax.data import Settings, ShardWriter, WindowConfig, cut, open_split, training_batches
from gmsdi_jax.errors import ConfigError, InputError

LABELS = ("Bass", "Drums", "Guitar", "Piano")
AMPLITUDES = 0.01 * 2.0 ** np.arange(4)
CHUNK, HOP, WINDOW = 4096, 256, 1024


def write(folder, sets, length=CHUNK):
    """One track per set of classes, each with a gap of silence in its middle."""
    with ShardWriter(folder, Settings(LABELS, chunk=CHUNK, hop=HOP)) as writer:
        for number, present in enumerate(sets):
            stems = np.zeros((4, length), np.float32)
            stems[list(present)] = AMPLITUDES[list(present), None]
            stems[:, length // 2 : length // 2 + WINDOW] = 0
            writer.write_track(cut(f"T{number}", stems, CHUNK, HOP, with_stems=False))
        writer.finish()
    return open_split(folder)


ALL_SETS = [s for n in range(1, 5) for s in itertools.combinations(range(4), n)]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data") / "train", [(), *ALL_SETS])


def take(split, count=6, batch=8, seed=0, config=None, **options):
    config = config or WindowConfig()
    iterator = training_batches(split, WINDOW, batch, seed, config, **options)
    return [next(iterator) for _ in range(count)]


def loudest(audio):
    """The set of classes that plays in each window, read off the audio itself."""
    codes = np.rint(np.abs(audio[..., 0]).max(1) / 0.01).astype(int)
    return (codes[:, None] >> np.arange(4)) & 1 == 1


def assert_equal(a, b):
    np.testing.assert_array_equal(a.audio, b.audio)
    np.testing.assert_array_equal(a.interference, b.interference)
    np.testing.assert_array_equal(a.prompt.ids, b.prompt.ids)
    np.testing.assert_array_equal(a.prompt.mask, b.prompt.mask)


MIXED = WindowConfig(mixing=0.75, gain_db=(-6, 6), polarity=True)


def test_shapes_and_dtypes(split):
    batch = take(split, count=1)[0]
    assert batch.audio.shape == batch.interference.shape == (8, WINDOW, 1)
    assert batch.audio.dtype == batch.interference.dtype == np.float32
    assert batch.prompt.ids.shape == batch.prompt.mask.shape == (8, 4)
    assert batch.prompt.ids.dtype == np.int32
    assert batch.prompt.mask.dtype == np.bool_
    np.testing.assert_array_equal(batch.prompt.ids, np.tile(np.arange(4), (8, 1)))


def test_default_recipe_is_plain_mixtures(split):
    for batch in take(split):
        assert not batch.interference.any()
        np.testing.assert_array_equal(batch.prompt.mask, loudest(batch.audio))


def test_labels_are_of_the_window_and_never_empty(split):
    # The track without any class and the silent gaps are drawn again.
    for batch in take(split, count=20):
        assert batch.prompt.mask.any(axis=1).all()


def test_gate_is_the_rms_over_the_window(tmp_path):
    split = write(tmp_path / "train", [(0,)])
    # A window that holds n of its 4 frames of 0.01 has rms 0.01 sqrt(n / 4).
    for batch in take(split, count=10, config=WindowConfig(gate=0.0099)):
        assert (np.count_nonzero(batch.audio[..., 0], axis=1) == WINDOW).all()
    quarter = take(split, count=10, config=WindowConfig(gate=0.0049))
    assert min(np.count_nonzero(batch.audio, axis=(1, 2)).min() for batch in quarter) < WINDOW


@pytest.mark.parametrize("config", [WindowConfig(), MIXED])
def test_same_seed_same_batches(split, config):
    runs = [take(split, config=config, seed=3) for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert_equal(a, b)
    other = take(split, config=config, seed=4)
    assert any((a.audio != b.audio).any() for a, b in zip(runs[0], other, strict=True))


def test_restored_state_gives_the_same_next_batch(split):
    iterator = training_batches(split, WINDOW, 8, 0, MIXED)
    for _ in range(3):
        next(iterator)
    state = iterator.get_state()
    assert state == {"next_index": 3}
    expected = [next(iterator) for _ in range(3)]
    for steps in (0, 5):  # a fresh iterator, and one that has run ahead
        again = training_batches(split, WINDOW, 8, 0, MIXED)
        for _ in range(steps):
            next(again)
        again.set_state(state)
        for a in expected:
            assert_equal(a, next(again))


@pytest.mark.parametrize("processes", [2, 4])
def test_global_batch_does_not_depend_on_the_number_of_processes(split, processes):
    whole = take(split, config=MIXED)
    parts = [
        take(split, config=MIXED, process_index=i, process_count=processes)
        for i in range(processes)
    ]
    for number, batch in enumerate(whole):
        for i in range(processes):
            np.testing.assert_array_equal(parts[i][number].audio, batch.audio[i::processes])
            np.testing.assert_array_equal(
                parts[i][number].interference, batch.interference[i::processes]
            )


def test_every_chunk_comes_once_per_epoch(tmp_path):
    split = write(tmp_path / "train", ALL_SETS)
    first = take(split, count=3, batch=5)
    codes = sorted(np.concatenate([loudest(b.audio) @ (1 << np.arange(4)) for b in first]).tolist())
    assert codes == list(range(1, 16))


@pytest.mark.parametrize("least", [1, 2])
def test_interference_shares_no_label(split, least):
    config = WindowConfig(mixing=1.0, min_labels=least)
    mixed = 0
    for batch in take(split, count=20, config=config):
        target, other = loudest(batch.audio), loudest(batch.interference)
        np.testing.assert_array_equal(batch.prompt.mask, target)
        assert not (target & other).any()
        assert other.any(axis=1).all()
        assert target.sum(1).min() >= least
        assert other.sum(1).min() >= least
        mixed += len(target)
    assert mixed == 160


def test_mixing_is_the_share_of_mixed_examples(split):
    mixed = np.concatenate(
        [b.interference.any(axis=(1, 2)) for b in take(split, count=60, config=MIXED)]
    )
    assert abs(mixed.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / mixed.size)


def test_no_pair_to_be_found_leaves_plain_examples(tmp_path):
    split = write(tmp_path / "train", [(0, 1, 2, 3), (0, 1, 2), (2, 3)])
    for batch in take(split, config=WindowConfig(mixing=1.0, tries=5)):
        assert not batch.interference.any()
        assert batch.prompt.mask.any(axis=1).all()


def test_gains_and_signs_are_independent_and_in_range(split):
    config = WindowConfig(mixing=1.0, gain_db=(-6, 6), polarity=True)
    ratios = []
    for batch in take(split, count=20, config=config):
        peak = batch.audio[..., 0][np.arange(8), np.abs(batch.audio[..., 0]).argmax(1)]
        ratios.append(peak / (batch.prompt.mask @ AMPLITUDES))
        other = np.sign(batch.interference.sum(axis=(1, 2)))
        ratios[-1] = np.stack([ratios[-1], other])
    gains, others = np.concatenate(ratios, axis=1)
    decibels = 20 * np.log10(np.abs(gains))
    assert decibels.min() > -6.1
    assert decibels.max() < 6.1
    assert decibels.min() < -4
    assert decibels.max() > 4
    signs = np.sign(gains)
    # The mean of 160 fair signs has a standard deviation of .08.
    assert abs(signs.mean()) < 0.4
    assert abs((signs * others).mean()) < 0.4


def test_balance_sets_the_share_of_label_counts(split):
    config = WindowConfig(balance=(0.5, 0.0, 0.5), tries=500)
    counts = np.concatenate(
        [b.prompt.mask.sum(1) for b in take(split, count=40, batch=10, config=config)]
    )
    assert set(counts.tolist()) == {1, 3}
    assert abs((counts == 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(counts.size)


@pytest.mark.parametrize("tail", [WINDOW - 100, 1500])
def test_windows_stay_out_of_the_padding(tmp_path, tail):
    with ShardWriter(tmp_path / "train", Settings(LABELS, chunk=CHUNK, hop=HOP)) as writer:
        stems = np.full((4, CHUNK + tail), 0.1, np.float32)
        writer.write_track(cut("a", stems, CHUNK, HOP, with_stems=False))
        writer.finish()
    for batch in take(open_split(tmp_path / "train"), count=10):
        assert (batch.audio != 0).all()


def test_window_longer_than_every_track_is_an_input_error(tmp_path):
    split = write(tmp_path / "train", [(0,)], length=WINDOW - 1)
    with pytest.raises(InputError, match="shorter window"):
        take(split, count=1)


def test_silent_data_is_an_input_error(tmp_path):
    split = write(tmp_path / "train", [()])
    with pytest.raises(InputError, match="reaches the gate"):
        take(split, count=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 1000}, "hop 256"),
        ({"window": 2 * CHUNK}, "larger chunk"),
        ({"batch": 3, "process_count": 2}, "does not divide"),
        ({"process_index": 1}, "process_index"),
        ({"config": WindowConfig(mixing=0.5, min_labels=3)}, "disjoint"),
        ({"config": WindowConfig(balance=(1, 1, 1, 1, 1))}, "4 labels"),
    ],
)
def test_contradictions_are_refused(split, arguments, message):
    options = {"window": WINDOW, "batch": 4, "seed": 0, **arguments}
    with pytest.raises(ConfigError, match=message):
        training_batches(split, **options)


@pytest.mark.parametrize(
    "fields",
    [{"mixing": 1.5}, {"gain_db": (3, -3)}, {"min_labels": 0}, {"balance": (0, 0)}, {"gate": -1.0}],
)
def test_recipes_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError):
        WindowConfig(**fields)
