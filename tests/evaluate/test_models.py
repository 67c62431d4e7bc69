"""A model on songs, from the scorecard to the files; its separator is nearly right by design."""

import csv
import json

import numpy as np
import pytest
import soundfile
from evaluate.tones import CHUNK, HOP, LABELS, QUICK, RATE, FakeModel, song_of, stems_of
from numpy.testing import assert_allclose

from gmsdi_jax.baselines import static
from gmsdi_jax.data import Settings, WholeTrack, write_split
from gmsdi_jax.errors import ConfigError, InputError, OutputError, UnavailableError
from gmsdi_jax.evaluate import STATIC, evaluate, evaluate_split, songs_of
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.metrics.scores import read_scores
from gmsdi_jax.metrics.si_sdr import si_sdr
from gmsdi_jax.metrics.summary import summarise


@pytest.fixture(scope="module")
def result():
    """Two methods, the second of which leaks more, on three songs; and what was announced."""
    spectra = static.StaticFilter(np.ones((2, 513)), LABELS, RATE)
    methods = {"sharp": QUICK, "leaky": SeparationConfig(guidance=3.0)}
    told = []
    found = evaluate(
        FakeModel(leak=0.1),  # type: ignore[arg-type]
        [song_of(seed) for seed in range(3)],
        methods,
        spectra=spectra,
        on_song=lambda *what: told.append(what),
    )
    return found, told


def test_methods_stand_above_the_baselines(result):
    """Rows in order: the methods as given, then static, mixture, silence and the oracle."""
    found, told = result
    names = [method.name for method in found.methods]
    assert names == ["sharp", "leaky", "static", "mixture", "silence", "oracle"]
    assert told == [(f"song {s}", name) for s in range(3) for name in ("sharp", "leaky")]
    assert [m.evaluations for m in found.methods] == [2, 12, None, None, None, None]
    assert all((m.real_time_factor is not None) == (m.name in names[:2]) for m in found.methods)


def test_scores_order_what_is_known_to_be_ordered(result):
    """The oracle beats 10 % leak beats 30 %; the mixture is at 0 dB, and so are flat spectra."""
    score = {m.name: summarise(m.rows).overall for m in result[0].methods}
    assert score["oracle"] > score["sharp"] > score["leaky"] > score["mixture"] + 3
    assert_allclose([score["mixture"], score["static"]], 0, atol=0.01)
    assert_allclose(score["sharp"], 20 * np.log10(0.9 / 0.1), atol=1)  # edges leak too


def test_scorecard_compares_the_first_method_with_each_baseline(result):
    """A table, one paired line per baseline but none for the oracle, and what was measured on."""
    found, _ = result
    text = str(found)
    score = {m.name: summarise(m.rows).overall for m in found.methods}
    for name in ("static", "mixture", "silence"):
        assert f"sharp over {name}: {score['sharp'] - score[name]:+.2f} dB, 95 % interval" in text
    assert "over oracle" not in text
    assert "over leaky" not in text
    assert text.endswith("3 songs, 12 windows of 4 s")
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:8]] == [
        m.name for m in found.methods
    ]


