"""MiniSlakh on disk, with a renderer of pure tones: layout, metadata, mixing, resuming, errors."""

import json
import shutil
import sys
from pathlib import Path

import mido
import numpy as np
import pyloudnorm
import pytest
import soundfile
import yaml

from data_pipelines.minislakh.build import SPLITS, Job, build, make_track, plan, split_counts
from data_pipelines.minislakh.compose import CLASSES, UNSEEN, Composition, compose
from data_pipelines.minislakh.render import (
    SAMPLE_RATE,
    FluidSynth,
    find_fluidsynth,
    find_soundfont,
)
from data_pipelines.minislakh.track import write_track
from gmsdi_jax.errors import ConfigError, UnavailableError

SECONDS = 6.0


class Tones:
    """Plays every note of a MIDI file as a sine; stops from render number `fail_at` on."""

    def __init__(self, name: str = "tones", fail_at: int = 10**9) -> None:
        self.name = name
        self.fail_at = fail_at
        self.rendered = 0

    def describe(self) -> dict[str, str]:
        return {"renderer": self.name}

    def __call__(self, midi: Path, samples: int) -> np.ndarray:
        self.rendered += 1
        if self.rendered >= self.fail_at:
            raise KeyboardInterrupt
        sound, now, begun = np.zeros(samples), 0.0, {}
        for message in mido.MidiFile(midi):
            now += message.time
            if message.type == "note_on":
                begun[message.note] = now
            elif message.type == "note_off":
                a, b = int(begun[message.note] * SAMPLE_RATE), int(now * SAMPLE_RATE)
                pitch = 440 * 2 ** ((message.note - 69) / 12)
                sound[a:b] += 0.1 * np.sin(2 * np.pi * pitch * np.arange(b - a) / SAMPLE_RATE)
        return sound.astype(np.float32)


def with_oddity(name: str) -> Composition:
    """The first composition of 6 s that shows an oddity in its stems."""
    for seed in range(500):
        piece = compose(seed, SECONDS)
        classes = [part.inst_class for part in piece.parts]
        shown = {
            "doubled": classes.count(str(piece.oddities.doubled)) == 2,
            "unrendered": any(not part.rendered for part in piece.parts),
            "false_flags": piece.oddities.false_flags,
            "plain": len(classes) == 4 and not piece.oddities.false_flags,
        }
        if shown[name]:
            return piece
    raise AssertionError(name)


def read_track(place: Path) -> tuple[dict, np.ndarray, dict[str, np.ndarray]]:
    metadata = yaml.safe_load((place / "metadata.yaml").read_text())
    stems = {f.stem: soundfile.read(f)[0] for f in sorted((place / "stems").glob("*.flac"))}
    return metadata, soundfile.read(place / "mix.flac")[0], stems


@pytest.mark.parametrize("oddity", ["plain", "doubled", "unrendered", "false_flags"])
def test_a_track_has_the_layout_and_the_mixing_rules_of_slakh(tmp_path: Path, oddity: str) -> None:
    piece, place = with_oddity(oddity), tmp_path / "Track00001"
    write_track(place, piece, Tones())
    metadata, mix, stems = read_track(place)

    names = [f"S{i:02d}" for i in range(len(piece.parts))]
    assert sorted(p.name for p in place.iterdir()) == [
        "MIDI",
        "all_src.mid",
        "metadata.yaml",
        "mix.flac",
        "stems",
    ]
    assert sorted(p.stem for p in (place / "MIDI").iterdir()) == names
    assert sorted(metadata["stems"]) == names
    assert list(tmp_path.iterdir()) == [place]
    info = soundfile.info(place / "mix.flac")
    assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
    assert {len(x) for x in stems.values()} == {len(mix)} == {round(SECONDS * SAMPLE_RATE)}

    # Rounding to 16 bits moves each stem and the mix by half a step at most.
    error = np.max(np.abs(mix - sum(stems.values()))) * 2**15
    assert error <= (len(stems) + 1) / 2 + 0.05
    assert np.max(np.abs(mix)) <= 10 ** (-1 / 20) + 2**-15
    gain = metadata["overall_gain"]
    assert 0 < gain <= 1
    meter = pyloudnorm.Meter(SAMPLE_RATE)
    for sound in stems.values():
        assert meter.integrated_loudness(sound / gain) == pytest.approx(-13.0, abs=0.1)


@pytest.mark.parametrize("oddity", ["plain", "unrendered", "false_flags"])
def test_metadata_has_the_fields_of_slakh(tmp_path: Path, oddity: str) -> None:
    piece, place = with_oddity(oddity), tmp_path / "Track00001"
    write_track(place, piece, Tones())
    metadata, _, stems = read_track(place)
    assert set(metadata) == {
        "UUID",
        "audio_dir",
        "lmd_midi_dir",
        "midi_dir",
        "normalization_factor",
        "normalized",
        "overall_gain",
        "stems",
        "target_peak",
    }
    for (name, fields), part in zip(metadata["stems"].items(), piece.parts, strict=True):
        assert fields["inst_class"] == part.inst_class
        assert fields["is_drum"] == (part.inst_class == "Drums")
        assert fields["program_num"] == (128 if fields["is_drum"] else part.program)
        assert (name in stems) == part.rendered == ("integrated_loudness" in fields)
        assert (fields["plugin_name"] == "None") == (not part.rendered)
        flags = oddity != "false_flags"
        assert fields["audio_rendered"] == (flags and part.rendered)
        assert fields["midi_saved"] == flags


