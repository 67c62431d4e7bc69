"""G16: what the ledger says of a run with kills, against what was seen from outside."""

import json
import subprocess
import time

from reliability.bench import Bench, Outcome, committed, finish, last_step, until

CLOSE = 0.02


def ledger(bench: Bench, quick: bool) -> Outcome:
    """Wall time, lost steps and steps that count, of a run that is killed three times."""
    out, lost, kills = bench.out("ledger"), 0, 3
    began = time.time()
    for _ in range(kills):
        process, before = bench.start(out, "--steps", "400"), last_step(out)
        until(lambda before=before: last_step(out) < before or not before)
        start = committed(out)
        until(lambda start=start: last_step(out) > start + 40)
        process.kill()
        finish(process)
        lost += last_step(out) - committed(out)
    ended = finish(bench.start(out, "--steps", "400"))
    wall = time.time() - began
    command = [str(bench.folder / "gmsdi"), "goodput", str(out), "--json"]
    ran = subprocess.run(
        command, env=bench.environment, cwd=bench.folder, capture_output=True, text=True
    )
    found = json.loads(ran.stdout)
    told_lost = sum(start["lost"] for start in found["starts"])
    far = abs(found["wall"] - wall) / wall
    share = found["seconds"]["down"] / found["wall"]
    passed = ended.code == 0 and far < CLOSE and found["steps"] == 400
    passed = passed and abs(told_lost - lost) <= CLOSE * (400 + lost)
    return Outcome(
        passed,
        f"a run of 400 steps with {kills} SIGKILLs",
        f"wall time {found['wall']:.1f} s of {wall:.1f} s; {found['steps']} of 400 steps count; "
        f"{told_lost:.0f} steps told as lost, {lost} were; goodput {found['goodput']:.0%}, "
        f"{share:.0%} not accounted for",
    )
