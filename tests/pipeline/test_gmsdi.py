"""The model as a user holds it: arrays and files in, stems that sum to them out."""

import json

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gmsdi_jax.audio import read, write
from gmsdi_jax.build import Model
from gmsdi_jax.config import ModelConfig
from gmsdi_jax.errors import ConfigError, InputError, NumericsError, UnavailableError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.models import TagsConfig, UNet1dConfig
from gmsdi_jax.pipeline import GMSDI, GenerationConfig
from gmsdi_jax.weights import save_model

LABELS = ("Bass", "Drums", "Guitar", "Piano")
QUICK = SeparationConfig(sigmas=(0.1,))
DRAW = GenerationConfig(steps=12, gamma=1.0)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (22050, 1), (48000, 1)])
def test_stems_and_residual_sum_to_the_song(model, song, rate, channels):
    """At the song's own rate, length and channels, for lengths that are no multiple of anything."""
    audio = song(9001, channels)
    result = model.separate(audio, config=QUICK, sample_rate=rate)
    assert tuple(result.stems) == LABELS
    assert result.sample_rate == rate
    for part in (*result.stems.values(), result.residual):
        assert (part.shape, part.dtype) == (audio.shape, np.float32)
    assert_allclose(result.mix + result.residual, audio, atol=5e-7)
    if rate == 22050:  # all stems are there and nothing was resampled: nothing is left
        assert np.abs(result.residual).max() < 1e-5


def test_the_models_rate_is_assumed_and_its_method_used(model, song):
    """An array without a rate is at the model's; without a config the model's own separation."""
    result = model.separate(song(3000))
    assert result.sample_rate == 22050
    assert result.info["settings"]["method"] == model.model.config.separation.method
    assert result.info["evaluations_per_window"] == 4 * 3


