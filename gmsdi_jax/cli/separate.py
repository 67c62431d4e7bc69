"""``gmsdi separate``: songs in, a folder of stems per song out.

A song that fails does not stop the others: its error is one line, nothing of it is left behind, and
the exit code says the worst that happened. Everything that can be known before computing is checked
before computing: the settings, the stems, where results go and that none overwrites another.
"""

import json as json_format
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from gmsdi_jax.audio import plan, probe
from gmsdi_jax.build import Model
from gmsdi_jax.cli.folders import without_leftovers
from gmsdi_jax.cli.model import chosen_model, describe
from gmsdi_jax.cli.options import (
    AudioFormat,
    CompileFor,
    EncoderFolder,
    ModelFolder,
    NegativePrompts,
    Out,
    Quiet,
    Stems,
    negatives_of,
    parse,
    refuse_unheard,
)
from gmsdi_jax.cli.songs import Song, find_songs
from gmsdi_jax.config import ModelConfig, read_model_config
from gmsdi_jax.console import Console
from gmsdi_jax.distributed import MANY, pod
from gmsdi_jax.errors import ConfigError, GMSDIError, InputError
from gmsdi_jax.methods import SeparationConfig
from gmsdi_jax.pipeline import GMSDI, WindowSeparator, separation_ahead


@dataclass(frozen=True, kw_only=True)
class Separate:
    """Separate songs into stems; with the residual they sum to the song.

    Writes OUT/MODEL/TRACK/STEM.wav, residual.wav (what no stem holds) and gmsdi.json, at the song's
    own rate, channels and length. Prints one folder per song.
    """

    songs: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="SONG [SONG ...]", help_behavior_hint="")
    ] = ()
    """Audio files, or folders to search for them."""
    stems: Stems = ()
    """A stem to return, as in -s Bass -s Drums; all that the model knows by default."""
    model: ModelFolder = None
    """Folder of a model, or owner/name on the Hugging Face hub; by default the one that ships."""
    encoder: EncoderFolder = None
    """Folder of the model's frozen encoder, for prompts of any words."""
    out: Out = Path("separated")
    """Where results go."""
    overlap: float = 0.25
    """Share of a window that the next one repeats, in [0, 1)."""
    joined: bool = False
    """Sample the song as one state, whose windows agree at every step; at most 20 minutes."""
    seed: int = 0
    """Of all noise."""
    constrained: Annotated[str | None, arg(metavar="STEM", help_behavior_hint="")] = None
    """The stem that method dirac leaves to be the rest of the others; by default the model's own
    choice, else Drums."""
    negative: NegativePrompts = ()
    """What guidance points away from, instead of the learned null: for all stems, or for one, as in
    --negative "Bass=Drums, Guitar, Piano"; for guidance other than 1."""
    format: AudioFormat = "wav"
    """Of the results; wav holds 32-bit floats, so that the sum is exact."""
    filename: str = "{model}/{track}"
    """Folder of a song below OUT, made of {model}, {track}, {method} and {seed}."""
    json: bool = False
    """Print what gmsdi.json holds, one object per line, instead of the folder."""
    rows: Annotated[int | Literal["auto"] | None, arg(metavar="N|auto", help_behavior_hint="")] = (
        None
    )
    """Windows times channels per compiled call, or auto for as many as fit the memory; by default
    auto on accelerators, and 2 on a CPU, which more do not make faster."""
    compile_for: CompileFor = None
    """Read no song: compile the calls for a TPU that need not be here, such as v5e:4x4, and print
    what they need on one host of it. Of the model only config.json is needed."""
    quiet: Quiet = False
    """Say nothing but errors."""
    settings: OmitArgPrefixes[SeparationConfig] = field(default_factory=SeparationConfig)
    """The method; a model may bring other defaults, chosen on its validation songs."""


