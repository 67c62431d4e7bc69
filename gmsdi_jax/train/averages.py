"""Averages of the weights: the usual one, and those whose length is chosen after training.

How long an average of the weights should reach back decides much of a diffusion model's quality,
and is known only when training is over. Karras et al. (EDM2, arXiv 2312.02696, section 3) average
with a profile that grows as a power of the step, ``(step / last) ** gamma``, whose width is thereby
relative to the training's length. Two such averages are kept, snapshots of them are written now and
then, and any other profile is put together from the snapshots by least squares (appendix C): a sum
of snapshots whose summed profiles come closest to the wanted one.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gmsdi_jax.arrays import load_arrays, save_arrays
from gmsdi_jax.distributed import is_first
from gmsdi_jax.errors import ConfigError, OutputError, UnavailableError
from gmsdi_jax.types import Params

_NAME = re.compile(r"step-(\d+)-width-(0\.\d+)\.safetensors")


def warming(step: Int[Array, ""], decay: float) -> Float[Array, ""]:
    """Decay of the usual average after `step` steps: ``(n + 1) / (n + 20)`` until it is `decay`."""
    count = step.astype(jnp.float32)
    return jnp.minimum(decay, (count + 1) / (count + 20))


def blend(old: Params, new: Params, decay: Float[Array, ""]) -> Params:
    """``decay * old + (1 - decay) * new``."""
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, old, new)


def advance(
    profiles: tuple[Params, ...], params: Params, number: Int[Array, ""], widths: Sequence[float]
) -> tuple[Params, ...]:
    """The averages after step `number`, from 1 on: each keeps ``(1 - 1/number) ** (gamma + 1)``."""
    log = jnp.log1p(-1 / number.astype(jnp.float32))

    def moved(old: Params, width: float) -> Params:
        share = -jnp.expm1((exponent(width) + 1) * log)  # of the new: 1e-5 must not be rounded
        return jax.tree.map(lambda a, b: a + share * (b - a), old, params)

    return tuple(moved(old, width) for old, width in zip(profiles, widths, strict=True))


def exponent(width: float) -> float:
    """The power ``gamma`` of a profile of relative standard deviation `width`, below 0.288.

    The positive root of ``width**2 = (gamma + 1) / ((gamma + 2)**2 (gamma + 3))``.

    Raises:
        ConfigError: there is none.
    """
    if not 0 < width < 12**-0.5:
        raise ConfigError(f"a relative width is {width}: it lies between 0 and 0.288")
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots[np.argmax(roots.real)].real)


def coefficients(
    steps: Float[np.ndarray, " n"], widths: Float[np.ndarray, " n"], step: float, width: float
) -> Float[np.ndarray, " n"]:
    """Of the snapshots, whose sum comes closest to the profile of `width` at `step`.

    Args:
        steps: at which the snapshots were taken.
        widths: of their profiles.
        step: at which the wanted average ends.
        width: of its profile.

    Raises:
        ConfigError: a width is out of range.
    """
    powers = np.array([exponent(w) for w in widths])
    among = _overlap(steps[:, None], powers[:, None], steps[None], powers[None])
    wanted = _overlap(steps, powers, np.float64(step), np.float64(exponent(width)))
    return np.linalg.lstsq(among, wanted, rcond=None)[0]


def _overlap(a, power_a, b, power_b):
    """The inner product of two profiles ``(power + 1) / end * (t / end) ** power`` over time."""
    ratio = np.minimum(a / b, b / a) ** np.where(a < b, power_b, power_a)
    return (power_a + 1) * (power_b + 1) * ratio / ((power_a + power_b + 1) * np.maximum(a, b))


def save_snapshots(
    folder: Path, step: int, widths: Sequence[float], averages: Sequence[Params]
) -> None:
    """Writes ``folder/step-N-width-W.safetensors`` for each average, in the first process.

    Raises:
        OutputError: the folder cannot be written.
    """
    if not is_first():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot write snapshots ({error.strerror})") from error
    for width, average in zip(widths, averages, strict=True):
        save_arrays(folder / f"step-{step:09d}-width-{width:g}.safetensors", average)


def snapshots(folder: Path) -> list[tuple[int, float, Path]]:
    """Step, width and file of every snapshot, in order.

    Raises:
        UnavailableError: there is none.
    """
    found = [(_NAME.fullmatch(path.name), path) for path in folder.glob("*.safetensors")]
    named = [(int(m[1]), float(m[2]), path) for m, path in found if m]
    if not named:
        raise UnavailableError(
            f"{folder}: no snapshots here; train with --averages.widths 0.05 0.1"
        )
    return sorted(named)


def average_of(
    folder: Path, width: float, step: int | None = None, shapes: Params | None = None
) -> Params:
    """The average of relative width `width` that ends at `step`, made of the snapshots in a folder.

    Args:
        folder: of snapshots, ``OUT/averages``.
        width: relative standard deviation of the profile, such as 0.08.
        step: of a snapshot; None is the last one.
        shapes: where given, the names and shapes that the weights must have.

    Raises:
        UnavailableError: there are no snapshots, or one is damaged.
        ConfigError: none was taken at `step`, or no profile has that width.
    """
    found = snapshots(folder)
    last = max(s for s, _, _ in found) if step is None else step
    found = [entry for entry in found if entry[0] <= last]
    if last not in {s for s, _, _ in found}:
        raise ConfigError(f"{folder}: no snapshot of step {last}: name one of {_few(folder)}")
    steps, widths, paths = zip(*found, strict=True)
    shares = coefficients(np.array(steps, float), np.array(widths), float(last), width)
    total = None
    for share, path in zip(shares, paths, strict=True):  # one in memory at a time
        part = load_arrays(path, shapes)
        part = jax.tree.map(lambda leaf, s=share: s * np.asarray(leaf, np.float64), part)
        total = part if total is None else jax.tree.map(np.add, total, part)
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), total)


def _few(folder: Path) -> str:
    steps = sorted({step for step, _, _ in snapshots(folder)})
    return ", ".join(map(str, steps[-5:]))
