"""``gmsdi train --dry-run`` and ``--compile-for``: what a step needs, before it runs."""

from gmsdi_jax.config import TrainConfig
from gmsdi_jax.console import Console
from gmsdi_jax.distributed import is_first, pod
from gmsdi_jax.train.ahead import compile_step, report


def step_ahead(config: TrainConfig, name: str | None, console: Console) -> int:
    """Compiles the training step, prints what it needs and returns the exit code.

    Args:
        config: the run.
        name: of a TPU (`pod`); None for the devices here.
        console: for messages.

    Raises:
        ConfigError: the step does not fit, or there is no such TPU.
        UnavailableError: there is no compiler for it.
    """
    target = pod(name) if name else None
    console.say(f"compiling for {name or 'the devices here'}; nothing is read or written ...")
    ahead = compile_step(config, target)
    if is_first():
        print("\n".join(report(ahead)), flush=True)
    return 0