def test_a_silent_stem_is_not_written(tmp_path: Path) -> None:
    piece, place = with_oddity("plain"), tmp_path / "Track00001"

    def mute_first(midi: Path, samples: int) -> np.ndarray:
        return Tones()(midi, samples) * (midi.stem != "S00")

    write_track(place, piece, mute_first)  # type: ignore[arg-type]
    metadata, mix, stems = read_track(place)
    assert sorted(stems) == ["S01", "S02", "S03"]
    assert "integrated_loudness" not in metadata["stems"]["S00"]
    assert metadata["stems"]["S00"]["audio_rendered"] is False
    assert np.max(np.abs(mix - sum(stems.values()))) * 2**15 <= 2.05


def test_only_silence_is_an_error(tmp_path: Path) -> None:
    def silence(midi: Path, samples: int) -> np.ndarray:
        return np.zeros(samples, np.float32)

    with pytest.raises(UnavailableError, match="silent"):
        write_track(tmp_path / "Track00001", with_oddity("plain"), silence)  # type: ignore[arg-type]
    assert not (tmp_path / "Track00001").exists()


def test_build_makes_the_splits_and_the_manifest(tmp_path: Path) -> None:
    seen = []
    manifest = build(
        tmp_path, 4, seed=3, seconds=SECONDS, jobs=1, renderer=Tones(),
        on_progress=lambda done, total: seen.append((done, total)),
        split=(2, 1, 1),
    )  # fmt: skip
    found = {s: sorted(p.name for p in (tmp_path / s).iterdir()) for s in SPLITS}
    assert found == {
        "train": ["Track00001", "Track00002"],
        "validation": ["Track00003"],
        "test": ["Track00004"],
    }
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["settings"]["seed"] == 3
    assert sum(manifest["label_histogram"].values()) == pytest.approx(1.0)
    assert [t["name"] for t in manifest["tracks"]] == [f"Track{i:05d}" for i in range(1, 5)]
    midi = {p.read_bytes() for p in tmp_path.glob("*/*/all_src.mid")}
    assert len(midi) == 4


def test_a_stopped_build_goes_on_and_keeps_whole_tracks(tmp_path: Path) -> None:
    def run(renderer: Tones) -> dict:
        return build(tmp_path, 3, seed=1, seconds=SECONDS, jobs=1, renderer=renderer)

    stems_of_first = len(make_track(Job(tmp_path / "x", "train", 1, 1, SECONDS), Tones())["stems"])
    shutil.rmtree(tmp_path / "x")
    with pytest.raises(KeyboardInterrupt):
        run(Tones(fail_at=stems_of_first + 2))
    assert json.loads((tmp_path / "manifest.json").read_text())["complete"] is False
    assert [p.name for p in tmp_path.glob("*/Track*")] == ["Track00001"]
    assert ".Track00002.partial" in [p.name for p in tmp_path.glob("*/.Track*")]
    written = (tmp_path / "train/Track00001/mix.flac").stat().st_mtime_ns

    resumed = Tones()
    manifest = run(resumed)
    assert (tmp_path / "train/Track00001/mix.flac").stat().st_mtime_ns == written
    assert not list(tmp_path.glob("*/.Track*"))
    assert len(list(tmp_path.glob("*/Track*/mix.flac"))) == 3
    stems_in_all = sum(len(entry["stems"]) for entry in manifest["tracks"])
    assert resumed.rendered == stems_in_all - stems_of_first

    idle = Tones()
    assert run(idle) == manifest
    assert idle.rendered == 0


def test_two_jobs_make_the_same_files_as_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out, jobs in ((one, 1), (two, 2)):
        build(out, 4, seed=1, seconds=SECONDS, jobs=jobs, renderer=Tones())
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    assert all((one / p).read_bytes() == (two / p).read_bytes() for p in files)


def test_an_error_in_a_job_ends_the_build(tmp_path: Path) -> None:
    renderer = Tones(fail_at=2)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, 40, seed=1, seconds=SECONDS, jobs=2, renderer=renderer)
    assert renderer.rendered < 40


@pytest.mark.parametrize("change", ["seed", "seconds", "tracks", "renderer"])
def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, change: str) -> None:
    settings = {"tracks": 3, "seed": 1, "seconds": SECONDS, "jobs": 1, "renderer": Tones()}
    build(tmp_path, **settings)
    other = {"seed": 2, "seconds": 7.0, "tracks": 4, "renderer": Tones("other")}
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(ConfigError, match=f"another {change}"):
        build(tmp_path, **settings | {change: other[change]})
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="not empty"):
        build(tmp_path, 3, seed=1, seconds=SECONDS, renderer=Tones())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seconds": 1.0}, "seconds"),
        ({"seed": -1}, "seed"),
        ({"tracks": 2}, "tracks"),
        ({"unseen": 1.5}, "unseen"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **{"tracks": 3, "seed": 1, "renderer": Tones()} | wrong)


