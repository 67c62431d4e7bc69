"""`make demo`: a song separated by the model that ships, its scorecard, a few seconds generated.

Everything runs on the CPU from files of this repository. The song is from MiniSlakh's test split,
which the model has never heard; its true stems lie beside it, for the scorecard only.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import librosa
import matplotlib as mpl
import numpy as np

mpl.use("agg")
import matplotlib.pyplot as plt

from gmsdi_jax import GMSDI
from gmsdi_jax.audio import read
from gmsdi_jax.baselines import static
from gmsdi_jax.evaluate import STATIC, Song, evaluate
from gmsdi_jax.pipeline import GenerationConfig

HERE = Path(__file__).parent
MODEL = HERE / "models" / "minislakh-tiny"
SONG = HERE / "song.flac"


def main() -> int:
    """Separates, scores, draws, generates; says what it does and where the files are."""
    started = time.perf_counter()
    model = GMSDI.from_pretrained(MODEL)
    print(f"Model {model.name}: {', '.join(model.labels)}, trained on mixtures only.")

    separated = Path("separated") / model.name / SONG.stem
    method = model.model.config.separation.method
    print(f"Separating {SONG.name} with method '{method}' (compiling first) ...", flush=True)
    info = model.separate_file(SONG, separated, model.separator())
    print(
        f"  {info['seconds']:.0f} s of audio in {info['computed_in_seconds']:.0f} s, "
        f"{info['evaluations_per_window']} network evaluations per window of "
        f"{info['window_seconds']:.1f} s; stems + residual = song to "
        f"{info['sum_error_dbfs']:g} dBFS"
    )

    print("Scoring against the true stems ...\n", flush=True)
    song = true_song(model)
    spectra = static.load(MODEL / STATIC)
    print(evaluate(model, [song], {method: model.model.config.separation}, spectra=spectra))
    print(
        "\nSI-SDR improvement in dB on sounding stems. silence, mixture and static (one fixed"
        "\nspectrum per class) need no network: a model is worth what it adds to them. oracle"
        "\nknows the stems.\n"
    )

    picture = draw(model, separated, song)
    generated = Path("generated") / model.name / "demo"
    prompt = ", ".join(model.labels)
    print(f"Generating 4 s from the text '{prompt}' ...", flush=True)
    model.generate([prompt], 4.0, GenerationConfig(steps=50), seed=1).save(generated)
    print(
        f"\nStems:      {separated.resolve()}\nPicture:    {picture.resolve()}\n"
        f"Generated:  {generated.resolve()} (this small model makes textures, not tunes)\n"
        f"Done in {time.perf_counter() - started:.0f} s."
    )
    return 0


def true_song(model: GMSDI) -> Song:
    """The example with its true stems, at the model's rate."""
    rate = model.model.config.sample_rate
    folder = HERE / "song_stems"
    stems = [read(folder / f"{label}.flac", rate, mono=True)[0][:, 0] for label in model.labels]
    return Song(SONG.stem, np.sum(stems, axis=0), np.stack(stems))


def draw(model: GMSDI, separated: Path, song: Song) -> Path:
    """Spectrograms of the song, the separated stems and the true ones."""
    rate = model.model.config.sample_rate
    rows = [(label, separated / f"{label.lower()}.wav") for label in model.labels]
    figure, axes = plt.subplots(len(rows), 3, figsize=(13, 9), sharex=True, sharey=True)
    for row, ((label, path), truth) in enumerate(zip(rows, song.stems, strict=True)):
        found = read(path, rate, mono=True)[0][:, 0]
        columns = (
            ("mixture", song.mixture),
            (f"{label}, separated", found),
            (f"{label}, true", truth),
        )
        for axis, (title, audio) in zip(axes[row], columns, strict=True):
            power = librosa.feature.melspectrogram(y=audio, sr=rate, n_mels=96)
            level = librosa.power_to_db(power, ref=1.0)
            librosa.display.specshow(
                level,
                sr=rate,
                x_axis="time",
                y_axis="mel",
                vmin=-50,
                vmax=30,
                cmap="magma",
                ax=axis,
            )
            axis.set_title(title, fontsize=10)
            axis.label_outer()
    figure.tight_layout()
    path = separated / "spectrograms.png"
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return path


if __name__ == "__main__":
    sys.exit(main())