def test_scores_are_saved_row_by_row(result, tmp_path):
    """scores.csv has a row per method, song, window and stem; scorecard.md is the printed text."""
    found, _ = result
    found.save(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "scorecard.md").read_text() == f"{found}\n"
    with (tmp_path / "new" / "folder" / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 6 * 3 * 4 * 2
    rows = [row for row in rows if row["protocol"] == "active"]
    sharp = [float(r["improvement"]) for r in rows if (r["method"], r["stem"]) == ("sharp", "Low")]
    assert_allclose(np.mean(sharp), summarise(found.methods[0].rows).stems["Low"], rtol=1e-6)


def test_scores_that_cannot_be_saved(result, tmp_path):
    """A file where the folder should be is an OutputError."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="cannot write the scores"):
        result[0].save(tmp_path / "taken")


def test_only_windows_with_two_stems_count():
    """Where a stem is silent nothing is separated: those windows are not scored, or said so."""
    song = song_of(0, silent=[(1, 0, 6)])
    found = evaluate(FakeModel(), [song], {"m": QUICK})  # type: ignore[arg-type]
    windows = {row.window for row in found.methods[0].rows}
    assert windows == {2, 3}
    assert [m.name for m in found.methods] == ["m", "mixture", "silence", "oracle"]
    mute = song_of(0, silent=[(1, 0, 10)])
    with pytest.raises(InputError, match="no window was scored"):
        str(evaluate(FakeModel(), [mute], {"m": QUICK}))  # type: ignore[arg-type]


def test_nothing_to_evaluate():
    """No song, or a protocol that does not exist, is said in one line."""
    with pytest.raises(UnavailableError, match="no song"):
        evaluate(FakeModel(), [], {"m": QUICK})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"'strict' is unknown: use active or msdm"):
        evaluate(FakeModel(), [], {"m": QUICK}, protocol="strict")  # type: ignore[arg-type]


def test_a_split_is_evaluated_and_saved(model, split, tmp_path):
    """From shards and a model to the scorecard, with the static filter where its file exists."""
    folder = split.folder
    static.save(tmp_path / STATIC, static.StaticFilter(np.ones((2, 513)), LABELS, RATE))
    told = []
    text = evaluate_split(
        model,
        folder,
        {"direct": QUICK},
        songs=2,
        spectra=tmp_path / STATIC,
        out=tmp_path / "out",
        on_progress=lambda *what: told.append(what),
    )
    assert told == [("T0", "direct"), ("T1", "direct")]
    assert "direct over static" in text
    assert (tmp_path / "out" / "scorecard.md").read_text() == text + "\n"
    without = evaluate_split(model, folder, {"direct": QUICK}, songs=1, spectra=tmp_path / "none")
    assert "static" not in without


def test_both_protocols_are_always_computed(result):
    """msdm stands beside, also for silence, where it pays; the tail behind a chunk is cut there."""
    found, _ = result
    silence = next(method for method in found.methods if method.name == "silence")
    assert set(silence.beside) == {"msdm"}
    assert f"msdm pays {summarise(silence.beside['msdm']).overall:.2f} dB for silence" in str(found)
    other = evaluate(
        FakeModel(),  # type: ignore[arg-type]
        [song_of(0)],
        {"m": QUICK},
        protocol="msdm",
    )
    assert set(other.methods[0].beside) == {"active"}
    long = song_of(0, seconds=20)  # a chunk is 11.9 s at any rate
    windows = evaluate(FakeModel(), [long], {"m": QUICK}).methods[0]  # type: ignore[arg-type]
    assert max(row.window for row in windows.rows) == 8
    assert max(row.window for row in windows.beside["msdm"]) == 4


def test_seeds_are_of_methods_that_draw():
    """The read-out draws nothing and has one; the rows of the others count together."""
    model = FakeModel()
    methods = {"read": QUICK, "drawn": SeparationConfig(method="project", steps=2)}
    found = evaluate(model, [song_of(0), song_of(1)], methods, seeds=3)  # type: ignore[arg-type]
    assert model.made == [("direct", 0), ("project", 0), ("project", 1), ("project", 2)]
    read, drawn = found.methods[:2]
    assert len(drawn.rows) == 3 * len(read.rows)
    assert "drawn: standard deviation over 3 seeds 0.0" in str(found)
    assert "read: standard" not in str(found)
    assert "read over mixture" in str(found)
    with pytest.raises(ConfigError, match="seeds is 0"):
        evaluate(model, [song_of(0)], methods, seeds=0)  # type: ignore[arg-type]


def test_a_run_says_what_it_is(split, tmp_path):
    """evaluation.json, the two tables, and one row of tracks.csv per method, song and stem."""
    fake = FakeModel(leak=0.1)
    evaluate_split(fake, split.folder, {"m": QUICK}, songs=2, out=tmp_path)  # type: ignore[arg-type]
    said = json.loads((tmp_path / "evaluation.json").read_text())
    assert said["version"] == 1
    assert said["kind"] == "separation"
    assert (said["labels"], said["sample_rate"]) == (list(LABELS), RATE)
    assert said["protocols"] == ["active", "msdm"]
    assert said["methods"]["m"]["settings"]["method"] == "direct"
    assert said["methods"]["m"]["settings"]["overlap"] == 0.25
    assert said["methods"]["m"]["evaluations"] == 2
    assert said["methods"]["m"]["real_time_factor"] > 0
    baselines = {name for name, method in said["methods"].items() if method["baseline"]}
    assert baselines == {"mixture", "silence", "oracle"}
    assert said["model"]["sha256"] == "0" * 64
    assert said["data"]["fingerprint"] == split.fingerprint
    assert (said["data"]["songs"], said["data"]["seconds"], said["seeds"]) == (2, None, [0])
    scores = read_scores(tmp_path)
    assert {(score.method, score.track) for score in scores} == {
        (name, track) for name in said["methods"] for track in ("T0", "T1")
    }
    with (tmp_path / "tracks.csv").open() as file:
        tracks = list(csv.DictReader(file))
    assert len(tracks) == 4 * 2 * 2
    low = [float(row["sdr_median"]) for row in tracks if row["method"] == "m"]
    # A tenth of two equal tones is exchanged: two errors of 1 %. Windows' edges leak a little more.
    assert_allclose(low, -10 * np.log10(0.02), atol=0.5)
    assert all(float(r["stft_distance"]) > 1 for r in tracks if r["method"] == "silence")


def test_a_killed_evaluation_goes_on(split, tmp_path):
    """What was computed is not computed again, and the end is that of an undisturbed run."""
    methods = {"m": QUICK, "drawn": SeparationConfig(method="project", steps=2)}

    def run(folder, model, stop=99):
        told = []

        def progress(*what):
            told.append(what)
            if len(told) > stop:
                raise KeyboardInterrupt

        plans = []
        text = evaluate_split(
            model,
            split.folder,
            methods,
            songs=3,
            out=folder,
            on_plan=lambda *plan: plans.append(plan),
            on_progress=progress,
        )
        return text, told, plans

    whole, told, _ = run(tmp_path / "whole", FakeModel())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", FakeModel(), stop=3)
    damaged = next((tmp_path / "killed/results/00000").glob("m-0.json"))
    damaged.write_text(damaged.read_text()[:100])
    model = FakeModel()
    text, rest, plans = run(tmp_path / "killed", model)
    assert plans == [(2, 4)]
    assert rest == [told[0], *told[3:]]
    scores = [read_scores(tmp_path / name) for name in ("whole", "killed")]
    assert [repr(row) for row in scores[0]] == [repr(row) for row in scores[1]]
    again = FakeModel()
    assert run(tmp_path / "killed", again) == (text, [], [(6, 0)])
    assert again.calls == 0
    assert text.splitlines()[-1] == whole.splitlines()[-1]


def test_another_evaluation_in_the_same_folder_is_refused(split, tmp_path):
    """The first setting that differs is named, and nothing is touched."""

    def run(**options):
        methods = {"m": options.pop("config", QUICK)}
        return evaluate_split(
            FakeModel(),  # type: ignore[arg-type]
            split.folder,
            methods,
            songs=options.pop("songs", 1),
            out=tmp_path,
            **options,
        )

    run()
    before = (tmp_path / "scorecard.md").read_text()
    for options, key in (
        ({"songs": 2}, "songs was 1, is 2"),
        ({"seconds": 5.0}, "seconds was None, is 5.0"),
        ({"overlap": 0.0}, "overlap was 0.25, is 0.0"),
        ({"config": SeparationConfig(sigmas=(0.2,))}, "methods was"),
    ):
        with pytest.raises(ConfigError, match=rf"another evaluation \({key}"):
            run(**options)
    assert (tmp_path / "scorecard.md").read_text() == before
    run(protocol="msdm")  # which scores head the card is not what they depend on
    (tmp_path / "results/settings.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        run()


def test_audio_of_the_first_songs_is_kept(split, tmp_path):
    """Mixture, references and methods of one song; what is missing is made again."""

    def run(audio):
        fake = FakeModel()
        evaluate_split(fake, split.folder, {"m": QUICK}, songs=2, out=tmp_path, audio=audio)  # type: ignore[arg-type]
        return fake.calls

    assert run(0) > 0
    assert not (tmp_path / "audio").exists()
    assert run(1) > 0
    names = {str(p.relative_to(tmp_path / "audio")) for p in (tmp_path / "audio").rglob("*.*")}
    stems = [f"{folder}/{label}" for folder in ("reference", "m", "oracle") for label in LABELS]
    assert names == {f"T0/{name}.flac" for name in ("mixture", *stems)}
    song = next(iter(songs_of(split)))
    audio, rate = soundfile.read(tmp_path / "audio/T0/reference/High.flac")
    assert rate == RATE
    assert_allclose(audio, song.stems[1], atol=1e-6)
    audio, _ = soundfile.read(tmp_path / "audio/T0/m/High.flac")
    assert si_sdr(audio, song.stems[1]) > 20
    assert run(1) == 0


def test_clipped_audio_is_told(tmp_path):
    """flac ends at full scale; scores are of what was separated."""
    stems = 12 * stems_of(0)
    write_split(
        tmp_path / "loud",
        Settings(LABELS, sample_rate=RATE, chunk=CHUNK, hop=HOP, stems=True),
        [WholeTrack("T0", stems / np.abs(stems.sum(0)).max())],
    )
    said = []
    evaluate_split(
        FakeModel(leak=-0.5),  # type: ignore[arg-type]
        tmp_path / "loud",
        {"m": QUICK},
        out=tmp_path / "run",
        audio=1,
        say=said.append,
    )
    assert any("m/Low.flac" in line and "clipped" in line for line in said)


def test_a_method_is_not_called_as_a_baseline():
    with pytest.raises(ConfigError, match="'silence' is the name of a baseline"):
        evaluate(FakeModel(), [song_of(0)], {"silence": QUICK})  # type: ignore[arg-type]
