"""What each listener hears, and that an answer is computed once."""

import shutil

import numpy as np
import pytest
from encoders.tiny import TINY_CLAP, t5_folder
from generation.audio import RATE, encoders, pieces, sound, vggish_folder
from numpy.testing import assert_allclose, assert_array_equal
from parity.vggish_case import NARROW

from gmsdi_jax.encoders import VggishEncoder
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError
from gmsdi_jax.generation import Cut, Store, find_clips, listen, open_listeners
from gmsdi_jax.generation import store as module
from gmsdi_jax.generation.listeners import VARIANTS, sound_meter


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return encoders(tmp_path_factory.mktemp("encoders"))


@pytest.fixture(scope="module")
def listeners(folders):
    return open_listeners(folders, VARIANTS)


@pytest.fixture
def songs(tmp_path):
    return pieces(tmp_path / "songs", [0, 1], stems=("bass", "piano"))


def test_names_and_keys(listeners, folders, tmp_path):
    """Variants of one VGGish differ in their key, as other weights do; a copy does not."""
    assert [ear.name for ear in listeners] == ["VGGish gudgud96", "VGGish google", "CLAP"]
    other = open_listeners([vggish_folder(tmp_path / "other", seed=1)])
    assert len({ear.key for ear in [*listeners, *other]}) == 4
    shutil.copytree(folders[0], tmp_path / "copy")
    assert open_listeners([tmp_path / "copy"])[0].key == listeners[0].key


def test_the_variants_of_vggish(listeners, folders):
    """Google hears every half second of audio at its peak, so its answers know no volume."""
    clip = sound("piano", 0)[None]
    gudgud96, google = (ear.hear(clip, RATE)[0] for ear in listeners[:2])
    assert (len(gudgud96), len(google)) == (2, 3)
    assert_allclose(gudgud96, VggishEncoder.from_folder(folders[0]).audio(clip, RATE), rtol=1e-5)
    louder, peaked = (ear.hear(30 * clip, RATE)[0] for ear in listeners[:2])
    assert_allclose(peaked, google, atol=1e-4)
    assert np.abs(louder - gudgud96).max() > 0.1
    assert_allclose(listeners[0].hear(clip / clip.max(), RATE)[0, 0], google[0], atol=1e-4)


def test_clap_hears_and_reads(listeners):
    """One unit vector per clip, and per text, in one space."""
    clips = np.stack([sound("piano", seed, 1.0) for seed in range(4)])
    heard = listeners[2].hear(clips, RATE)
    assert heard.shape == (4, 1, TINY_CLAP.joint)
    read = listeners[2].words(["piano", "drums"])
    assert read.shape == (2, TINY_CLAP.joint)
    for vectors in (heard[:, 0], read):
        assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_the_meter():
    """Half a second of silence in two is none of two seconds; a silent clip has no loudness."""
    silent, loud = np.zeros(2 * RATE), sound("piano", 0)
    rows = sound_meter().hear(
        np.stack([silent, loud, np.where(np.arange(2 * RATE) < RATE, 0, loud)]), RATE
    )
    assert_allclose(rows[:, 0, 0], [1, 0, 0.5])
    assert rows[0, 0, 1] == -np.inf
    assert -25 < rows[1, 0, 1] < -10


def test_what_was_heard_is_not_read_again(listeners, songs, tmp_path, monkeypatch):
    """Nor computed: equal bits from the store, under other names too; a changed file is new."""
    clips = find_clips(songs, None, Cut(1.0))
    ears = [listeners[0], sound_meter()]
    store = tmp_path / "embeddings"
    first = listen(clips, ears, Store(store))
    assert [len(rows) for rows in first] == [8] * 2
    reads = []
    read = module.load
    monkeypatch.setattr(module, "load", lambda source: reads.append(source.track) or read(source))
    again = listen(clips, ears, Store(store))
    for one, other in zip(first, again, strict=True):
        for a, b in zip(one, other, strict=True):
            assert_array_equal(a, b)
    shutil.copytree(songs, tmp_path / "elsewhere")
    listen(find_clips(tmp_path / "elsewhere", None, Cut(1.0)), ears, Store(store))
    assert reads == []
    shutil.copy(songs / "song0" / "bass.wav", songs / "song1" / "piano.wav")
    changed = listen(find_clips(songs, None, Cut(1.0)), ears, Store(store))
    assert reads == []  # these bytes were heard elsewhere
    assert_array_equal(changed[0][-1], first[0][1])
    listen(find_clips(songs, None, Cut(0.98)), listeners[:1], Store(store))
    assert reads == ["song0/bass.wav", "song0/piano.wav", "song1/bass.wav", "song1/piano.wav"]


def test_batches_do_not_change_answers(listeners, songs, tmp_path):
    """Clips of two lengths in turn, heard in groups and one by one."""
    clips = [
        clip
        for some in zip(*(find_clips(songs, None, Cut(s)) for s in (0.98, 1.0)), strict=True)
        for clip in some
    ]
    clips.sort(key=lambda clip: clip.source)
    ears = listeners[:1]
    together = listen(clips, ears, Store(tmp_path / "a"))
    alone = [listen([clip], ears, Store(tmp_path / "b")) for clip in clips[:5]]
    for number in range(len(ears)):
        for rows, one in zip(together[number], alone, strict=False):
            assert_allclose(rows, one[number][0], atol=1e-5)


def test_a_damaged_entry_is_made_again(listeners, songs, tmp_path):
    clips = find_clips(songs, None, Cut(1.0))[:1]
    store = Store(tmp_path / "store")
    ((first,),) = listen(clips, listeners[:1], store)
    (entry,) = store.folder.rglob("*.npy")
    for damage in (entry.read_bytes()[:-9], b"", b"no array"):
        entry.write_bytes(damage)
        ((again,),) = listen(clips, listeners[:1], store)
        assert_array_equal(again, first)
        assert_array_equal(np.load(entry), first)


def test_what_cannot_be_heard(listeners, folders, songs, tmp_path):
    with pytest.raises(UnavailableError, match=r"gone: no encoder here: get vggish.*gmsdi convert"):
        open_listeners([tmp_path / "gone"])
    with pytest.raises(ConfigError, match="hears no audio"):
        open_listeners([t5_folder(tmp_path / "t5")])
    clips = find_clips(songs, None, Cut(0.9))
    with pytest.raises(InputError, match=r"bass.wav: 0.90 s are too short for VGGish"):
        listen(clips, listeners[:1], Store(tmp_path / "store"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --cache"):
        listen(clips, [sound_meter()], Store(tmp_path / "file"))


def test_the_least_length_is_enough(listeners):
    """At rates whose conversion rounds; and what is heard is one example."""
    for rate in (8000, 16000, 22050, 44100, 48000):
        clip = np.zeros((1, int(np.ceil(listeners[0].least * rate))))
        assert listeners[0].hear(clip, rate).shape == (1, 1, NARROW.features)
