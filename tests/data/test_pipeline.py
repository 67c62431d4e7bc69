"""The mixture of every window here spells its labels, so that audio and tokens can be compared.

Class k plays a constant of 0.01 * 2**k: the sum names the set of classes that play.
"""

import itertools

import numpy as np
import pytest

from gmsdi_jax.data import (
    Settings,
    WholeTrack,
    WindowConfig,
    open_split,
    training_batches,
    write_split,
)
from gmsdi_jax.errors import ConfigError, InputError

LABELS = ("Bass", "Drums", "Guitar", "Piano")
AMPLITUDES = 0.01 * 2.0 ** np.arange(4)
CHUNK, HOP, WINDOW = 4096, 256, 1024


def write(folder, sets, length=CHUNK, stems=False):
    """One track per set of classes, each with a gap of silence in its middle."""
    tracks = []
    for number, present in enumerate(sets):
        audio = np.zeros((4, length), np.float32)
        audio[list(present)] = AMPLITUDES[list(present), None]
        audio[:, length // 2 : length // 2 + WINDOW] = 0
        tracks.append(WholeTrack(f"T{number}", audio))
    write_split(folder, Settings(LABELS, chunk=CHUNK, hop=HOP, stems=stems), tracks)
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
    batch = take(split, count=1, config=MIXED)[0]
    assert batch.audio.shape == batch.interference.shape == (8, WINDOW, 1)
    assert batch.audio.dtype == batch.interference.dtype == np.float32
    assert batch.prompt.ids.shape == batch.prompt.mask.shape == (8, 4)
    assert batch.prompt.ids.dtype == np.int32
    assert batch.prompt.mask.dtype == np.bool_
    np.testing.assert_array_equal(batch.prompt.ids, np.tile(np.arange(4), (8, 1)))


def test_default_recipe_is_plain_mixtures(split):
    for batch in take(split):
        assert batch.interference is None
        np.testing.assert_array_equal(batch.prompt.mask, loudest(batch.audio))


def test_labels_are_of_the_window_and_never_empty(split):
    # The track without any class and the silent gaps are drawn again.
    for batch in take(split, count=20):
        assert batch.prompt.mask.any(axis=1).all()


def test_gate_is_the_rms_over_the_window(tmp_path):
    split = write(tmp_path / "train", [(0,)])
    # A window that holds n of its 4 frames of 0.01 has rms 0.01 sqrt(n / 4).
    for batch in take(split, count=10, config=WindowConfig(gate=0.0099, shift=False)):
        assert (np.count_nonzero(batch.audio[..., 0], axis=1) == WINDOW).all()
    quarter = take(split, count=10, config=WindowConfig(gate=0.0049, shift=False))
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


def test_windows_may_be_longer_than_records(tmp_path):
    """A ramp tells where each window was cut: any sample of the track, and never beyond its end."""
    length = 5 * CHUNK + 700
    ramp = np.arange(length, dtype=np.float32) / 32768
    write_split(
        tmp_path / "train",
        Settings(("Bass",), chunk=CHUNK, hop=HOP),
        [WholeTrack("a", ramp[None]), WholeTrack("b", np.full((1, CHUNK), 0.9, np.float32))],
    )
    split, window = open_split(tmp_path / "train"), 2 * CHUNK + HOP
    for shift in (True, False):
        batches = training_batches(split, window, 8, 0, WindowConfig(shift=shift))
        starts = []
        for _ in range(40):
            audio = np.rint(next(batches).audio[..., 0] * 32768).astype(int)
            np.testing.assert_array_equal(np.diff(audio, axis=1), 1)
            starts += audio[:, 0].tolist()
        assert min(starts) < CHUNK / 4
        assert length - window - max(starts) < CHUNK / 4
        assert max(starts) <= length - window
        assert any(start % HOP for start in starts) == shift


def test_sums_hold_the_union_of_both_windows_labels(tmp_path):
    tracks = [WholeTrack(f"T{k}", np.zeros((4, CHUNK), np.float32)) for k in range(4)]
    for k, track in enumerate(tracks):
        track.stems[k] = AMPLITUDES[k]
    write_split(tmp_path / "train", Settings(LABELS, chunk=CHUNK, hop=HOP), tracks)
    counts = np.zeros(3, int)
    for batch in take(open_split(tmp_path / "train"), count=30, config=WindowConfig(sums=0.5)):
        counts += np.bincount(batch.prompt.mask.sum(1), minlength=3)
        codes = np.rint(batch.audio[:, 0, 0] / 0.01).astype(int)
        alone = batch.prompt.mask.sum(1) == 1
        named = np.rint(batch.prompt.mask @ AMPLITUDES / 0.01).astype(int)
        assert (codes[~alone] == named[~alone]).all()
        # Two windows of one class are its double.
        assert (np.isin(codes[alone] / named[alone], (1, 2))).all()
    # Half of 240 are sums, of which a quarter are of one class.
    assert abs(counts[2] - 90) < 5 * np.sqrt(240 * 0.375 * 0.625)
    assert counts[0] == 0


def test_submixes_are_random_parts_of_the_stems(tmp_path):
    split = write(tmp_path / "train", [(0, 1, 2, 3)], stems=True)
    found = set()
    for batch in take(split, count=20, config=WindowConfig(submixes=1.0)):
        np.testing.assert_array_equal(batch.prompt.mask, loudest(batch.audio))
        found |= {tuple(mask) for mask in batch.prompt.mask.tolist()}
    assert len(found) == 15


def damage(split, record):
    """Flips a bit in the middle of a record's samples."""
    path = split.folder / split.manifest.shards[0].file
    data = path.read_bytes()
    sample = split[record].mixture[:64].tobytes()
    assert data.count(sample) == 1
    place = data.index(sample) + 5
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])


