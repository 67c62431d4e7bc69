"""``gmsdi separate``: what it writes sums to the song, and no bad input stops the others."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from gmsdi_jax.methods import SeparationConfig

STEMS = ("bass", "drums", "guitar", "piano")


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def error_lines(err):
    return [line for line in err.splitlines() if line.startswith("gmsdi: error: ")]


def test_stems_and_residual_sum_to_the_song(gmsdi, model, noise, tmp_path):
    songs = {
        "cd": noise(tmp_path / "cd.wav", 44100, 2, 3.0),
        "mono": noise(tmp_path / "mono.wav", 22050, 1, 3.0),
        "film": noise(tmp_path / "film.wav", 48000, 2, 3.0001),
    }
    ran = gmsdi("separate", *songs.values(), "-m", model, "-o", tmp_path / "out")
    assert ran.code == 0
    assert ran.out.split() == [str(tmp_path / "out/tiny" / name) for name in songs]
    for name, song in songs.items():
        folder = tmp_path / "out/tiny" / name
        assert files(folder) == {f"{n}.wav" for n in (*STEMS, "residual")} | {"gmsdi.json"}
        audio, rate = soundfile.read(song, always_2d=True)
        total = np.zeros_like(audio)
        for stem in (*STEMS, "residual"):
            part, part_rate = soundfile.read(folder / f"{stem}.wav", always_2d=True)
            assert (part.shape, part_rate) == (audio.shape, rate)
            total += part
        assert np.abs(total - audio).max() < 1e-6  # -120 dBFS
        assert np.abs(soundfile.read(folder / "bass.wav")[0]).max() > 1e-3


def test_what_is_said(gmsdi, model, noise, tmp_path):
    song = noise(tmp_path / "song.wav", 44100)
    ran = gmsdi("separate", song, "-m", model, "-o", tmp_path / "out")
    first, compiling, compiled, done, hint = ran.err.splitlines()
    assert first.startswith("1 x ")
    assert "model tiny" in first
    assert compiling.startswith("compiling")
    assert compiled.startswith("compiled in")
    assert compiled.endswith(": 1 device, 8 rows per call")  # two windows of four stems
    assert "12 evaluations per window" in done  # 4 stems, 3 noise levels
    assert "real-time factor" in done
    assert "stems + residual = input to -" in done
    assert "11.025 kHz" in hint
    quiet = gmsdi("separate", song, "-m", model, "-o", tmp_path / "out", "-q")
    assert (quiet.code, quiet.err) == (0, "")
    low = gmsdi("separate", noise(tmp_path / "low.wav"), "-m", model, "-o", tmp_path / "out")
    assert "kHz" not in low.err


@pytest.mark.parametrize(
    ("rows", "said"), [(1, " 4 rows per call"), ("auto", " 8 rows per call, ")]
)
def test_how_much_is_computed_at_once(gmsdi, model, noise, tmp_path, rows, said):
    song = noise(tmp_path / "song.wav", 44100, 2, 0.1)  # two channels of one window
    ran = gmsdi("separate", song, "-m", model, "-o", tmp_path / "out", "--rows", rows)
    assert ran.code == 0
    assert said in ran.err


def test_stems_asked_for_json_and_settings(gmsdi, model, noise, tmp_path):
    song = noise(tmp_path / "song.wav")
    arguments = ("separate", song, "-s", "Bass", "-s", "drums", "-m", model, "--json", "--seed", 3)
    settings = ("--method", "dirac", "--steps", 3, "--guidance", 2, "--negative", "Piano")
    folder = tmp_path / "out/song-dirac-3"
    names = ("-o", tmp_path / "out", "--filename", "{track}-{method}-{seed}", "--format", "flac")
    ran = gmsdi(*arguments, *settings, "--constrained", "Bass", *names)
    assert ran.code == 0
    assert files(folder) == {"bass.flac", "drums.flac", "residual.flac", "gmsdi.json"}
    info = json.loads(ran.out)
    assert info.pop("folder") == str(folder)
    assert info == json.loads((folder / "gmsdi.json").read_text())
    assert info["stems"] == ["Bass", "drums"]
    assert info["seed"] == 3
    assert {"method": "dirac", "steps": 3, "guidance": 2.0}.items() <= info["settings"].items()


def test_the_seed_decides_the_noise(gmsdi, model, noise, tmp_path):
    song = noise(tmp_path / "song.wav", seconds=0.5)
    bass = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(number)
        assert gmsdi("separate", song, "-m", model, "-o", out, "--seed", seed).code == 0
        bass.append(soundfile.read(out / "tiny/song/bass.wav")[0])
    np.testing.assert_array_equal(bass[0], bass[1])
    assert np.abs(bass[0] - bass[2]).max() > 0


def test_a_model_brings_its_own_method_and_flags_change_it(gmsdi, make_model, noise, tmp_path):
    own = SeparationConfig(sigmas=(0.3,), steps=7)
    folder = make_model(tmp_path / "own", separation=own)
    song = noise(tmp_path / "song.wav", seconds=0.3)
    arguments = ("separate", song, "-s", "Bass", "-m", folder, "-o", tmp_path, "--json", "-q")
    info = json.loads(gmsdi(*arguments).out)
    assert (info["settings"]["sigmas"], info["settings"]["steps"]) == ([0.3], 7)
    assert (info["stems"], info["evaluations_per_window"]) == (["Bass"], 2)  # Bass and the rest
    info = json.loads(gmsdi(*arguments, "--steps", 9).out)
    assert (info["settings"]["sigmas"], info["settings"]["steps"]) == ([0.3], 9)


def test_a_song_as_one_state(gmsdi, model, noise, tmp_path, monkeypatch):
    """``--joined`` is written down, compiles no call for windows, and refuses what is too long."""
    song = noise(tmp_path / "song.wav", 44100, 2, 1.0)
    arguments = ("separate", song, "-m", model, "--joined", "-s", "Bass", "--json")
    ran = gmsdi(*arguments, "-o", tmp_path / "out")
    info = json.loads(ran.out)
    assert ran.code == 0
    assert info["settings"]["joined"] is True
    assert info["sum_error_dbfs"] < -120
    audio, rate = soundfile.read(tmp_path / "out/tiny/song/bass.wav", always_2d=True)
    assert (audio.shape, rate) == ((44100, 2), 44100)
    assert "as one state" in ran.err
    assert "compiled in" not in ran.err
    monkeypatch.setattr("gmsdi_jax.pipeline.joined.MAX_SECONDS", 0.5)
    ran = gmsdi(*arguments, "-o", tmp_path / "long")
    assert (ran.code, ran.out) == (2, "")
    assert "takes at most 0.5 s" in error_lines(ran.err)[0]
    assert not (tmp_path / "long/tiny/song").exists()


def test_silence_is_a_song(gmsdi, model, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(9000), 22050)
    assert gmsdi("separate", tmp_path / "silence.wav", "-m", model, "-o", tmp_path).code == 0
    bass = soundfile.read(tmp_path / "tiny/silence/bass.wav")[0]
    assert bass.shape == (9000,)


def test_bad_inputs_are_named_and_the_others_done(gmsdi, model, noise, tmp_path):
    (tmp_path / "text.wav").write_text("this is no audio, whatever its name says")
    (tmp_path / "nothing.wav").touch()
    soundfile.write(tmp_path / "zero.wav", np.zeros((0, 1)), 22050)
    flac = noise(tmp_path / "cut.flac", seconds=3.0)
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    poisoned = np.zeros(30000, np.float32)
    poisoned[20000] = np.nan
    soundfile.write(tmp_path / "nan.wav", poisoned, 22050, subtype="FLOAT")
    (tmp_path / "folder").mkdir()
    bad = ["missing.wav", "folder", "text.wav", "nothing.wav", "zero.wav", "cut.flac", "nan.wav"]
    songs = [*(tmp_path / name for name in bad), noise(tmp_path / "good.wav")]
    ran = gmsdi("separate", *songs, "-m", model, "-o", tmp_path / "out")
    assert ran.code == 3
    assert ran.out == f"{tmp_path / 'out/tiny/good'}\n"
    lines = error_lines(ran.err)
    assert len(lines) == len(bad)
    for name in bad:
        assert sum(f"{tmp_path / name}" in line for line in lines) == 1
    assert "7 of 8 inputs failed" in ran.err
    assert "Traceback" not in ran.err
    assert [path.name for path in (tmp_path / "out/tiny").iterdir()] == ["good"]


def test_one_bad_input_alone(gmsdi, model, tmp_path):
    ran = gmsdi("separate", tmp_path / "missing.wav", "-m", model, "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines() == error_lines(ran.err)
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-s", "Bas"], "Did you mean 'Bass'?"),
        (["-s", "Bass", "-s", "bass"], "twice"),
        (["-s", "Bass", "--method", "dirac", "--constrained", "Piano"], "'Piano' is not among"),
        (["--constrained", "Piano"], "--method dirac"),
        (["--negative", "Piano"], "--guidance"),
        (["--negative", "Voice", "--guidance", "2"], "'voice' is unknown"),
        (["--overlap", "1"], "--overlap is 1.0"),
        (["--steps", "1"], "steps is 1"),
        (["--rows", "0"], "rows is 0"),
        (["--filename", "{title}"], "'title'"),
        (["--filename", "{model"], "--filename"),
        (["--filename", "../{track}"], "leads out of"),
    ],
)
def test_a_wrong_setting_is_refused_before_computing(
    gmsdi, model, noise, tmp_path, arguments, says
):
    song = noise(tmp_path / "song.wav", seconds=0.1)
    ran = gmsdi("separate", song, "-m", model, "-o", tmp_path / "out", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert len(error_lines(ran.err)) == 1
    assert "compiling" not in ran.err
    assert not (tmp_path / "out").exists()


def test_no_song_is_a_usage_error(gmsdi, model):
    assert gmsdi("separate", "-m", model).code == 2


def test_results_never_share_a_folder_nor_lie_over_a_song(gmsdi, model, noise, tmp_path):
    songs = [noise(tmp_path / "a/song.wav", seconds=0.1), noise(tmp_path / "b/song.wav")]
    ran = gmsdi("separate", *songs, "-m", model, "-o", tmp_path, "--filename", "all")
    assert ran.code == 2
    assert "{track}" in ran.err
    ran = gmsdi("separate", songs[0], "-m", model, "-o", tmp_path, "--filename", "a")
    assert ran.code == 2
    assert "beside it" in ran.err
    ran = gmsdi("separate", tmp_path, "-m", model, "-o", tmp_path / "out")
    assert ran.code == 0
    assert {path.parent.name for path in (tmp_path / "out").rglob("bass.wav")} == {"song"}
    assert sorted(p.name for p in (tmp_path / "out/tiny").iterdir()) == ["a", "b"]


def test_output_that_cannot_be_written(gmsdi, model, noise, tmp_path):
    (tmp_path / "file").touch()
    song = noise(tmp_path / "song.wav")
    ran = gmsdi("separate", song, tmp_path / "no.wav", "-m", model, "-o", tmp_path / "file/out")
    assert (ran.code, ran.out) == (74, "")  # worse than the missing input's 3
    assert len(error_lines(ran.err)) == 2


def test_a_model_that_is_missing_or_damaged(gmsdi, model, noise, tmp_path):
    song = noise(tmp_path / "song.wav", seconds=0.1)
    ran = gmsdi("separate", song, "-m", tmp_path / "nowhere")
    assert ran.code == 4
    assert "nowhere" in ran.err
    damaged = tmp_path / "damaged"
    shutil.copytree(model, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    ran = gmsdi("separate", song, "-m", damaged)
    assert ran.code == 4
    assert len(ran.err.splitlines()) == 1
    weights.unlink()
    assert gmsdi("separate", song, "-m", damaged).code == 4
    (damaged / "config.json").write_text("{")
    assert gmsdi("separate", song, "-m", damaged).code == 2


def test_a_model_that_answers_nan(gmsdi, make_model, noise, tmp_path):
    broken = make_model(tmp_path / "broken", scale=float("nan"))
    song = noise(tmp_path / "song.wav")
    ran = gmsdi("separate", song, "-m", broken, "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (70, "")
    assert len(error_lines(ran.err)) == 1
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_nothing_half_written(gmsdi, model, noise, tmp_path, monkeypatch):
    @contextmanager
    def interrupted(console, title, unit):
        def advance(done, total, note):
            if title == "second":
                raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr("gmsdi_jax.console.Console.progress", interrupted)
    songs = [noise(tmp_path / f"{name}.wav", seconds=2.0) for name in ("first", "second")]
    ran = gmsdi("separate", *songs, "-m", model, "-o", tmp_path / "out")
    assert ran.code == 130
    assert ran.out == f"{tmp_path / 'out/tiny/first'}\n"
    assert [path.name for path in (tmp_path / "out/tiny").iterdir()] == ["first"]
    assert len(files(tmp_path / "out")) == 6


# Not resource.getrusage: what it reports begins with the peak of the process that forked this one.
_PEAK = """
import re, sys
from pathlib import Path
from gmsdi_jax.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_song(model, noise, tmp_path):
    peaks = []
    for minutes in (1, 10):
        song = noise(tmp_path / f"{minutes}.wav", 44100, 2, 60.0 * minutes)
        flags = ["-s", "Bass", "--sigmas", "0.1", "-m", model, "-o", tmp_path / "out", "-q"]
        ran = subprocess.run(
            [sys.executable, "-c", _PEAK, "separate", song, *flags],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(ran.stderr.split()[-1]))
    assert peaks[1] < 1.3 * peaks[0]