def test_the_seed_decides_the_noise(model, song):
    """Equal seeds give equal stems, other seeds others."""
    audio = song(3000)
    first, again, other = (
        model.separate(audio, ["Bass"], QUICK, seed=s).stems["Bass"] for s in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-5


def test_one_stem_alone_is_that_stem_against_the_rest(model, song):
    """Asking for Bass asks for Bass and for all others as one text, which is the residual.

    Asking for all four is another question: the read-out of Bass is the same, but it shares the
    mixture with three answers instead of one, so the stem differs.
    """
    audio, rest = song(6000), "Drums, Guitar, Piano"
    alone = model.separate(audio, ["Bass"], QUICK)
    pair = model.separate(audio, ["Bass", rest], QUICK)
    everything = model.separate(audio, None, QUICK)
    assert_allclose(alone.stems["Bass"], pair.stems["Bass"], atol=2e-6)
    assert_allclose(alone.residual, pair.stems[rest], atol=5e-6)
    assert np.abs(alone.stems["Bass"] - everything.stems["Bass"]).max() > 1e-4


def test_stems_come_in_the_order_asked_for(model, song):
    """Names in another order or case give the same stems under the names that were used."""
    audio = song(6000)
    first = model.separate(audio, LABELS, QUICK).stems
    second = model.separate(audio, ("piano", "Drums", "BASS", "Guitar"), QUICK).stems
    assert list(second) == ["piano", "Drums", "BASS", "Guitar"]
    assert_allclose(second["piano"], first["Piano"], atol=1e-6)
    assert_allclose(second["BASS"], first["Bass"], atol=1e-6)


def test_file_and_memory_agree(model, song, tmp_path):
    """`separate_file` writes what `separate` returns, and says how well it sums."""
    path = tmp_path / "a song.wav"
    write(path, song(30_000, 2), 44100)
    result = model.separate(path, ["Bass", "Guitar, Piano"], QUICK, overlap=0.5)
    separator = model.separator(["Bass", "Guitar, Piano"], QUICK)
    told = []
    info = model.separate_file(
        path, tmp_path / "out", separator, overlap=0.5, on_progress=lambda *t: told.append(t)
    )
    parts = {**result.stems, "residual": result.residual}
    for name, expected in parts.items():
        file = {"Guitar, Piano": "guitar-piano", "Bass": "bass"}.get(name, name)
        found, rate = read(tmp_path / "out" / f"{file}.wav")
        assert rate == 44100
        assert_allclose(found, expected, atol=1e-6)
    assert (tmp_path / "out" / "gmsdi.json").read_text() == json.dumps(info, indent=2) + "\n"
    assert (info["frames"], info["channels"], info["sample_rate"]) == (30_000, 2, 44100)
    assert info["input"] == "a song.wav"
    assert info["sum_error_dbfs"] < -120
    power = [np.mean(np.square(a, dtype=np.float64)) for a in (result.residual, song(30_000, 2))]
    assert_allclose(info["residual_db"], 10 * np.log10(power[0] / power[1]), atol=0.06)
    seconds = 30_000 / 44100
    assert told[-1] == (seconds, seconds)
    assert len(told) == 7 + 1  # 15000 samples of the model, 4096 at a time, every 2048; the end
    assert told == sorted(told)


def test_results_are_saved_with_their_provenance(model, song, tmp_path):
    """Stems, residual and gmsdi.json; without a residual the mix."""
    result = model.separate(song(3000), ["Bass", "Guitar, Piano"], QUICK)
    paths = result.save(tmp_path)
    names = ["bass.wav", "guitar-piano.wav", "residual.wav", "gmsdi.json"]
    assert [path.name for path in paths] == names
    info = json.loads(paths[-1].read_text())
    assert (info["task"], info["model"], info["seed"]) == ("separate", "tiny", 0)
    assert_array_equal(read(paths[0])[0], result.stems["Bass"])


@pytest.mark.parametrize("shape", [(0, 1), (100,), (1, 2, 3)])
def test_a_song_is_samples_by_channels(model, shape):
    """Anything but [t c] with a sample in it is an InputError that tells the shape."""
    with pytest.raises(InputError, match=r"must be an array \[t c\]"):
        model.separate(np.zeros(shape, np.float32))


def test_a_model_on_disk_is_the_model(model, song, tmp_path):
    """from_pretrained gives the same stems, and a name and a digest for provenance."""
    save_model(tmp_path / "mine", model.model.config, model.params)
    again = GMSDI.from_pretrained(tmp_path / "mine")
    audio = song(3000)
    first, second = (m.separate(audio, ["Bass"], QUICK) for m in (model, again))
    assert_array_equal(first.stems["Bass"], second.stems["Bass"])
    assert second.info["model"] == "mine"
    assert len(second.info["model_sha256"]) == 64
    with pytest.raises(UnavailableError, match=r"no config.json"):
        GMSDI.from_pretrained(tmp_path)


def test_generation_follows_text_seed_and_length(model):
    """As many stems as prompts, of the length asked for; the seed decides them."""
    first, again, other = (model.generate(["Bass", "Drums"], 0.3, DRAW, seed=s) for s in (0, 0, 1))
    assert list(first.stems) == ["Bass", "Drums"]
    for name, stem in first.stems.items():
        assert stem.shape == (round(0.3 * 22050), 1)
        assert np.isfinite(stem).all()
        assert_array_equal(stem, again.stems[name])
        assert np.abs(stem - other.stems[name]).max() > 1e-3
    assert np.abs(first.stems["Bass"] - first.stems["Drums"]).max() > 1e-3
    assert first.residual is None
    assert (first.info["task"], first.info["known"], first.info["seed"]) == ("generate", [], 0)


@pytest.mark.parametrize("form", ["sum", "mixture"])
def test_forms_of_coupling_are_different_models(model, form):
    """The three readings of the paper draw different stems from the same noise."""
    config = GenerationConfig(steps=12, gamma=1.0, form=form)
    first, second = (model.generate(["Bass", "Drums"], 0.1, c) for c in (DRAW, config))
    assert np.isfinite(second.mix).all()
    assert np.abs(first.mix - second.mix).max() > 0.2 * first.mix.std()


def test_accompaniment_keeps_what_it_is_given(model, song, tmp_path):
    """Known stems, from an array or a file at another rate, come back; the new one is drawn."""
    bass = song(4000)
    write(tmp_path / "drums.wav", song(8000, 2, seed=1), 44100)
    result = model.accompany(
        {"Bass": bass, "Drums": tmp_path / "drums.wav"}, ["Piano"], DRAW, seed=3
    )
    assert list(result.stems) == ["Bass", "Drums", "Piano"]
    assert_allclose(result.stems["Bass"], bass, atol=1e-6)
    drums, _ = read(tmp_path / "drums.wav", 22050, mono=True)
    assert_allclose(result.stems["Drums"], drums, atol=1e-6)
    assert result.stems["Piano"].shape == (4000, 1)
    assert np.abs(result.stems["Piano"]).max() > 1e-3
    assert result.info["task"] == "accompany"
    assert result.info["known"] == ["Bass", "Drums"]


def test_accompaniment_may_be_longer_than_what_it_goes_with(model, song):
    """After the end of a known stem there is silence in it."""
    bass = song(1000)
    stems = model.accompany({"Bass": bass}, ["Drums"], DRAW, seconds=2000 / 22050).stems
    assert_allclose(stems["Bass"][:1000], bass, atol=1e-6)
    assert_allclose(stems["Bass"][1000:], 0, atol=1e-6)
    assert stems["Drums"].shape == (2000, 1)


def test_lengths_are_rounded_up_to_what_the_network_needs():
    """A U-Net draws whole patches; what was not asked for is cut off again."""
    network = UNet1dConfig.tiny(8)
    config = ModelConfig(network=network, conditioner=TagsConfig(features=8), window=512)
    unet = GMSDI(config, Model(config).init(jax.random.key(0)))
    drawn = unet.generate(["Bass"], 300 / 22050, GenerationConfig(steps=2))
    assert drawn.stems["Bass"].shape == (300, 1)


LONG = 10_000  # samples: two and a half windows


@pytest.mark.parametrize("long", ["joined", "continued"])
def test_long_pieces_keep_what_is_known(model, song, long):
    """Longer than a window: the given stem comes back as it was, and the seed decides."""
    bass = song(LONG)
    config = GenerationConfig(steps=6, gamma=2.0, long=long)
    found = model.accompany({"Bass": bass}, ["Drums"], config, seed=3).stems
    assert found["Drums"].shape == (LONG, 1)
    assert_allclose(found["Bass"], bass, atol=1e-6)
    again = model.accompany({"Bass": bass}, ["Drums"], config, seed=3).stems
    assert_array_equal(again["Drums"], found["Drums"])
    assert np.abs(found["Drums"]).reshape(-1, 1000).max(1).min() > 1e-6


def test_continued_windows_begin_with_what_was_drawn(model):
    """The first window of a long piece is the piece of one window, and stays."""
    config = GenerationConfig(steps=6, gamma=2.0, long="continued")
    long = model.generate(["Bass", "Drums"], LONG / 22050, config).stems
    short = model.generate(["Bass", "Drums"], 4096 / 22050, config).stems
    for name in long:
        assert_allclose(long[name][:4096], short[name], atol=1e-6)


def test_windows_and_steps_never_draw_the_same_noise(model, monkeypatch):
    """Every window of a continued piece has its own key, none that a step of another one folds."""
    folded, used = jax.random.fold_in, []
    monkeypatch.setattr(jax.random, "fold_in", lambda k, n: used.append(n) or folded(k, n))
    config = GenerationConfig(steps=2, long="continued")
    model.generate(["Bass"], LONG / 22050, config)
    numbers = [n for n in used if isinstance(n, int) and n != 2**31 - 1]  # that is the first noise
    assert len(set(numbers)) == 3 == len(numbers)
    assert min(numbers) > 2**20


def test_resampled_steps_are_counted(model):
    """Each step taken twice: another draw, and twice the evaluations."""
    once, twice = (
        model.generate(["Bass"], 0.1, GenerationConfig(steps=6, resamples=n)) for n in (1, 2)
    )
    assert np.abs(once.mix - twice.mix).max() > 1e-4
    assert [r.info["evaluations_per_stem"] for r in (once, twice)] == [12, 24]


@pytest.mark.parametrize("seconds", [0.1, 3 * 4096 / 22050])
def test_negative_prompts_of_what_is_drawn(model, seconds):
    """One stem's negative moves that stem alone; the null, spelled for all, is no change; a short
    piece and one of several windows pair texts and negatives alike."""
    guided = GenerationConfig(steps=4, guidance=2.0, gamma=1e6)  # stems know nothing of each other

    def drawn(**options):
        found = model.generate(["Bass", "Drums"], seconds, guided, seed=3, **options)
        return found.stems["Bass"], found.stems["Drums"]

    plain, same = drawn(), drawn(negatives={"Drums": ""})
    bass, drums = drawn(negatives={"drums": "Piano"})
    assert_allclose(same, plain, rtol=1e-5, atol=1e-6)
    assert_allclose(bass, plain[0], rtol=1e-5, atol=1e-6)
    assert np.abs(drums - plain[1]).max() > 1e-3
    both = drawn(negative="Piano")
    assert_allclose(both[1], drums, rtol=1e-5, atol=1e-6)
    assert np.abs(both[0] - bass).max() > 1e-3
    given = {"Bass": np.zeros((800, 1), np.float32)}
    with_it = model.accompany(given, ["Drums"], guided, negatives={"Drums": "Piano"})
    assert with_it.info["negatives"] == {"Drums": "Piano"}


def test_the_second_piece_is_not_compiled_again(model, monkeypatch):
    """Other seeds and other stems of the same number run what was compiled for the first."""
    traced, denoiser = [], model.model.denoiser
    monkeypatch.setattr(model.model, "denoiser", lambda p: traced.append(1) or denoiser(p))
    config = GenerationConfig(steps=3, sigma_max=0.9)
    first, second = (model.generate([stem], 0.1, config, seed=1) for stem in ("Bass", "Drums"))
    assert len(traced) == 1
    assert np.abs(first.mix - second.mix).max() > 1e-4


def test_the_mixture_has_no_negative_of_its_own(model):
    """A coupling that asks for the mixture refuses negatives of single stems."""
    config = GenerationConfig(steps=4, guidance=2.0, form="mixture")
    with pytest.raises(ConfigError, match="take form difference or sum"):
        model.generate(["Bass", "Drums"], 0.1, config, negatives={"Drums": "Piano"})
    model.generate(["Bass", "Drums"], 0.1, config, negative="Piano")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate([]), "name at least one stem"),
        (lambda m: m.generate(["Bass", "bass"]), "name every stem once"),
        (lambda m: m.generate(["Violin"]), "'violin' is unknown"),
        (lambda m: m.generate(["Bass"], 0), "seconds is 0"),
        (lambda m: m.generate(["Bass"], 1201), "at most 1200"),
        (lambda m: GenerationConfig(form="magic"), "use difference, sum, mixture, projected"),
        (lambda m: GenerationConfig(long="magic"), "use joined, continued"),
        (lambda m: GenerationConfig(overlap=1.0), "overlap is 1.0"),
        (lambda m: GenerationConfig(resamples=0), "resamples is 0"),
        (lambda m: m.accompany({}, ["Bass"]), "at least one known stem"),
        (lambda m: m.accompany({"Bass": np.ones((9, 1))}, []), "one to add"),
        (lambda m: m.accompany({"Bass": np.ones((9, 1))}, ["Bass"]), "name every stem once"),
        (lambda m: GenerationConfig(steps=1), "steps is 1"),
        (
            lambda m: m.generate(["Bass", "Drums"], 0.1, GenerationConfig(gamma=0.01)),
            "gamma is too small for coupling form 'difference' on this grid of 100 steps",
        ),
    ],
)
def test_wishes_that_cannot_be_drawn_are_refused(model, call, message):
    """Before anything is computed, with the value and what is allowed."""
    with pytest.raises(ConfigError, match=message):
        call(model)


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (22050, 1)])
@pytest.mark.parametrize("frames", [1, 3000, 20_000])
def test_joined_stems_have_the_songs_length_and_sum(model, song, rate, channels, frames):
    """As one state: exact rate, length and channels, and stems and residual sum to the song."""
    audio = song(frames, channels)
    config = SeparationConfig(method="project", steps=3, sigmas=(0.1,))
    found = model.separate(audio, ["Bass", "Drums"], config, sample_rate=rate, joined=True)
    assert {stem.shape for stem in found.stems.values()} == {audio.shape}
    assert_allclose(sum(found.stems.values()) + found.residual, audio, atol=1e-6)
    assert found.info["settings"]["joined"] is True


