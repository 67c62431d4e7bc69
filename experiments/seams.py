"""What is left of the seams when windows are joined: plain overlap-add, joined, continued.

    python -m experiments.seams

Draws a piece from the text of all labels in windows of 1.5 s, and separates the example song in the
same windows, in each way. Level (within 2048 samples) and second difference (within 8) at the seams
against the rest, in dB, 0 is no seam: in the middle of the overlaps, or, continued, where the
window before ends. For separation the level is that of the stems relative to the mixture's.
Measured numbers, and the hardware, stand in ``docs/separators.md``.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from gmsdi_jax.audio import OverlapAdd, plan, read
from gmsdi_jax.diffusion import adpm2, initial_noise, karras, sample
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.metrics.seam import seam_level
from gmsdi_jax.pipeline import GMSDI, GenerationConfig, prompts_for
from gmsdi_jax.tasks import generate

MODEL, SONG = Path("examples/models/minislakh-tiny"), Path("examples/song.flac")
WINDOW = 2**15
REACHES = {0: 2**11, 2: 8}  # samples, by the order of the difference
HOP = WINDOW // 2


def seams_of(length: int) -> list[int]:
    """The middles of the overlaps of windows that overlap by half."""
    return list(range(HOP + HOP // 2, length - HOP, HOP))


def joins_of(length: int) -> list[int]:
    """Where windows end that the next ones, which repeat their second half, continue."""
    return list(range(WINDOW, length - HOP + 1, HOP))


def plain(model: GMSDI, prompt: str, count: int, config: GenerationConfig, seed: int) -> np.ndarray:
    """A piece whose windows know nothing of each other, cross-faded by overlap-add."""
    sigmas = karras(config.steps, config.sigma_min, config.sigma_max, config.rho)
    prompts = prompts_for(model.model, model.params, [prompt])
    keys = jax.random.split(jax.random.key(seed), count)

    @jax.jit
    def run(params, keys):
        joint = generate(model.model.denoiser(params), prompts.texts)
        start = initial_noise(keys, sigmas[0], (1, WINDOW, 1))
        return sample(keys, joint, adpm2(), sigmas, start)[:, 0]

    joined = OverlapAdd(plan(WINDOW, 0.5))
    blocks = [joined.push(window) for window in np.asarray(run(model.params, keys))]
    return np.concatenate([*blocks, joined.finish(HOP * (count + 1))])[:, 0]


def row(
    name: str,
    audio: Float[np.ndarray, "*b t"],
    against: np.ndarray | None = None,
    seams: list[int] | None = None,
) -> str:
    """A line of the table; `against` is the mixture that stems are measured by."""
    seams = seams_of(audio.shape[-1]) if seams is None else seams
    levels = [seam_level(audio, seams, reach, n) for n, reach in REACHES.items()]
    if against is not None:
        base = [seam_level(against, seams, reach, n) for n, reach in REACHES.items()]
        levels = [level - other for level, other in zip(levels, base, strict=True)]
    return f"| {name} | {levels[0]:+.2f} | {levels[1]:+.2f} |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--windows", type=int, default=31)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=4, help="pieces drawn in each way")
    args = parser.parse_args()
    whole = GMSDI.from_pretrained(args.model)
    model = GMSDI(replace(whole.model.config, window=WINDOW), whole.params, whole.name)
    prompt, seconds = ", ".join(model.labels), HOP * (args.windows + 1) / 22050
    config = GenerationConfig(steps=args.steps)
    print("| generation | level, dB | second difference, dB |\n|---|---|---|")
    pieces = [plain(model, prompt, args.windows, config, seed) for seed in range(args.seeds)]
    print(row("plain overlap-add", np.stack(pieces)), flush=True)
    for long in ("joined", "continued"):
        own = replace(config, long=long)
        drawn = [model.generate([prompt], seconds, own, seed=n).stems for n in range(args.seeds)]
        audio = np.stack([stems[prompt][:, 0] for stems in drawn])
        seams = joins_of(audio.shape[-1]) if long == "continued" else None
        print(row(long, audio, seams=seams), flush=True)
    song = read(SONG, 22050, mono=True)[0][: HOP * (args.windows + 1)]
    print("\n| separation | level, dB | second difference, dB |\n|---|---|---|")
    for method in ("project", "dirac"):
        for joined in (False, True):
            settings = SeparationConfig(method=method, steps=25 if method == "project" else 100)
            found = model.separate(song, None, settings, overlap=0.5, joined=joined)
            stems = np.stack([stem[:, 0] for stem in found.stems.values()])
            name = f"{method}, {'joined' if joined else 'plain overlap-add'}"
            print(row(name, stems, song[:, 0]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
