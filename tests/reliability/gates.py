"""All gates, in order: what each promises, and the function that finds out."""

from collections.abc import Callable
from typing import NamedTuple

from reliability import (
    called,
    damaged,
    disk,
    elastic,
    flaky,
    kills,
    ledger,
    nans,
    secret,
    soak,
    starts,
    stops,
)
from reliability.bench import Bench, Outcome


class Gate(NamedTuple):
    """One promise; G1 in words means G1.1, G1.2 and so on."""

    name: str
    what: str
    run: Callable[[Bench, bool], Outcome]


GATES = (
    Gate("G1.1", "killed at any moment, one process", kills.one_process),
    Gate("G1.2", "killed at any moment, two processes (and G12)", kills.two_processes),
    Gate("G2.1", "told to stop, one process", stops.one_process),
    Gate("G2.2", "told to stop, two processes", stops.two_processes),
    Gate("G3", "one damage to a checkpoint", damaged.one_of_them),
    Gate("G4", "no good checkpoint is left", damaged.all_of_them),
    Gate("G5", "goes on with other devices", elastic.elastic),
    Gate("G6", "the order of the data", called.ORDER),
    Gate("G7", "the disk is full", disk.full),
    Gate("G8", "a file system that fails now and then", flaky.flaky),
    Gate("G9", "a killed launcher leaves nothing", kills.launchers),
    Gate("G10", "malformed inputs", called.INPUTS),
    Gate("G11", "numbers that are not finite", nans.numbers),
    Gate("G14", "a real SLURM of two nodes", called.SLURM),
    Gate("G15", "launchers", called.LAUNCHERS),
    Gate("G16", "the ledger of times", ledger.ledger),
    Gate("G17", "resume to the first step", starts.first_step),
    Gate("G18", "secrets stay secret", secret.canary),
    Gate("G19", "a long run does not grow", soak.soak),
    Gate("G20", "steps beside a save", starts.saves),
)
