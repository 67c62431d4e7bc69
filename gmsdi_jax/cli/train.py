"""``gmsdi train``: an experiment file and the settings that the command line changes in it.

An experiment is a Python file with a function ``config() -> TrainConfig``. Every leaf of it is a
flag: ``--steps 100``, ``--optimizer.rate 1e-3``, ``--model.network.width 64``.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
from tyro.conf import Positional, arg

from gmsdi_jax.baselines import static
from gmsdi_jax.build import Model
from gmsdi_jax.cli.ahead import step_ahead
from gmsdi_jax.cli.experiment import declared
from gmsdi_jax.cli.options import CompileFor, Quiet, parse
from gmsdi_jax.config import TrainConfig
from gmsdi_jax.console import Advance, Console
from gmsdi_jax.data import Split, fixed_windows, open_embeddings, open_split, training_batches
from gmsdi_jax.distributed import HostsConfig, is_first, join
from gmsdi_jax.encoders import BOOK, WORDS, ClapEncoder, PromptBook, open_encoder
from gmsdi_jax.errors import ConfigError, InputError, UnavailableError
from gmsdi_jax.evaluate import STATIC, Validator, check_same, fit_static
from gmsdi_jax.train import Stop
from gmsdi_jax.train import train as run
from gmsdi_jax.train.observe import keep_compiled, parse_steps, process_began
from gmsdi_jax.types import Batch


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a model; the run's folder holds checkpoints, metrics.jsonl, config.json and best/.

    best/ is a model for -m, with the static baseline's spectra beside it.

    Every setting of the experiment can be changed by a flag: gmsdi train EXPERIMENT.py --help lists
    them with the experiment's own values. Prints the run's folder.
    """

    experiment: Annotated[Positional[Path], arg(metavar="EXPERIMENT.py")]
    """A file with a function config() -> TrainConfig, such as experiments/minislakh_tiny.py."""
    resume: Literal["never", "auto", "must"] = "never"
    """Go on with the run in the folder, bit for bit as if it had never stopped: auto begins one
    where there is none, must refuses to; never refuses a folder that holds a run."""
    hosts: Annotated[HostsConfig, arg(name="")] = field(default_factory=HostsConfig)
    """Which processes train together."""
    profile: str | None = None
    """Record a trace of these steps, such as 10:13, in profile/ in the run's folder."""
    compile_cache: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where compiled steps are kept for the next start; by default JAX_COMPILATION_CACHE_DIR, or
    gmsdi-jax/compiled in the user's cache. For several hosts, one that all of them see."""
    dry_run: bool = False
    """Compile the step and print what it needs on the devices here: mesh, places of the weights,
    memory, operations, exchange. Reads no data and writes nothing."""
    compile_for: CompileFor = None
    """The same for a TPU that need not be here: v5e:16x16, or 2*v5e:16x16 for two slices."""
    quiet: Quiet = False
    """Say nothing but errors."""
    config: Annotated[TrainConfig, arg(name="")]
    """The run."""


def train(arguments: Sequence[str], console: Console) -> int:
    """Runs the command and returns its exit code."""
    options = parse(Train, "train", arguments, _from_experiment(arguments))
    console.quiet = options.quiet
    traced = parse_steps(options.profile) if options.profile else None
    if options.compile_for is None:
        join(options.hosts)
    if options.dry_run or options.compile_for:
        return step_ahead(options.config, options.compile_for, console)
    keep_compiled(options.compile_cache, console.say if is_first() else lambda line: None)
    config = options.config
    if options.resume == "must" and not (config.out / "config.json").exists():
        raise ConfigError(f"{config.out}: there is no run to resume; name its folder with --out")
    encoder = _encoder(config)
    book = _book(config, encoder)
    model = Model(config.model, book)
    split = _open(config.data / "train", model)
    _check_embeddings(config, split, encoder)
    batches = training_batches(
        split,
        config.window,
        config.batch,
        config.seed,
        config.windows,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        on_damage=console.say,
    )
    validate = _validator(config, model) if config.eval_every else None
    console.say(f"{config.out}: {config.steps} steps of {config.batch} windows; compiling ...")
    with Stop() as stop:  # a signal after the last step ends nothing: the run is complete
        try:
            with console.progress("train", "steps") as advance:
                run(
                    config,
                    batches,  # type: ignore[arg-type]
                    validate,
                    embed=_embed(config, encoder, book),
                    data=split.fingerprint,
                    resume=options.resume != "never",
                    on_progress=_Report(config.steps, advance, console),
                    on_event=console.say,
                    listen=validate.samples if validate else tuple,
                    profile=traced,
                    began=process_began(),
                    stop=stop,
                )
        except KeyboardInterrupt:
            console.say("stopped: the same command with --resume auto goes on from the last save")
            raise
        if validate and is_first():
            _save_static(config, split, console)
    print(config.out, flush=True)
    return 0