@pytest.mark.parametrize(
    ("tracks", "shares", "counts"),
    [
        (220, (172, 20, 28), [172, 20, 28]),
        (100, (80, 10, 10), [80, 10, 10]),
        (3, (80, 10, 10), [1, 1, 1]),
        (5, (1, 0, 0), [5, 0, 0]),
    ],
)
def test_split_counts(tracks: int, shares: tuple, counts: list[int]) -> None:
    assert list(split_counts(tracks, shares).values()) == counts


def test_tracks_of_all_splits_have_their_own_seed(tmp_path: Path) -> None:
    numbers = [job.number for job in plan(tmp_path, split_counts(50, (80, 10, 10)), 0, SECONDS)]
    assert numbers == list(range(1, 51))
    assert compose((0, 0, 1), SECONDS) != compose((0, 1, 1), SECONDS)


def test_unseen_programs_play_in_a_part_of_the_test_split_alone(tmp_path: Path) -> None:
    manifest = build(
        tmp_path, 16, seed=3, seconds=SECONDS, renderer=Tones(), split=(8, 2, 6), unseen=0.5
    )
    held = {name: set(programs) for name, programs in UNSEEN.items()}
    for entry in manifest["tracks"]:
        four = {k: set(v) for k, v in entry["programs"].items() if k in CLASSES}
        unseen = entry["split"] == "test" and entry["name"] >= "Track00014"
        for name, programs in four.items():
            assert programs <= held[name] if unseen else not programs & held[name], entry["name"]
    assert manifest["settings"]["unseen"]["share"] == 0.5
    midi = yaml.safe_load((tmp_path / "test" / "Track00016" / "metadata.yaml").read_text())
    guitars = {s["program_num"] for s in midi["stems"].values() if s["inst_class"] == "Guitar"}
    assert guitars <= held["Guitar"]
    with pytest.raises(ConfigError, match="another unseen"):
        build(tmp_path, 16, seed=3, seconds=SECONDS, renderer=Tones(), split=(8, 2, 6))


def test_one_split_alone_is_as_it_is_in_the_whole(tmp_path: Path) -> None:
    settings = {"tracks": 6, "seed": 1, "seconds": SECONDS, "split": (3, 1, 2), "unseen": 0.5}
    build(tmp_path / "whole", **settings, renderer=Tones())
    alone = build(tmp_path / "alone", **settings, renderer=Tones("other"), only=("test",))
    assert sorted(p.name for p in (tmp_path / "alone").glob("*/Track*")) == [
        "Track00005",
        "Track00006",
    ]
    assert set(alone["label_histograms"]) == {"test"}
    for name in ("Track00005", "Track00006"):
        whole, part = (tmp_path / some / "test" / name for some in ("whole", "alone"))
        assert (whole / "all_src.mid").read_bytes() == (part / "all_src.mid").read_bytes()
    with pytest.raises(ConfigError, match="only validation: no track"):
        build(tmp_path / "none", 3, seed=1, split=(1, 0, 1), renderer=Tones(), only=("validation",))


def test_missing_fluidsynth_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UnavailableError, match="apt-get install fluidsynth fluid-soundfont-gm"
    ) as e:
        find_fluidsynth()
    assert "brew install fluid-synth" in str(e.value)
    assert "\n" not in str(e.value)


def test_soundfont_is_the_named_one_then_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, variable = tmp_path / "a.sf2", tmp_path / "b.sf2"
    named.touch()
    variable.touch()
    monkeypatch.setenv("SOUNDFONT", str(variable))
    assert find_soundfont(named) == named
    assert find_soundfont() == variable
    variable.unlink()
    with pytest.raises(UnavailableError, match=r"b\.sf2 does not exist"):
        find_soundfont()


def a_program(folder: Path, body: str) -> FluidSynth:
    """A stand-in for fluidsynth: a Python script that gets the same arguments."""
    program = folder / "fluidsynth"
    program.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    program.chmod(0o755)
    return FluidSynth(str(program), folder / "font.sf2", "0", "0")


def test_fluidsynth_output_becomes_a_padded_mono_mean(tmp_path: Path) -> None:
    body = (
        "import array\n"
        "out = sys.argv[sys.argv.index('-F') + 1]\n"
        "array.array('f', [0.2, 0.4, -1.0, 0.0]).tofile(open(out, 'wb'))"
    )
    sound = a_program(tmp_path, body)(tmp_path / "S00.mid", 4)
    np.testing.assert_allclose(sound, [0.3, -0.5, 0.0, 0.0], atol=1e-7)
    assert not (tmp_path / "S00.raw").exists()


@pytest.mark.parametrize("body", ["pass", "sys.exit('no such font')"])
def test_a_failing_fluidsynth_is_reported(tmp_path: Path, body: str) -> None:
    with pytest.raises(UnavailableError, match=r"could not render S00\.mid"):
        a_program(tmp_path, body)(tmp_path / "S00.mid", 4)
