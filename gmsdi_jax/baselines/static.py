"""The ``static`` baseline: a Wiener filter with one fixed power spectrum per class.

It knows nothing but how loud each class is on average in each frequency bin, and splits every bin
of every mixture in those proportions. A separator that does not beat it has learned no more than a
few equaliser curves, whatever its SI-SDR.

The spectra come from *mixtures* and their labels alone. Independent classes add in power, so the
mean periodogram of the windows with label set ``S`` is close to the sum of the spectra of ``S``:
one non-negative least-squares problem per bin, one equation per label set. No window with a single
label is needed as long as the sets tell the classes apart.

Units: white noise of variance v has power v in every bin.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.optimize import nnls

from gmsdi_jax.errors import ConfigError, InputError, UnavailableError
from gmsdi_jax.stft import istft, stft

FLOOR = 1e-10
"""Share of the mean power that every class has in every bin, so that no bin is divided by zero."""


class StaticFilter(NamedTuple):
    """Class spectra and what they belong to."""

    spectra: Float[np.ndarray, "k f"]
    labels: tuple[str, ...]
    sample_rate: int


def estimate_spectra(
    windows: Float[np.ndarray, "n t"],
    presence: Bool[np.ndarray, "n k"],
    n_fft: int = 1024,
) -> Float[np.ndarray, "k f"]:
    """The power spectrum of each class, from windows of mixtures and the labels that sound in them.

    Every label set weighs as many times as it has windows.

    Raises:
        InputError: the label sets do not tell the classes apart.
    """
    sets, members, counts = np.unique(presence, axis=0, return_inverse=True, return_counts=True)
    design = sets.astype(np.float64)
    classes = presence.shape[1]
    if np.linalg.matrix_rank(design) < classes:
        raise InputError(
            f"the {len(sets)} label sets of these windows do not tell {classes} classes apart: "
            "use windows of more songs"
        )
    means = np.zeros((len(sets), n_fft // 2 + 1))
    for window, member in zip(windows, members.ravel(), strict=True):
        means[member] += periodogram(window, n_fft) / counts[member]
    weights = np.sqrt(counts)[:, None]
    columns = (weights * means).T
    return np.stack([nnls(weights * design, column)[0] for column in columns], axis=1)


def periodogram(x: Float[np.ndarray, " t"], n_fft: int = 1024) -> Float[np.ndarray, " f"]:
    """The mean power of `x` in each frequency bin."""
    frames = stft(jnp.asarray(x, jnp.float32), n_fft, n_fft // 4)
    return np.asarray((jnp.abs(frames) ** 2).mean(0), np.float64)


def separate(
    mixture: Float[np.ndarray, " t"],
    spectra: Float[np.ndarray, "k f"],
    present: Bool[np.ndarray, " k"] | None = None,
) -> Float[np.ndarray, "k t"]:
    """The stems of a mixture, in proportion to `spectra`; they sum to the mixture.

    Args:
        mixture: audio, full scale = 1.
        spectra: one power spectrum per class.
        present: the classes to share the mixture among, all if left out; the others get zeros.

    Raises:
        ConfigError: no class is present.
    """
    power = spectra + FLOOR * spectra.mean()
    if present is not None:
        if not present.any():
            raise ConfigError("no label is present: name at least one stem to separate")
        power = power * present[:, None]
    shares = power / power.sum(0)
    return share(mixture, jnp.asarray(shares[:, None, :], jnp.float32))


def share(
    mixture: Float[np.ndarray, " t"], shares: Float[Array, "k #n f"]
) -> Float[np.ndarray, "k t"]:
    """The parts of a mixture, given each part's share of every time-frequency bin."""
    size = 2 * (shares.shape[-1] - 1)
    frames = stft(jnp.asarray(mixture, jnp.float32), size, size // 4)
    masks = shares.astype(frames.dtype)
    return np.stack([istft(mask * frames, size, size // 4, mixture.shape[-1]) for mask in masks])


def save(path: str | Path, static: StaticFilter) -> None:
    """Writes the spectra as safetensors, with labels and sample rate in its metadata."""
    metadata = {"labels": json.dumps(static.labels), "sample_rate": str(static.sample_rate)}
    save_file({"spectra": np.ascontiguousarray(static.spectra)}, path, metadata)


def load(path: str | Path) -> StaticFilter:
    """Reads what `save` wrote.

    Raises:
        UnavailableError: there is no such file.
        InputError: the file holds no class spectra.
    """
    if not Path(path).is_file():
        raise UnavailableError(f"{path}: no such file; estimate the class spectra first")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            labels: Sequence[str] = json.loads(metadata["labels"])
            spectra = file.get_tensor("spectra")
            return StaticFilter(spectra, tuple(labels), int(metadata["sample_rate"]))
    except (SafetensorError, KeyError) as error:
        raise InputError(f"{path}: not a file of class spectra ({error})") from error