def separate(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options, folder = _options(arguments)
    console.quiet = options.quiet
    if options.compile_for:
        return _separate_ahead(options, folder, console)
    songs, errors = find_songs(options.songs)
    codes = [error.exit_code for error in errors]
    for error in errors:
        console.error(error)
    if songs:
        codes += _separate_all(
            options,
            GMSDI.from_pretrained(options.model or folder, encoder=options.encoder),
            songs,
            console,
        )
    failed = sum(code != 0 for code in codes)
    if failed and len(codes) > 1:
        console.say(f"{failed} of {len(codes)} inputs failed, the errors are above")
    return max(codes)


def _separate_ahead(options: Separate, folder: Path, console: Console) -> int:
    """What the separation needs of a TPU; returns the exit code."""
    model, rows = Model(read_model_config(folder)), options.rows
    target = pod(options.compile_for or "")
    console.say(f"compiling for {target.name}; no song is read ...")
    lines = separation_ahead(
        model,
        options.stems or model.config.labels,
        options.settings,
        target,
        rows if isinstance(rows, int) else None,
    )
    print("\n".join(lines), flush=True)
    return 0


def _options(arguments: Sequence[str]) -> tuple[Separate, Path]:
    """The options and the model's folder; what the user leaves open is settled by the model."""
    options = parse(Separate, "separate", arguments)
    if not options.songs and not options.compile_for:
        raise ConfigError("name at least one song or folder")
    folder = chosen_model(options.model)
    defaults = Separate(settings=read_model_config(folder).separation)
    options = parse(Separate, "separate", arguments, defaults)
    if not 0 <= options.overlap < 1:
        raise ConfigError(f"--overlap is {options.overlap}: take at least 0 and less than 1")
    refuse_unheard(options.negative, options.settings.guidance)
    if options.constrained and options.settings.method != "dirac":
        raise ConfigError("--constrained is for --method dirac")
    return options, folder


def _separate_all(
    options: Separate, model: GMSDI, songs: Sequence[Song], console: Console
) -> list[int]:
    """The exit code of each song."""
    console.say(describe(model))
    separator = model.separator(
        options.stems or None,
        options.settings,
        constrained=options.constrained,
        **negatives_of(options.negative),
        rows=options.rows,
        most=_most(songs, model.model.config, options.overlap),
        seed=options.seed,
    )
    folders = _folders(options, songs, model)
    codes, limit, beyond = [], model.model.config.sample_rate, False
    _compile(separator, console, options.joined)
    for song, folder in zip(songs, folders, strict=True):
        try:
            info = _separate_one(options, model, separator, song, folder, console)
        except GMSDIError as error:
            console.error(error)
            codes.append(error.exit_code)
            continue
        codes.append(0)
        beyond |= info["sample_rate"] > limit
        line = json_format.dumps({"folder": str(folder), **info}) if options.json else folder
        print(line, flush=True)
    if beyond:
        console.say(f"above {limit / 2000:g} kHz the model hears nothing: that is in the residual")
    return codes


def _compile(separator: WindowSeparator, console: Console, joined: bool) -> None:
    """Compiles before the first window, aloud: a minute of silence looks like a hang."""
    if joined:
        console.say(f"compiling for every song, as one state: {separator.plan}")
    else:
        console.say("compiling, once for all songs ...")
        started = time.monotonic()
        separator.compile()
        console.say(f"compiled in {time.monotonic() - started:.1f} s: {separator.plan}")
    if separator.warning:
        console.say(f"warning: {separator.warning}")


def _most(songs: Sequence[Song], config: ModelConfig, overlap: float) -> int:
    """Windows times channels of the longest song, as the headers say."""
    cut = plan(config.window, overlap)
    try:
        headers = [probe(song.path) for song in songs]
    except InputError:  # it has gone since it was found: said when its turn comes
        return MANY
    return max(
        cut.count(math.ceil(song.seconds * config.sample_rate)) * song.channels for song in headers
    )


def _separate_one(
    options: Separate,
    model: GMSDI,
    separator: WindowSeparator,
    song: Song,
    folder: Path,
    console: Console,
) -> dict[str, Any]:
    """Separates a song and says what it cost; returns what gmsdi.json holds."""
    started = time.monotonic()
    with without_leftovers(folder), console.progress(song.track, "s") as advance:
        info = model.separate_file(
            song.path,
            folder,
            separator,
            overlap=options.overlap,
            joined=options.joined,
            extension=options.format,
            on_progress=lambda done, total: advance(
                done, total, f"{done / (time.monotonic() - started):.1f}x realtime"
            ),
        )
    console.say(_summary(song, info, options.format))
    return info


def _summary(song: Song, info: dict[str, Any], extension: str) -> str:
    """What a song cost, and how exactly its parts sum to it."""
    exact = "" if extension == "wav" else f", before encoding as {extension}"
    clipped = info["clipped_samples"]
    loud = f"; {clipped} samples beyond full scale were clipped: use wav" if clipped else ""
    return (
        f"{song.path.name}: {info['seconds']:.1f} s, "
        f"real-time factor {info['real_time_factor']:g}, "
        f"{info['evaluations_per_window']} evaluations per window; "
        f"stems + residual = input to {info['sum_error_dbfs']:g} dBFS{exact}{loud}"
    )


def _folders(options: Separate, songs: Sequence[Song], model: GMSDI) -> list[Path]:
    """Where each song's results go; two songs never share a folder, no song is overwritten."""
    names = {"model": model.name, "method": options.settings.method, "seed": options.seed}
    try:
        folders = [options.out / options.filename.format(**names, track=s.track) for s in songs]
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"--filename {options.filename!r} ({error}): use {{model}}, {{track}}, {{method}} or "
            "{seed}"
        ) from error
    if len(set(folders)) < len(songs):
        raise ConfigError(
            f"--filename {options.filename!r} is one folder for all songs: add {{track}}"
        )
    for song, folder in zip(songs, folders, strict=True):
        if not folder.resolve().is_relative_to(options.out.resolve()):
            raise ConfigError(f"--filename {options.filename!r} leads out of {options.out}: use -o")
        if song.path.resolve().parent == folder.resolve():
            raise ConfigError(f"{song.path}: results would go beside it, perhaps over it: use -o")
    return folders