def _encoder(config: TrainConfig) -> Any:
    """The frozen encoder that the conditioner reads, where it reads one."""
    conditioner = config.model.conditioner
    if not isinstance(conditioner, WORDS):
        return None
    if config.encoder is None:
        raise UnavailableError(
            "this model is conditioned on a frozen encoder: convert one (gmsdi convert) and name "
            "its folder with --encoder"
        )
    return open_encoder(conditioner, config.encoder)


def _book(config: TrainConfig, encoder: Any) -> PromptBook | None:
    """The embeddings of all sets of labels; they travel with the best model.

    Raises:
        ConfigError: the run that is resumed began with another encoder.
    """
    if encoder is None:
        return None
    path = config.out / "best" / BOOK
    if path.exists():
        return PromptBook.load(path, encoder)
    book = PromptBook.of_labels(encoder, config.model.labels)
    book.save(path)
    return book


def _embed(config: TrainConfig, encoder: Any, book: PromptBook | None) -> Callable[[Batch], Batch]:
    """Labels to their text, or audio to its own vector; nothing to do for what has them already."""
    if config.windows.embeddings:
        return lambda batch: batch
    if isinstance(encoder, ClapEncoder):
        return encoder.of_audio(config.model.sample_rate)
    return book.of_sets(config.model.labels) if book else lambda batch: batch


def _check_embeddings(config: TrainConfig, split: Split, encoder: Any) -> None:
    """Stored embeddings must be those of the encoder that answers after training.

    Raises:
        ConfigError: they are another's, or the model is not conditioned on CLAP.
    """
    name = config.windows.embeddings
    if name is None:
        return
    if not isinstance(encoder, ClapEncoder):
        raise ConfigError("windows.embeddings are CLAP's: the model must be conditioned on clap")
    stored = open_embeddings(split, name)
    if stored.encoder != encoder.digest:
        raise ConfigError(
            f"{stored.folder} was made with another encoder than {config.encoder}: name that one, "
            "or run gmsdi data embed again under another --name"
        )


def _save_static(config: TrainConfig, split: Split, console: Console) -> None:
    """The static baseline beside the best model, where the data's label sets determine it."""
    try:
        spectra = fit_static(split, length=config.window)
    except InputError as error:
        console.say(f"no static baseline: {error}")
    else:
        static.save(config.out / "best" / STATIC, spectra)


def _from_experiment(arguments: Sequence[str]) -> Train | None:
    """The defaults: those of the experiment file, which only the help can do without."""
    paths = [Path(argument) for argument in arguments if argument.endswith(".py")]
    if paths:
        return Train(experiment=paths[0], config=declared(paths[0], "config", TrainConfig))
    if {"-h", "--help"} & set(arguments):
        return None
    raise ConfigError("name an experiment file, as in gmsdi train experiments/minislakh_tiny.py")


def _open(folder: Path, model: Model) -> Split:
    """A split whose labels and sample rate are the model's."""
    split = open_split(folder)
    check_same(model, split)
    return split


def _validator(config: TrainConfig, model: Model) -> Validator:
    """Scores on fixed windows of the validation split."""
    split = _open(config.data / "validation", model)
    windows = fixed_windows(split, config.window, config.eval_windows)
    rows = math.gcd(config.eval_windows, 8)
    return Validator(model, windows, config.model.separation, rows, keep=config.samples)


class _Report:
    """Tells the loss and the speed after every step, and each validation on a line of its own."""

    def __init__(self, steps: int, advance: Advance, console: Console):
        self._steps, self._advance, self._console = steps, advance, console
        self._first: tuple[int, float] | None = None
        self._loss = ""

    def __call__(self, step: int, values: dict[str, Any]) -> None:
        now = time.monotonic()
        first, started = self._first = self._first or (step, now)
        if "loss" in values:
            self._loss = f"loss {values['loss']:.4f}, "
        if "score" in values:
            self._console.say(f"step {step}: {self._loss}score {values['score']:.2f} dB")
        speed = (step - first) / (now - started) if step > first else 0.0
        self._advance(step, self._steps, f"{self._loss}{speed:.1f} steps/s")
