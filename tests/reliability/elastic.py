"""G5: a run goes on with another number of devices."""

import shutil

from reliability.bench import Bench, Outcome, committed, finish, losses

PAIRS = ((1, 8), (8, 1), (8, 2), (2, 8), (4, 3))
BATCH, AT, STEPS = 24, 10, 30
CLOSE = 1e-5


def elastic(bench: Bench, quick: bool) -> Outcome:
    """Step 10 is saved on some devices; the 20 steps after it are those of a run that kept them."""
    wholes, worst, bad = {}, 0.0, []
    flags = ("--batch", str(BATCH), "--steps", str(STEPS), "--keep", "9")
    for saved, restored in PAIRS[2:3] if quick else PAIRS:
        if saved not in wholes:
            wholes[saved] = bench.out("whole")
            ended = finish(bench.start(wholes[saved], *flags, **_devices(saved)))
            assert ended.code == 0, ended.err
        out = shutil.copytree(wholes[saved], bench.out("elastic"))
        for path in (out / "checkpoints").iterdir():
            if path.name.isdigit() and int(path.name) > AT:
                shutil.rmtree(path)
        assert committed(out) == AT
        ended = finish(bench.start(out, *flags, **_devices(restored)))
        expected, found = (
            losses((each / "metrics.jsonl").read_text()) for each in (wholes[saved], out)
        )
        far = max(abs(found.get(n, 1e9) - loss) / abs(loss) for n, loss in expected.items())
        worst = max(worst, far)
        if ended.code or far > CLOSE or ended.err:
            bad.append(f"{saved} to {restored}: exit {ended.code}, {far:.1e} {ended.err[-160:]}")
    pairs = ", ".join(f"{a} to {b}" for a, b in (PAIRS[2:3] if quick else PAIRS))
    return Outcome(
        not bad,
        f"devices {pairs}: saved at step {AT}, on to step {STEPS}",
        "; ".join(bad) or f"digests of all arrays the same on both; losses within {worst:.1e}",
    )


def _devices(count: int) -> dict[str, str]:
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
