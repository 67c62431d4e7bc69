"""A prepared split in a few lines, or as a picture."""

from pathlib import Path

import numpy as np

from gmsdi_jax.data import Manifest, Split
from gmsdi_jax.errors import OutputError, UnavailableError

_SETS = 20
_INK, _FILL = "#333333", "#4c72b0"


def describe(manifest: Manifest) -> str:
    """A split in lines: size, level, how it was cut, and which labels play together how often."""
    settings, windows = manifest.settings, max(1, sum(manifest.label_sets.values()))
    labels = ", ".join(settings.labels[:8]) + (", ..." if len(settings.labels) > 8 else "")
    of = "windows" if settings.presence == "window" else "tracks"
    lines = [
        f"{manifest.split}: {len(manifest.tracks)} tracks, {manifest.seconds / 3600:.2f} hours, "
        f"{manifest.records} records in {len(manifest.shards)} files, "
        f"rms {manifest.sigma_data:.4f}",
        f"  {settings.sample_rate} Hz, records of {settings.chunk} samples, "
        f"{'with' if settings.stems else 'without'} stems",
        f"  {len(settings.labels)} labels of {of}: {labels}" if labels else "  no labels",
    ]
    if manifest.arrangement:
        lines.append(f"  split: {manifest.arrangement}")
    sets = list(manifest.label_sets.items())
    lines += [f"  {100 * count / windows:5.1f} %  {name}" for name, count in sets[:_SETS]]
    if len(sets) > _SETS:
        rest = sum(count for _, count in sets[_SETS:])
        lines.append(f"  {100 * rest / windows:5.1f} %  in other sets")
    if manifest.missing:
        lines.append(f"  {len(manifest.missing)} tracks of the list were missing")
    lines += [f"  skipped {track}: {reason}" for track, reason in manifest.damaged.items()]
    return "\n".join(lines)


def draw(split: Split, path: Path) -> None:
    """A picture of a split: label sets, the levels of what plays, and the lengths of tracks.

    Raises:
        UnavailableError: matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        message = "a picture needs matplotlib: pip install gmsdi-jax[demo]"
        raise UnavailableError(message) from error
    manifest = split.manifest
    figure = Figure(figsize=(11, 4), layout="constrained")
    sets, levels, lengths = figure.subplots(1, 3)
    _label_sets(sets, manifest)
    _levels(levels, split)
    minutes = [t.length / manifest.settings.sample_rate / 60 for t in manifest.tracks]
    lengths.hist(minutes, 30, color=_FILL)
    lengths.set(title="length of tracks", xlabel="minutes", ylabel="tracks")
    for axes in (sets, levels, lengths):
        axes.spines[["top", "right"]].set_visible(False)
    hours = f"{len(manifest.tracks)} tracks, {manifest.seconds / 3600:.2f} hours"
    figure.suptitle(f"{manifest.split}: {hours}", color=_INK)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be written: {error}") from error


def _label_sets(axes, manifest: Manifest) -> None:
    """How often labels play together, the commonest at the top."""
    sets = list(manifest.label_sets.items())[:15][::-1]
    total = max(1, sum(manifest.label_sets.values()))
    names = [name if len(name) < 40 else name[:37] + "..." for name, _ in sets]
    axes.barh(names, [100 * count / total for _, count in sets], color=_FILL)
    axes.set(title="labels of windows", xlabel="% of windows of 1.5 s")
    axes.tick_params(axis="y", labelsize=7)


def _levels(axes, split: Split) -> None:
    """Levels of the frames in which something plays, per class or of the mixture."""
    settings = split.manifest.settings
    names = settings.labels if settings.presence == "window" else ("mixture",)
    step = max(1, len(split) // 5000)  # enough records to see a distribution
    for row, name in enumerate(names):
        power = np.asarray(split.levels[::step, row]).ravel()
        power = power[power > 1e-10]
        if len(power):
            decibels = 10 * np.log10(power)
            axes.hist(decibels, np.arange(-90, 1, 2), histtype="step", label=name, density=True)
    axes.axvline(20 * np.log10(max(settings.gate, 1e-9)), color=_INK, linestyle=":", label="gate")
    axes.set(title="level of frames", xlabel="dB of full scale", yticks=[])
    axes.legend(fontsize=7)