def test_joined_is_the_same_where_there_is_one_window(model, song, tmp_path):
    """A song of one window hears the same noise either way; of several, it is joined otherwise."""
    config = SeparationConfig(method="project", steps=3, sigmas=(0.1,))
    for frames, alike in ((4000, True), (12_000, False)):
        audio = song(frames)
        both = [
            model.separate(audio, ["Bass"], config, joined=joined).stems["Bass"]
            for joined in (False, True)
        ]
        assert np.allclose(*both, atol=1e-5) == alike
    write(tmp_path / "song.wav", audio, 22050)
    separator = model.separator(["Bass"], config)
    model.separate_file(tmp_path / "song.wav", tmp_path / "out", separator, joined=True)
    assert_allclose(read(tmp_path / "out/bass.wav")[0], both[1], atol=1e-4)


def test_uncertainty_is_a_map_of_what_draws_disagree_about(model, song):
    """One map per stem, 0 to 1; a method without draws has none."""
    audio = song(6000, 2)
    config = SeparationConfig(method="project", steps=3, sigmas=(0.1,), draws=3, fft=256)
    found = model.separator(["Drums", "Bass"], config).uncertainty(audio, 0.25)
    assert found.shape == (2, -(-(6000 + 192) // 64), 129)
    assert 0 <= found.min() < found.max() <= 1
    with pytest.raises(ConfigError, match="draws of at least 2"):
        model.separator(["Bass"], SeparationConfig(draws=3)).uncertainty(audio, 0.25)


def test_joined_songs_have_a_limit(model, monkeypatch, song):
    """Memory grows with the song: beyond the limit it is refused with the way out."""
    monkeypatch.setattr("gmsdi_jax.pipeline.joined.MAX_SECONDS", 0.1)
    with pytest.raises(ConfigError, match=r"joined separation takes at most 0.1 s"):
        model.separate(song(9000), ["Bass"], QUICK, joined=True)


@pytest.mark.parametrize("shape", [(100,), (100, 2), (0, 1)])
def test_known_stems_are_mono_samples(model, shape):
    """A known stem of another shape is an InputError that names it."""
    with pytest.raises(InputError, match=r"known stem 'Bass' must be mono samples \[t 1\]"):
        model.accompany({"Bass": np.ones(shape, np.float32)}, ["Drums"], DRAW)


def test_a_draw_of_nan_is_an_error(model):
    """A model that answers NaN does not return it as music."""
    broken = GMSDI(model.model.config, jax.tree.map(lambda leaf: leaf * np.nan, model.params))
    with pytest.raises(NumericsError, match="answered NaN"):
        broken.generate(["Bass", "Drums"], 0.1, DRAW)