def test_a_damaged_record_is_named_once_replaced_and_capped(tmp_path):
    rng = np.random.default_rng(0)
    tracks = [WholeTrack(f"T{n}", rng.uniform(-0.1, 0.1, (4, CHUNK))) for n in range(6)]
    tracks = [track._replace(stems=track.stems.astype(np.float32)) for track in tracks]
    write_split(tmp_path / "train", Settings(LABELS, chunk=CHUNK, hop=HOP), tracks)
    damage(open_split(tmp_path / "train"), 2)
    split = open_split(tmp_path / "train")
    with pytest.raises(InputError, match="damaged at record 2"):
        take(split, count=3)
    runs, told = [], []
    for _ in range(2):
        told.append([])
        config = WindowConfig(max_bad=1)
        runs.append(take(split, count=6, config=config, on_damage=told[-1].append))
    assert [len(messages) for messages in told] == [1, 1]
    assert "record 2" in told[0][0]
    assert "1 of at most 1" in told[0][0]
    for a, b in zip(*runs, strict=True):
        assert_equal(a, b)
    damage(split, 4)
    with pytest.raises(InputError, match=r"damaged at record .*max_bad allows 1"):
        take(open_split(tmp_path / "train"), count=6, config=WindowConfig(max_bad=1))


def test_labels_of_tracks_reach_the_batches(tmp_path):
    sound = np.full((1, CHUNK), 0.1, np.float32)
    tracks = [WholeTrack("a", sound, ("slow",)), WholeTrack("b", sound / 2, ())]
    made = Settings(("rock", "slow"), chunk=CHUNK, hop=HOP, presence="track")
    write_split(tmp_path / "train", made, tracks)
    for batch in take(open_split(tmp_path / "train")):
        expected = np.where(batch.audio[:, 0] > 0.07, [False, True], [False, False])
        np.testing.assert_array_equal(batch.prompt.mask, expected)


def test_audio_without_labels_has_no_tokens(tmp_path):
    made = Settings((), chunk=CHUNK, hop=HOP, presence="track")
    write_split(tmp_path / "train", made, [WholeTrack("a", np.full((1, CHUNK), 0.1, np.float32))])
    batch = take(open_split(tmp_path / "train"), count=1)[0]
    assert batch.prompt.mask.shape == (8, 0)
    np.testing.assert_allclose(batch.audio, 0.1, atol=1e-4)


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
    stems = np.full((4, CHUNK + tail), 0.1, np.float32)
    write_split(
        tmp_path / "train", Settings(LABELS, chunk=CHUNK, hop=HOP), [WholeTrack("a", stems)]
    )
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
        ({"batch": 3, "process_count": 2}, "does not divide"),
        ({"process_index": 1}, "process_index"),
        ({"config": WindowConfig(mixing=0.5, min_labels=3)}, "disjoint"),
        ({"config": WindowConfig(balance=(1, 1, 1, 1, 1))}, "4 labels"),
        ({"config": WindowConfig(submixes=0.5)}, "holds no stems"),
    ],
)
def test_contradictions_are_refused(split, arguments, message):
    options = {"window": WINDOW, "batch": 4, "seed": 0, **arguments}
    with pytest.raises(ConfigError, match=message):
        training_batches(split, **options)


@pytest.mark.parametrize(
    "fields",
    [
        {"mixing": 1.5},
        {"gain_db": (3, -3)},
        {"min_labels": 0},
        {"balance": (0, 0)},
        {"gate": -1.0},
        {"sums": -0.1},
        {"submixes": 2.0},
        {"max_bad": -1},
    ],
)
def test_recipes_out_of_range_are_refused(fields):
    with pytest.raises(ConfigError):
        WindowConfig(**fields)
