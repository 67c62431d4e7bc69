"""Every snapshot of a run, scored by what matters; the loss says little of it.

    gmsdi train experiments/minislakh_cpu.py --data shards
    python -m experiments.minislakh_selection runs/minislakh_cpu --data shards/validation

A line per snapshot of the averaged weights (``--averages.widths``):

- SI-SDR improvement on sounding stems of validation songs, by the read-out and by a cheap sampler;
- how much worse the right text's answer is than another window's text, in dB of squared error, at
  several noise levels: a model that does not listen to its text has 0;
- the share of single stems, drawn from their name alone, that are silent.

Results are kept in RUN/selection, so that a run under way can be looked at again and again. The
best snapshot by the sampler is named last. Test songs are never read.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.separators import score
from gmsdi_jax.compose import per_source
from gmsdi_jax.config import ModelConfig, model_from_json
from gmsdi_jax.data import FixedWindows, fixed_windows, open_split
from gmsdi_jax.diffusion import adpm2, initial_noise, karras, sample
from gmsdi_jax.errors import GMSDIError
from gmsdi_jax.metrics.loudness import silence_fraction
from gmsdi_jax.metrics.summary import summarise
from gmsdi_jax.pipeline import GMSDI, prompts_for
from gmsdi_jax.train.averages import average_of, snapshots

SIGMAS = (0.03, 0.1, 0.3, 1.0)
WINDOW = 2**16
"""Samples of the windows that are separated."""
LENGTH = 2**15
"""Samples of what is drawn and of what is denoised."""


def label_gaps(model: GMSDI, windows: FixedWindows) -> list[float]:
    """How much the squared error grows, in dB, when windows are given each other's texts.

    One number per level of `SIGMAS`. Where all windows have the same labels, no text is the other.
    """
    core, labels = model.model, model.labels
    texts = [", ".join(np.array(labels)[present]) for present in windows.presence]
    swapped = [
        next((t for t in texts[i:] + texts if t != text), "") for i, text in enumerate(texts)
    ]
    right, wrong = (core.embed(model.params, core.prompt(some)) for some in (texts, swapped))
    clean = jnp.asarray(windows.mixture[:, :LENGTH])
    noise = jax.random.normal(jax.random.key(0), clean.shape)
    denoise = jax.jit(core.denoiser(model.params))

    def error(sigma: float, text) -> float:
        levels = jnp.full(len(clean), sigma)
        return float(jnp.mean((denoise(clean + sigma * noise, levels, text) - clean) ** 2))

    return [10 * np.log10(error(sigma, wrong) / error(sigma, right)) for sigma in SIGMAS]


def silent_stems(model: GMSDI, count: int, steps: int) -> dict[str, float]:
    """Of each label, the share of `count` stems drawn from it alone that are silent throughout."""
    core, labels = model.model, model.labels
    prompts = prompts_for(core, model.params, labels)
    sigmas = karras(steps, 1e-3, 1.0)
    keys = jax.random.split(jax.random.key(0), count)

    @jax.jit
    def draw(params, keys):
        start = initial_noise(keys, sigmas[0], (len(labels), LENGTH, 1))
        return sample(
            keys, per_source(core.denoiser(params), prompts.texts), adpm2(), sigmas, start
        )

    drawn = np.asarray(draw(model.params, keys))[..., 0]
    rate = core.config.sample_rate
    silent = [[silence_fraction(stem, rate) == 1 for stem in piece] for piece in drawn]
    return dict(zip(labels, np.mean(silent, 0).tolist(), strict=True))


def measure(model: GMSDI, windows: FixedWindows, steps: int, draws: int) -> dict:
    """All numbers of one snapshot."""
    own = model.model.config.separation
    sampler = replace(own, method="project", steps=10)
    found = {
        name: summarise(score(model, windows, config, 0, 4)[0]).overall
        for name, config in (("read-out", replace(own, method="direct")), ("sampler", sampler))
    }
    gaps = label_gaps(model, windows)
    return {**found, "gaps": gaps, "silent": silent_stems(model, draws, steps)}


def table(lines: dict[int, dict]) -> str:
    """The curve in Markdown."""
    first = next(iter(lines.values()))
    gaps = [f"gap at {sigma:g}, dB" for sigma in SIGMAS]
    silent = [f"silent {name} %" for name in first["silent"]]
    head = ["step", "read-out, dB", "sampler, dB", *gaps, *silent]
    rows = [
        [
            str(step),
            f"{line['read-out']:.2f}",
            f"{line['sampler']:.2f}",
            *(f"{gap:.2f}" for gap in line["gaps"]),
            *(f"{100 * share:.0f}" for share in line["silent"].values()),
        ]
        for step, line in lines.items()
    ]
    return "\n".join(
        "| " + " | ".join(cells) + " |" for cells in [head, ["---:"] * len(head), *rows]
    )


def curve(run: Path, windows: FixedWindows, args: argparse.Namespace) -> dict[int, dict]:
    """The numbers of all snapshots, measured or read."""
    taken = sorted({step for step, _, _ in snapshots(run / "averages")})
    config: ModelConfig = model_from_json(json.loads((run / "config.json").read_text())["model"])
    folder = run / "selection"
    folder.mkdir(exist_ok=True)
    found = {}
    for step in (step for step in taken if step % args.every == 0):
        file = folder / f"{step:09d}-{args.width:g}-{args.songs}-{args.draws}.json"
        if not file.exists():
            model = GMSDI(config, average_of(run / "averages", args.width, step), run.name)
            file.write_text(json.dumps(measure(model, windows, args.steps, args.draws)))
        found[step] = json.loads(file.read_text())
        print(f"step {step}: {found[step]['sampler']:.2f} dB", file=sys.stderr)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run with snapshots")
    parser.add_argument("--data", type=Path, required=True, help="validation songs with stems")
    parser.add_argument("--songs", type=int, default=12, help="songs, a window of 3 s of each")
    parser.add_argument("--width", type=float, default=0.05, help="of the averages, relative")
    parser.add_argument("--every", type=int, default=1, help="steps of which snapshots are taken")
    parser.add_argument("--steps", type=int, default=25, help="solver steps of what is drawn")
    parser.add_argument("--draws", type=int, default=16, help="stems drawn per label")
    args = parser.parse_args(argv)
    try:
        windows = fixed_windows(open_split(args.data), WINDOW, args.songs)
        lines = curve(args.run, windows, args)
    except GMSDIError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(table(lines))
    best = max(lines, key=lambda step: lines[step]["sampler"])
    print(f"\nbest by the sampler: step {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
