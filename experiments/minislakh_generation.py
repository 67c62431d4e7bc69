"""What a model draws from text, by numbers: silence, class, loudness, tempo and key.

    python -m experiments.minislakh_generation -m runs/minislakh_cpu/best --data shards --samples 25

- **Single stems**, with and without negative prompts: is it silent, and does a simple classifier
  (logistic regression on the mean and spread of log-mel bands) take it for its class? The
  classifier learns from stems of validation songs; its score on those of test songs stands beside.
- **Total generation**: loudness of the sum beside that of real mixtures, classes of the stems.
- **Accompaniment** to a real stem: do tempo and key agree, more than with another song's stem?

Pieces are kept in OUT and drawn once. Real pieces are windows of songs in which the stem sounds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from gmsdi_jax.audio import read
from gmsdi_jax.data import fixed_windows, open_split
from gmsdi_jax.errors import GMSDIError
from gmsdi_jax.metrics.loudness import integrated_loudness, silence_fraction
from gmsdi_jax.pipeline import GMSDI, GenerationConfig
from gmsdi_jax.pipeline.result import file_name

KEY_PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)
"""Of C major and C minor (Krumhansl and Kessler 1982)."""


class Real(NamedTuple):
    """Windows of real songs: sounding stems by label."""

    stems: dict[str, list[np.ndarray]]
    mixtures: list[np.ndarray]


def real_windows(folder: Path, length: int, count: int) -> Real:
    """Stems and mixtures of windows in which at least two classes play."""
    split = open_split(folder)
    windows = fixed_windows(split, length, count)
    stems = {
        label: [w[k, :, 0] for w, p in zip(windows.stems, windows.presence, strict=True) if p[k]]
        for k, label in enumerate(split.labels)
    }
    return Real(stems, list(windows.mixture[..., 0]))


def features(audio: np.ndarray, rate: int) -> np.ndarray:
    """Mean, spread and mean step of 64 log-mel bands; of the sound, not of its level."""
    loud = audio / max(float(np.sqrt(np.mean(audio**2))), 1e-8)
    bands = librosa.feature.melspectrogram(y=loud, sr=rate, n_fft=1024, hop_length=256, n_mels=64)
    log = np.log(bands + 1e-4)
    return np.concatenate([log.mean(1), log.std(1), np.abs(np.diff(log, axis=1)).mean(1)])


def learn(real: Real, rate: int) -> Pipeline:
    """The classifier of labels."""
    rows = [(features(x, rate), label) for label, some in real.stems.items() for x in some]
    inputs, labels = zip(*rows, strict=True)
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return judge.fit(np.stack(inputs), np.array(labels))


def recognised(judge: Pipeline, some: Sequence[np.ndarray], label: str, rate: int) -> float:
    """The share of clips that are taken for `label`; silence is taken for nothing."""
    heard = [x for x in some if silence_fraction(x, rate) < 1]
    if not heard:
        return 0.0
    found = judge.predict(np.stack([features(x, rate) for x in heard]))
    return float((found == label).sum() / len(some))


def tempo(audio: np.ndarray, rate: int) -> float:
    """Beats per minute, folded into one octave."""
    onset = librosa.onset.onset_strength(y=audio, sr=rate)
    found = float(librosa.feature.tempo(onset_envelope=onset, sr=rate)[0])
    return 80 * 2 ** (np.log2(found / 80) % 1)


def key(audio: np.ndarray, rate: int) -> int:
    """0 to 11 from C major up, 12 to 23 from C minor up: the profile that fits the chroma best."""
    chroma = librosa.feature.chroma_stft(y=audio, sr=rate).mean(1)
    shifted = [np.roll(profile, n) for profile in KEY_PROFILES for n in range(12)]
    return int(np.argmax([np.corrcoef(chroma, profile)[0, 1] for profile in shifted]))


def agreement(given: Sequence[np.ndarray], drawn: Sequence[np.ndarray], rate: int) -> list[float]:
    """Shares of pairs that agree: tempo, tempo of shuffled pairs, key, key of shuffled pairs.

    Tempi agree within 4 % up to octaves; a pair is shuffled with the next one.
    """
    tempi = np.array([[tempo(x, rate) for x in some] for some in (given, drawn)])
    keys = np.array([[key(x, rate) for x in some] for some in (given, drawn)])

    def close(a: np.ndarray, b: np.ndarray) -> float:
        away = np.abs((np.log2(a / b) + 0.5) % 1 - 0.5)
        return float((away < np.log2(1.04)).mean())

    return [
        close(tempi[0], tempi[1]),
        close(tempi[0], np.roll(tempi[1], 1)),
        float((keys[0] == keys[1]).mean()),
        float((keys[0] == np.roll(keys[1], 1)).mean()),
    ]


class Drawer:
    """A model that keeps what it draws."""

    def __init__(self, model: GMSDI, out: Path, seconds: float, config: GenerationConfig):
        """`config` is that of all pieces."""
        self.model, self.out, self.seconds, self.config = model, out, seconds, config

    def piece(self, name: str, seed: int, stems: Sequence[str], **options) -> dict[str, np.ndarray]:
        """The stems of a piece, drawn or read; `known` makes it an accompaniment."""
        folder = self.out / name / f"{seed:04d}"
        if not (folder / "gmsdi.json").exists():
            known = options.pop("known", None)
            if known is None:
                made = self.model.generate(stems, self.seconds, self.config, seed=seed, **options)
            else:
                made = self.model.accompany(known, stems, self.config, seed=seed, **options)
            made.save(folder)
        return {stem: read(folder / f"{file_name(stem)}.wav")[0][:, 0] for stem in stems}


def line(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(f"{c:.1f}" if isinstance(c, float) else str(c) for c in cells) + " |"


def rule(columns: int) -> str:
    """What stands below the head of a table."""
    return "|---|" + "---:|" * (columns - 1)


def singles(plain: Drawer, guided: Drawer, judge: Pipeline, real: Real, samples: int) -> None:
    """The first table."""
    labels, rate = plain.model.labels, plain.model.model.config.sample_rate
    print(line("single stems", *labels))
    print(rule(1 + len(labels)))
    reals = [100 * recognised(judge, real.stems[label], label, rate) for label in labels]
    print(line("real stems of test songs, recognised %", *reals))
    others = {label: ", ".join(o for o in labels if o != label) for label in labels}
    for title, drawer, told in (
        ("plain", plain, dict.fromkeys(labels, "")),
        (f"guided {guided.config.guidance:g}", guided, dict.fromkeys(labels, "")),
        (f"guided {guided.config.guidance:g}, against all others", guided, others),
    ):
        drawn = {
            label: [
                drawer.piece(f"{title}/{label}", n, [label], negative=told[label])[label]
                for n in range(samples)
            ]
            for label in labels
        }
        right = [100 * recognised(judge, drawn[label], label, rate) for label in labels]
        silent = [
            100 * float(np.mean([silence_fraction(x, rate) == 1 for x in drawn[label]]))
            for label in labels
        ]
        print(line(f"{title}: recognised %", *right))
        print(line(f"{title}: silent %", *silent), flush=True)


def total(plain: Drawer, judge: Pipeline, real: Real, samples: int) -> None:
    """The second table."""
    labels, rate = plain.model.labels, plain.model.model.config.sample_rate
    pieces = [plain.piece("total", n, labels) for n in range(samples)]
    sums = [np.sum(list(piece.values()), axis=0) for piece in pieces]
    loud, loud_real = (
        float(np.mean([v for x in some if np.isfinite(v := integrated_loudness(x, rate))]))
        for some in (sums, real.mixtures)
    )
    print("\n" + line("total generation", "sum, LUFS", *(f"{label} right %" for label in labels)))
    print(rule(2 + len(labels)))
    right = [100 * recognised(judge, [p[label] for p in pieces], label, rate) for label in labels]
    print(line("drawn", loud, *right))
    print(line("real mixtures", loud_real, *["-"] * len(labels)), flush=True)


def accompaniments(plain: Drawer, real: Real, samples: int, pairs: Sequence[str]) -> None:
    """The third table."""
    rate = plain.model.model.config.sample_rate
    heads = ("tempo agrees %", "shuffled %", "key agrees %", "shuffled %")
    print("\n" + line("accompaniment", "pairs", *heads))
    print(rule(6))
    for pair in pairs:
        known, add = pair.split(":")
        given = real.stems[known][:samples]
        drawn = [
            plain.piece(f"{known} to {add}", n, [add], known={known: stem[:, None]})[add]
            for n, stem in enumerate(given)
        ]
        heard = [(g, d) for g, d in zip(given, drawn, strict=True) if silence_fraction(d, rate) < 1]
        if len(heard) < 2:
            print(line(f"{add} to {known}", len(heard), *["-"] * 4))
            continue
        shares = agreement([g for g, _ in heard], [d for _, d in heard], rate)
        print(line(f"{add} to {known}", len(heard), *(100 * s for s in shares)), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of validation and test")
    parser.add_argument("--out", type=Path, default=Path("runs/generation"))
    parser.add_argument("--samples", type=int, default=25, help="per label")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--windows", type=int, default=200, help="real ones, of 3 s")
    parser.add_argument("--length", type=int, default=2**16, help="samples of a piece")
    parser.add_argument("--pairs", nargs="+", default=["Drums:Bass", "Piano:Bass", "Bass:Piano"])
    args = parser.parse_args(argv)
    try:
        model = GMSDI.from_pretrained(args.model)
        rate = model.model.config.sample_rate
        learned = real_windows(args.data / "validation", args.length, args.windows)
        real = real_windows(args.data / "test", args.length, args.windows)
        judge = learn(learned, rate)
        config = {"steps": args.steps}
        plain, guided = (
            Drawer(
                model,
                args.out / model.name,
                args.length / rate,
                GenerationConfig(**config, guidance=guidance),
            )
            for guidance in (1.0, args.guidance)
        )
        singles(plain, guided, judge, real, args.samples)
        total(plain, judge, real, args.samples)
        accompaniments(plain, real, args.samples, args.pairs)
    except GMSDIError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
