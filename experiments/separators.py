"""Every separator on the same held-out windows: SI-SDR improvement against network evaluations.

    python -m experiments.separators --data shards/test --out runs/separators
    python -m experiments.separators --data shards/validation --only "project*"

One window per song as far as there are windows, active stems only, 95 % intervals over songs. A
method that was scored before is read from ``OUT``, so a run that was stopped goes on. Measured
numbers, and the hardware, stand in ``docs/separators.md``.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from fnmatch import fnmatch
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gmsdi_jax.data import FixedWindows, fixed_windows, open_split
from gmsdi_jax.errors import GMSDIError
from gmsdi_jax.evaluate import check_same
from gmsdi_jax.methods import SeparationConfig, separate
from gmsdi_jax.metrics.protocols import WindowScore, active
from gmsdi_jax.metrics.summary import Method, paired_interval, summarise, table
from gmsdi_jax.pipeline import GMSDI, prompts_for

MODEL = Path("examples/models/minislakh-tiny")
LINEAGE = {"sigma_min": 1e-4, "steps": 150}
PLAIN = SeparationConfig()


def methods(own: SeparationConfig) -> dict[str, SeparationConfig]:
    """The separators by name; `own` is the model's, whose read-out settings all share."""

    def method(name: str, **settings) -> SeparationConfig:
        return replace(own, method=name, **settings)

    rows = {"direct": method("direct")}
    for steps in (10, 25, 50):
        rows[f"project {steps}"] = method("project", steps=steps)
        rows[f"project {steps}, filtered"] = method("project", steps=steps, filter=True)
    rows |= {
        "project 10, mean of 4": method("project", steps=10, draws=4),
        "project 25, mean of 4": method("project", steps=25, draws=4),
        "project 25, filter of 4": method("project", steps=25, draws=4, filter=True),
        "project 10, filter of 4": method("project", steps=10, draws=4, filter=True),
        "project 10, warm from 0.1, filtered": method(
            "project", steps=10, warm=True, sigma_max=0.1, filter=True
        ),
        "project 25, daps": method("project", steps=25, solver="daps"),
        "project 25, dpmpp_2m": method("project", steps=25, solver="dpmpp_2m"),
        "project 10, warm from 0.1": method("project", steps=10, warm=True, sigma_max=0.1),
        "project 25, floored": method("project", steps=25, weights="floored"),
        "project 25, guided 2": method("project", steps=25, guidance=2.0),
        "project 25, local power": method("project", steps=25, weights="local_power"),
        "project 25, corrected": method("project", steps=25, weights="corrected"),
        "project 25, uniform": method("project", steps=25, weights="uniform"),
        "project 10, covariance": method("project", steps=10, weights="covariance", iterations=3),
        "extract 25": method("extract", steps=25),
        "extract 50": method("extract", steps=50),
        "extract 50, filtered": method("extract", steps=50, filter=True),
        "gaussian 150": method("gaussian", **LINEAGE),
        "dirac 60": method("dirac", steps=60),
        "dirac ancestral 150": method("dirac", solver="ancestral", **LINEAGE),
        "dirac 150": method("dirac", **LINEAGE),
        "dirac 150 x 2 (MSDM)": method("dirac", resamples=2, **LINEAGE),
    }
    return rows


def score(
    model: GMSDI, windows: FixedWindows, config: SeparationConfig, seed: int, rows: int
) -> tuple[list[WindowScore], float]:
    """The scores of a method on all windows, and seconds of computing per second of audio."""
    labels, core = model.labels, model.model
    # The paper's best constrained source goes last.
    order = sorted(range(len(labels)), key=lambda k: labels[k] == "Drums")
    prompts = prompts_for(core, model.params, [labels[k] for k in order])
    base = jax.random.key(seed)

    @jax.jit
    def run(params, numbers, mixture):
        keys = jax.vmap(lambda number: jax.random.fold_in(base, number))(numbers)
        return separate(keys, core.denoiser(params), prompts, mixture, config)

    count, length = windows.mixture.shape[:2]
    padded = np.pad(windows.mixture, ((0, -count % rows), (0, 0), (0, 0)))
    numbers = np.arange(len(padded))
    call = run.lower(model.params, jnp.asarray(numbers[:rows]), padded[:rows]).compile()
    started = time.perf_counter()
    parts = [
        np.asarray(call(model.params, jnp.asarray(numbers[i : i + rows]), padded[i : i + rows]))
        for i in range(0, len(padded), rows)
    ]
    rate = core.config.sample_rate
    spent = (time.perf_counter() - started) / (len(padded) * length / rate)
    stems = np.concatenate(parts)[:count, ..., 0][:, np.argsort(order)]
    found = []
    for number, (estimate, truth, mixture) in enumerate(
        zip(stems, windows.stems[..., 0], windows.mixture[..., 0], strict=True)
    ):
        scores = active(estimate, truth, mixture, rate, labels=labels, track=windows.track[number])
        found += [row._replace(window=number) for row in scores]
    return found, spent


def main() -> int:
    """Runs the command line and returns its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a prepared split with stems")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--out", type=Path, default=Path("runs/separators"))
    parser.add_argument("--only", nargs="+", default=["*"], help="names, or patterns of names")
    parser.add_argument("--against", help="the method that is paired with all; the best by default")
    parser.add_argument("--windows", type=int, default=28)
    parser.add_argument("--window", type=int, default=2**16, help="samples")
    parser.add_argument("--rows", type=int, default=4, help="windows per call")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        model, split = GMSDI.from_pretrained(args.model), open_split(args.data)
        check_same(model.model, split)
        windows = fixed_windows(split, args.window, args.windows, seed=args.seed)
    except GMSDIError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    own = model.model.config.separation
    chosen = {
        name: config
        for name, config in methods(own).items()
        if any(fnmatch(name, pattern) for pattern in args.only)
    }
    if args.against is not None and args.against not in chosen:
        print(f"error: --against {args.against!r} is not among the methods run", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    results = []
    for name, config in chosen.items():
        file = args.out / f"{name.replace(' ', '-')}.json"
        settings = {k: v for k, v in asdict(config).items() if v != getattr(PLAIN, k)}
        key = [repr(settings), model.digest, args.data.name, args.windows, args.window, args.seed]
        stored = json.loads(file.read_text()) if file.exists() else {}
        if stored.get("key") != key:
            found, spent = score(model, windows, config, args.seed, args.rows)
            stored = {"key": key, "rtf": spent, "rows": found}
            file.write_text(json.dumps(stored))
        rows = [WindowScore(*row) for row in stored["rows"]]
        cost = config.evaluations(len(model.labels))
        results.append(Method(name, rows, cost, stored["rtf"]))
        print(f"{name}: {summarise(rows).overall:.2f} dB, {cost} evaluations", file=sys.stderr)
    print(table(results))
    best = max(results, key=lambda method: summarise(method.rows).overall)
    first = next((method for method in results if method.name == args.against), best)
    print(f"\n{first.name}: what it gains, paired over songs, with 95 % intervals\n")
    for other in results:
        if other is not first:
            low, high = paired_interval(first.rows, other.rows)
            gain = summarise(first.rows).overall - summarise(other.rows).overall
            print(f"- over {other.name}: {gain:+.2f} dB ({low:+.2f} to {high:+.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
