"""What each part of the recipe of `minislakh_cpu` is worth: trained without it, all else equal.

    python -m experiments.minislakh_recipe --data shards --steps 2000
    python -m experiments.minislakh_recipe --data shards --steps 2000 --only recipe paper

Each variant is one training, one after the other, in RUNS/NAME; a run that was stopped goes on, and
one that is complete is read. The learning rate ends its decay at the last of so few steps. Scores
are the read-out's on the same validation windows, SI-SDR improvement on sounding stems. Short
trainings rank ingredients, and say nothing of what a long one reaches.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

EXPERIMENT = Path(__file__).parent / "minislakh_cpu.py"
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "recipe": ("the recipe", []),
    "paper": ("the paper's: no mixing of mixtures", ["--windows.mixing", "0"]),
    "strict": (
        "no window of a single label anywhere",
        ["--windows.min-labels", "2", "--windows.balance", "0", ".5", ".3", ".2"],
    ),
    "balanced": (
        "windows balanced by number of labels",
        ["--windows.balance", ".5", ".25", ".15", ".1"],
    ),
    "sums": ("sums of two windows with the union of their labels", ["--windows.sums", ".5"]),
    "narrow": ("noise levels as in the demo model", ["--sigma-std", "1"]),
    "high": ("higher noise levels", ["--sigma-mean", "-1.5"]),
    "null": ("guidance dropout of 30 %", ["--null", ".3"]),
    "fft2048": (
        "front end of 2048 samples",
        ["--model.network.fft", "2048", "--model.network.fine-bins", "512"],
    ),
    "residual": ("a complex correction beside the mask", ["--model.network.residual"]),
    "text": ("the trunk hears the text", ["--model.network.text-in-trunk"]),
    "plain-cap": ("EDM's weights, uncapped", ["--plain-cap", "None"]),
    "ema": ("an average five times as long", ["--optimizer.ema", "0.9996"]),
}


def train(name: str, data: Path, runs: Path, steps: int) -> Path:
    """Trains a variant, or goes on with it; returns its run's folder.

    Raises:
        subprocess.CalledProcessError: the training ended early.
    """
    out = runs / name
    if (last_score(out) or {}).get("step") == steps:
        return out
    every = str(max(50, steps // 4 // 50 * 50))
    command = [sys.executable, "-m", "gmsdi_jax", "train", str(EXPERIMENT), *VARIANTS[name][1]]
    command += ["--data", str(data), "--out", str(out), "--steps", str(steps)]
    command += ["--eval-every", every, "--save-every", every, "--averages.every", every]
    command += ["--eval-windows", "128", "--samples", "0"]
    subprocess.run(command, check=True)
    return out


def last_score(run: Path) -> dict[str, float] | None:
    """The last validation of a run: ``score`` and each label's, dB; None where there is none."""
    path = run / "metrics.jsonl"
    if not path.exists():
        return None
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    scored = [line for line in lines if "score" in line]
    return scored[-1] if scored else None


def table(found: dict[str, dict[str, float]], labels: Sequence[str]) -> str:
    """A line per variant, the recipe's gain over it in the second column."""
    base = found.get("recipe", {}).get("score")
    head = ["variant", "SI-SDRi, dB", "against the recipe", *labels]
    rows = []
    for name, line in found.items():
        against = "-" if base is None or name == "recipe" else f"{line['score'] - base:+.2f}"
        numbers = [f"{line[label]:.2f}" for label in labels]
        rows.append([VARIANTS[name][0], f"{line['score']:.2f}", against, *numbers])
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="prepared MiniSlakh")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    args = parser.parse_args(argv)
    found, failed = {}, []
    for name in args.only:
        try:
            line = last_score(train(name, args.data, args.runs, args.steps))
        except subprocess.CalledProcessError as error:
            print(f"error: {name} ended with exit code {error.returncode}", file=sys.stderr)
            failed.append(name)
            continue
        if line is not None:
            found[name] = line
    labels = [key for key in next(iter(found.values()), {}) if key[:1].isupper()]
    print(table(found, labels))
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
